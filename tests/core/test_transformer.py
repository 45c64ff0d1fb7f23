"""The whole model: its sizes, its fresh weights, its limits."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from core import recipes
from core.config import ModelConfig
from core.errors import ConfigError
from core.model import arithmetic
from core.model.kv_cache import KVCache
from core.model.transformer import Transformer
from core.presets import preset
from core.testing import MODEL_SWITCHES, tiny_model, tiny_model_config

every_switch = pytest.mark.parametrize("switches", MODEL_SWITCHES.values(), ids=MODEL_SWITCHES)


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@every_switch
def test_parameters_are_as_many_as_counted(switches: dict[str, Any]) -> None:
    config = tiny_model_config(**switches)
    assert arithmetic.count_parameters(config) == count(Transformer(config))


@every_switch
def test_the_cache_holds_as_many_bytes_as_computed(switches: dict[str, Any]) -> None:
    model = tiny_model(**switches)
    cache = KVCache(model.config)
    assert cache.held_bytes == 0
    with torch.no_grad():
        model(torch.zeros(1, 7, dtype=torch.long), cache)
    assert cache.held_bytes == arithmetic.cache_bytes(model.config, 7)


def test_half_precision_halves_the_cache() -> None:
    config = tiny_model_config()
    cache = KVCache(config, batch_size=3, dtype=torch.bfloat16)
    part = torch.zeros(3, 4, 5, 8, dtype=torch.bfloat16)
    for layer in cache.layers:
        layer.extend(part, part)
    assert cache.held_bytes == 3 * 5 * arithmetic.kv_bytes_per_token(config, 2)


@every_switch
def test_flops_are_as_many_as_pytorch_counts(switches: dict[str, Any]) -> None:
    """PyTorch's counter takes the whole square of attention, the model half of it."""
    config = tiny_model_config(max_seq_len=64, **switches)
    model, context = Transformer(config), 32
    ids = torch.zeros(2, context, dtype=torch.long)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            model(ids)
    width = config.n_heads * config.head_dim
    square = 4 * config.n_layers * width * context
    triangle = 4 * config.n_layers * width * (context + 1) / 2
    counted = counter.get_total_flops() / (2 * context) - square + triangle
    assert arithmetic.flops_per_token(config, context) == pytest.approx(counted, rel=0.01)


def test_training_takes_three_forward_passes() -> None:
    config = tiny_model_config()
    model, ids = Transformer(config), torch.zeros(2, 16, dtype=torch.long)
    forward, both = FlopCounterMode(display=False), FlopCounterMode(display=False)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        with forward:
            model(ids)
        with both:
            model(ids).sum().backward()
    ratio = both.get_total_flops() / forward.get_total_flops()
    expected = arithmetic.training_flops_per_token(config, 16) / arithmetic.flops_per_token(
        config, 16
    )
    assert expected == pytest.approx(3)
    assert ratio == pytest.approx(expected, rel=0.05)


def test_training_memory_counts_weights_gradients_and_two_moments() -> None:
    config = tiny_model_config()
    states = 16 * arithmetic.count_parameters(config)
    one, two = (arithmetic.training_bytes(config, batch, 16) for batch in (1, 2))
    assert one > states
    assert two - one == one - states
    assert two - one > 4 * 16 * config.n_layers * 10 * config.d_model


def test_optimisers_that_keep_less_take_less_memory() -> None:
    config = tiny_model_config()
    adamw, muon, sgd, lion = (
        arithmetic.training_bytes(config, 1, 16, name) for name in ("adamw", "muon", "sgd", "lion")
    )
    assert adamw - sgd == adamw - lion == 4 * arithmetic.count_parameters(config)
    assert adamw - muon == 4 * config.n_layers * 12 * config.d_model**2


def test_the_estimate_of_a_preset_is_that_of_its_model() -> None:
    config = preset("seed")
    found = recipes.estimate(config)
    model = Transformer(
        ModelConfig(vocab_size=1004, max_seq_len=1024, d_model=128, n_layers=1, n_heads=4)
    )
    assert found.n_params == count(model)
    assert found.kv_bytes_per_token == 2 * 128 * 4
    assert recipes.estimate(config.with_changes(tokenizer="byte")).n_params < found.n_params


@every_switch
def test_fresh_matrices_keep_the_variance_of_their_input(switches: dict[str, Any]) -> None:
    config = ModelConfig(
        vocab_size=300, d_model=128, n_layers=3, n_heads=4, max_seq_len=200, **switches
    )
    model = Transformer(config, seed=3)
    for name, parameter in model.named_parameters():
        last = name.split(".")[-2] if "." in name else name
        if last in ("embedding", "head", "position_table"):
            expected = 0.02
        elif "norm" in last:
            assert torch.equal(parameter, torch.full_like(parameter, name.endswith("weight")))
            continue
        elif name.endswith("bias") or name.startswith("ngrams."):
            assert not parameter.any()
            continue
        else:
            into_stream = 1 / math.sqrt(6) if last in ("o_proj", "down_proj") else 1.0
            expected = into_stream / math.sqrt(parameter.size(1))
        assert parameter.std().item() == pytest.approx(expected, rel=0.05), name
        assert abs(parameter.mean().item()) < 5 * expected / math.sqrt(parameter.numel()), name


def test_the_seed_alone_decides_the_weights() -> None:
    torch.manual_seed(1)
    first = tiny_model(seed=5).state_dict()
    torch.manual_seed(2)
    again, other = tiny_model(seed=5).state_dict(), tiny_model(seed=6).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["embedding.weight"], other["embedding.weight"])


def test_from_zero_each_block_begins_as_the_identity() -> None:
    model, plain = (tiny_model(zero_init=is_zero, bias=True) for is_zero in (True, False))
    ids = torch.arange(24)[None]
    assert not model(ids).any()
    x_BTD = torch.randn(1, 24, 32)
    assert torch.equal(model.blocks[0](x_BTD, model.rope.rows(slice(0, 24)), None), x_BTD)
    other = dict(plain.named_parameters())
    for name, parameter in model.named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight", "head.weight")):
            assert not parameter.any()
        else:
            assert torch.equal(parameter, other[name])


def test_from_zero_a_tied_head_keeps_its_embedding() -> None:
    assert tiny_model(zero_init=True, tied_head=True).head.weight.any()


@every_switch
def test_first_predictions_are_nearly_uniform(switches: dict[str, Any]) -> None:
    model = Transformer(tiny_model_config(vocab_size=100, **switches)).eval()
    ids = torch.arange(24)[None]
    loss = F.cross_entropy(model(ids)[0], (ids[0] + 1) % 100)
    assert loss.item() == pytest.approx(math.log(100), abs=0.1)


def test_a_tied_head_is_the_embedding() -> None:
    model = tiny_model(tied_head=True)
    assert model.head.weight is model.embedding.weight
    assert tiny_model().head.weight is not tiny_model().embedding.weight


def test_the_softcap_squashes_logits_and_keeps_their_order() -> None:
    ids = torch.arange(10)[None]
    with torch.no_grad():
        plain = tiny_model()(ids)
        capped = tiny_model(logit_softcap=0.2)(ids)
    torch.testing.assert_close(capped, 0.2 * torch.tanh(plain / 0.2))
    assert capped.abs().max() < 0.2 < plain.abs().max()


def test_too_long_a_sequence_is_refused_with_its_length() -> None:
    model = tiny_model()
    with pytest.raises(ConfigError, match="25 tokens do not fit into max_seq_len=24") as caught:
        model(torch.zeros(1, 25, dtype=torch.long))
    assert caught.value.hint == "Shorten the text, or train with a larger max_seq_len."
    cache = KVCache(model.config)
    model(torch.zeros(1, 20, dtype=torch.long), cache)
    with pytest.raises(ConfigError, match="25 tokens do not fit"):
        model(torch.zeros(1, 5, dtype=torch.long), cache)


def test_a_model_needs_a_vocabulary() -> None:
    with pytest.raises(ConfigError, match="The model has no vocabulary") as caught:
        Transformer(ModelConfig())
    assert caught.value.hint == "Set vocab_size."


@every_switch
def test_every_parameter_learns(switches: dict[str, Any]) -> None:
    model = tiny_model(**switches).train()
    F.cross_entropy(model(torch.arange(20)[None])[0], torch.arange(20)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
