"""Our parts against PyTorch's own, with the same weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from core.config import ModelConfig
from core.errors import ConfigError
from core.model.attention import CausalSelfAttention
from core.model.feed_forward import make_feed_forward
from core.model.kv_cache import KVCache
from core.model.layer_cache import StaticLayer
from core.model.masks import causal_mask
from core.model.norm import make_norm
from core.model.positions import rope_tables, rotate
from core.model.transformer import Block
from core.testing import tiny_model_config


def shake(module: nn.Module) -> None:
    """No parameter stays at one or zero, where a mistake would not show."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)


def make_attention(**changes: Any) -> CausalSelfAttention:
    torch.manual_seed(0)
    attention = CausalSelfAttention(tiny_model_config(**changes)).eval()
    shake(attention)
    return attention


def later_positions(n: int) -> torch.Tensor:
    """PyTorch's masks are True where one may not look."""
    return torch.ones(n, n, dtype=torch.bool).triu(1)


@pytest.mark.parametrize("bias", [True, False])
def test_attention_is_pytorchs_multi_head_attention(bias: bool) -> None:
    attention = make_attention(bias=bias)
    x_BTD = torch.randn(2, 9, 32)
    parts = [attention.q_proj, attention.k_proj, attention.v_proj]
    expected_TBD, _ = F.multi_head_attention_forward(
        *[x_BTD.transpose(0, 1)] * 3,
        embed_dim_to_check=32,
        num_heads=4,
        in_proj_weight=torch.cat([p.weight for p in parts]),
        in_proj_bias=torch.cat([p.bias for p in parts]) if bias else None,
        bias_k=None,
        bias_v=None,
        add_zero_attn=False,
        dropout_p=0.0,
        out_proj_weight=attention.o_proj.weight,
        out_proj_bias=attention.o_proj.bias,
        training=False,
        attn_mask=later_positions(9),
        need_weights=False,
    )
    torch.testing.assert_close(attention(x_BTD), expected_TBD.transpose(0, 1))


@pytest.mark.parametrize("n_kv_heads", [4, 2, 1], ids=["mha", "gqa", "mqa"])
@pytest.mark.parametrize("qk_norm", [False, True])
@pytest.mark.parametrize("is_rotated", [False, True])
def test_attention_is_the_formula(n_kv_heads: int, qk_norm: bool, is_rotated: bool) -> None:
    """softmax(q k / sqrt(H)) v, head by head and place by place."""
    attention = make_attention(n_kv_heads=n_kv_heads, qk_norm=qk_norm)
    rotation = rope_tables(tiny_model_config(max_seq_len=7, d_head=8)) if is_rotated else None
    x_TD = torch.randn(7, 32)

    def heads(projection: nn.Linear, norm: nn.Module | None = None) -> torch.Tensor:
        x = projection(x_TD).view(7, -1, 8).transpose(0, 1)
        if norm is not None:
            scale = norm.weight  # of shape (H,)
            x = x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * scale
        return rotate(x, *rotation) if rotation and projection is not attention.v_proj else x

    q, k = heads(attention.q_proj, attention.q_norm), heads(attention.k_proj, attention.k_norm)
    v = heads(attention.v_proj)
    rows = []
    for t in range(7):
        out = []
        for head in range(4):
            group = head // (4 // n_kv_heads)
            score = k[group, : t + 1] @ q[head, t] / 8**0.5
            out.append(score.softmax(0) @ v[group, : t + 1])
        rows.append(torch.cat(out))

    found = attention(x_TD[None], rotation)[0]
    torch.testing.assert_close(found, attention.o_proj(torch.stack(rows)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("place", ["pre", "post"])
def test_a_block_is_pytorchs_encoder_layer(activation: str, place: str) -> None:
    config = tiny_model_config(
        positions="none", bias=True, activation=activation, norm_place=place, d_ff=48
    )
    block = Block(config).eval()
    shake(block)
    theirs = nn.TransformerEncoderLayer(
        32, 4, 48, dropout=0.0, activation=activation, batch_first=True, norm_first=place == "pre"
    ).eval()
    attention, feed_forward = block.attention, block.feed_forward
    projections = [attention.q_proj, attention.k_proj, attention.v_proj]
    theirs.load_state_dict(
        {
            "self_attn.in_proj_weight": torch.cat([p.weight for p in projections]),
            "self_attn.in_proj_bias": torch.cat([p.bias for p in projections]),
            "self_attn.out_proj.weight": attention.o_proj.weight,
            "self_attn.out_proj.bias": attention.o_proj.bias,
            "linear1.weight": feed_forward.up_proj.weight,
            "linear1.bias": feed_forward.up_proj.bias,
            "linear2.weight": feed_forward.down_proj.weight,
            "linear2.bias": feed_forward.down_proj.bias,
            "norm1.weight": block.attention_norm.weight,
            "norm1.bias": block.attention_norm.bias,
            "norm2.weight": block.feed_forward_norm.weight,
            "norm2.bias": block.feed_forward_norm.bias,
        }
    )
    x_BTD = torch.randn(2, 9, 32)
    with torch.no_grad():
        expected = theirs(x_BTD, src_mask=later_positions(9), is_causal=True)
        torch.testing.assert_close(block(x_BTD, None, None), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("activation", "bend"),
    [
        ("relu", lambda x: x.clamp(min=0)),
        ("relu2", lambda x: x.clamp(min=0) ** 2),
        ("gelu", lambda x: x * torch.distributions.Normal(0, 1).cdf(x)),
        (
            "gelu_tanh",
            lambda x: x / 2 * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3))),
        ),
    ],
)
def test_the_feed_forward_is_two_layers_and_a_bend(activation: str, bend: Any) -> None:
    part = make_feed_forward(tiny_model_config(activation=activation, bias=True))
    shake(part)
    x = torch.randn(3, 32)
    hidden = bend(x @ part.up_proj.weight.T + part.up_proj.bias)
    expected = hidden @ part.down_proj.weight.T + part.down_proj.bias
    torch.testing.assert_close(part(x), expected)


def test_swiglu_gates_with_silu() -> None:
    part = make_feed_forward(tiny_model_config(activation="swiglu"))
    x = torch.randn(3, 32)
    gate, up = x @ part.gate_proj.weight.T, x @ part.up_proj.weight.T
    torch.testing.assert_close(part(x), (gate * gate.sigmoid() * up) @ part.down_proj.weight.T)
    assert part.up_proj.out_features == 88


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("eps", [1e-5, 0.5])
def test_norms_are_their_formulas(bias: bool, eps: float) -> None:
    x = torch.randn(5, 32) * 3 + 1
    layer = make_norm(ModelConfig(d_model=32, bias=bias, norm_eps=eps))
    rms = make_norm(ModelConfig(d_model=32, norm="rmsnorm", bias=bias, norm_eps=eps))
    shake(layer)
    shake(rms)
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt()
    torch.testing.assert_close(layer(x), scaled * layer.weight + (layer.bias if bias else 0))
    torch.testing.assert_close(
        rms(x), x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * rms.weight
    )
    assert (layer.bias is not None) == bias


def test_the_mask_lines_up_with_the_newest_position() -> None:
    expected = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]], dtype=torch.bool)
    assert torch.equal(causal_mask(3, 5, torch.device("cpu")), expected)


def test_dropout_of_attention_acts_in_training_alone() -> None:
    attention = make_attention(dropout=0.5)
    x = torch.randn(1, 6, 32)
    assert torch.equal(attention(x), attention(x))
    attention.train()
    assert not torch.equal(attention(x), attention(x))


def test_a_full_cache_refuses_more() -> None:
    cache = StaticLayer(1, 2, 4, 8)
    part = torch.randn(1, 2, 3, 8)
    cache.extend(part, part)
    with pytest.raises(ConfigError, match="The context is full: 6 positions, room for 4") as caught:
        cache.extend(part, part)
    assert caught.value.hint == "Generate fewer tokens, or train with a larger max_seq_len."
    assert cache.length == 3


def test_a_cache_cannot_rewind_forward() -> None:
    cache = KVCache(tiny_model_config())
    with pytest.raises(ConfigError, match="Cannot rewind to 1: the cache holds 0") as caught:
        cache.rewind(1)
    assert caught.value.hint == "Choose 0 to 0."


def test_a_cache_hands_out_what_it_was_given() -> None:
    cache = StaticLayer(1, 2, 6, 8)
    k, v = torch.randn(1, 2, 5, 8), torch.randn(1, 2, 5, 8)
    cache.extend(k[:, :, :3], v[:, :, :3])
    held_k, held_v = cache.extend(k[:, :, 3:], v[:, :, 3:])
    assert torch.equal(held_k, k)
    assert torch.equal(held_v, v)


@pytest.mark.parametrize("qk_norm", [False, True])
@pytest.mark.parametrize(
    ("n_positions", "is_trained", "expected"),
    [(9, True, torch.float32), (9, False, torch.bfloat16), (4096, True, torch.bfloat16)],
)
def test_short_rows_are_attended_to_in_float32_where_bfloat16_is_trained(
    n_positions: int,
    is_trained: bool,
    expected: torch.dtype,
    qk_norm: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[torch.dtype] = []
    pytorchs = F.scaled_dot_product_attention

    def attend(*args: Any, **named: Any) -> torch.Tensor:
        y: torch.Tensor = pytorchs(*args, **named)
        seen.extend([*(arg.dtype for arg in args), y.dtype])
        return y

    monkeypatch.setattr(F, "scaled_dot_product_attention", attend)
    attention = make_attention(qk_norm=qk_norm)
    x_BTD = torch.randn(1, n_positions, 32, requires_grad=is_trained)
    with torch.set_grad_enabled(is_trained), torch.autocast("cpu", torch.bfloat16):
        attention(x_BTD, rope_tables(tiny_model_config(max_seq_len=n_positions, d_head=8)))
    assert seen == [expected] * 4


def test_gradients_in_bfloat16_are_near_those_in_float32() -> None:
    attention = make_attention()
    x_BTD = torch.randn(2, 9, 32, requires_grad=True)
    (exact,) = torch.autograd.grad(attention(x_BTD).square().sum(), x_BTD)
    with torch.autocast("cpu", torch.bfloat16):
        y_BTD = attention(x_BTD)
    (near,) = torch.autograd.grad(y_BTD.float().square().sum(), x_BTD)
    assert (near - exact).norm() < 0.02 * exact.norm()
