"""The switches of imported models against transformers' own models, with the same weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.model.transformer import Transformer
from core.testing import tiny_model_config

torch.set_num_threads(1)
VOCAB, WIDTH, HEADS, LENGTH = 31, 32, 4, 24
PARTS = ("q_proj", "k_proj", "v_proj")


def shake(model: nn.Module) -> None:
    """Any weights, biases and norms included; large enough that every switch can be seen."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)


def from_neox(theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names of ours; queries, keys and values of each head lie side by side there."""
    ours = {}
    for name, tensor in theirs.items():
        for old, new in (
            ("gpt_neox.embed_in", "embedding"),
            ("gpt_neox.final_layer_norm", "final_norm"),
            ("embed_out", "head"),
            ("lm_head", "head"),
            ("gpt_neox.layers", "blocks"),
            ("input_layernorm", "attention_norm"),
            ("post_attention_layernorm", "feed_forward_norm"),
            ("attention.dense", "attention.o_proj"),
            ("mlp.dense_h_to_4h", "feed_forward.up_proj"),
            ("mlp.dense_4h_to_h", "feed_forward.down_proj"),
        ):
            name = name.replace(old, new)
        if "query_key_value" in name:
            heads = tensor.unflatten(0, (HEADS, 3, WIDTH // HEADS))
            for i, part in enumerate(PARTS):
                ours[name.replace("query_key_value", part)] = heads[:, i].flatten(0, 1)
        else:
            ours[name] = tensor
    return ours


def same_logits(theirs: Any, ours: Transformer, weights: dict[str, Tensor]) -> None:
    ours.load_state_dict(weights)
    ids = torch.randint(0, VOCAB, (3, LENGTH), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(ours(ids), theirs(ids).logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("switches", "names"),
    [
        ({"parallel": True, "rope_dims": 2}, {"rotary_pct": 0.25}),
        ({"rope_dims": 4}, {"rotary_pct": 0.5, "use_parallel_residual": False}),
        (
            {"parallel": True, "activation": "gelu_tanh", "norm_eps": 0.1},
            {"rotary_pct": 1.0, "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 0.1},
        ),
    ],
)
def test_parallel_blocks_and_rope_of_a_part_are_gpt_neox(
    switches: dict[str, Any], names: dict[str, Any]
) -> None:
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    about = GPTNeoXConfig(
        vocab_size=VOCAB,
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        intermediate_size=4 * WIDTH,
        max_position_embeddings=LENGTH,
        **names,
    )
    theirs = GPTNeoXForCausalLM(about).eval()
    shake(theirs)
    config = tiny_model_config(**({"bias": True, "activation": "gelu"} | switches))
    same_logits(theirs, Transformer(config).eval(), from_neox(theirs.state_dict()))


@pytest.mark.parametrize(
    ("switches", "rope"),
    [
        ({"d_head": 12}, {"rope_type": "default"}),
        (
            {"rope_scaling": "linear", "rope_factor": 3.0},
            {"rope_type": "linear", "factor": 3.0},
        ),
        (
            {"rope_scaling": "llama3", "rope_factor": 4.0, "rope_original_len": 12},
            {
                "rope_type": "llama3",
                "factor": 4.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 12,
            },
        ),
    ],
)
def test_wide_heads_and_stretched_rope_are_llama(
    switches: dict[str, Any], rope: dict[str, Any]
) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    llama = {"norm": "rmsnorm", "activation": "swiglu", "d_ff": 48, "n_kv_heads": 2}
    config = tiny_model_config(**(llama | switches))
    about = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        num_key_value_heads=2,
        head_dim=config.head_dim,
        intermediate_size=48,
        max_position_embeddings=48,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_theta": 10_000.0} | rope,
    )
    theirs = LlamaForCausalLM(about).eval()
    shake(theirs)
    weights = {}
    for name, tensor in theirs.state_dict().items():
        for old, new in (
            ("model.embed_tokens", "embedding"),
            ("lm_head", "head"),
            ("model.norm", "final_norm"),
            ("model.layers", "blocks"),
            ("self_attn", "attention"),
            ("input_layernorm", "attention_norm"),
            ("post_attention_layernorm", "feed_forward_norm"),
            ("mlp", "feed_forward"),
        ):
            name = name.replace(old, new)
        weights[name] = tensor
    same_logits(theirs, Transformer(config).eval(), weights)
