"""Other weights, the same function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from core.interop.equivalents import (
    Portable,
    applied,
    untied,
    with_biases,
    with_heads_repeated,
    with_position_table,
    with_rms_norm,
    without_zero_biases,
)
from core.model.transformer import Transformer
from core.testing import MODEL_SWITCHES, tiny_model, tiny_model_config

Step = Callable[[Portable], Portable]
STEPS: dict[str, Step] = {
    "rms norm": with_rms_norm,
    "untied": untied,
    "position table": with_position_table,
    "biases": with_biases,
    "without biases": without_zero_biases,
    "heads": with_heads_repeated,
}
SWITCHES = {
    **MODEL_SWITCHES,
    "apertus": {"activation": "relu2", "qk_norm": True, "tied_head": True},
    "bias of rms": {"norm": "rmsnorm", "bias": True, "n_kv_heads": 2},
    "post-norm of sines": {"norm_place": "post", "positions": "sinusoidal", "n_kv_heads": 1},
}


@torch.no_grad()
def portable(**changes: Any) -> Portable:
    model = tiny_model(**changes)
    noise = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.dim() == 1:
            parameter.add_(torch.randn(parameter.shape, generator=noise) * 0.2)
    return Portable(model.config, {name: p.detach() for name, p in model.named_parameters()})


@torch.no_grad()
def logits(portable: Portable) -> torch.Tensor:
    model = Transformer(portable.config, seed=None).eval()
    own = dict(model.named_parameters())
    assert own.keys() == portable.weights.keys()
    for name, parameter in own.items():
        assert parameter.shape == portable.weights[name].shape
        parameter.copy_(portable.weights[name])
    return model(torch.arange(24).remainder(31)[None])


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", SWITCHES)
def test_each_step_leaves_the_logits_as_they_are(name: str, step: str) -> None:
    model = portable(**SWITCHES[name])
    torch.testing.assert_close(logits(STEPS[step](model)), logits(model), atol=2e-5, rtol=1e-5)


def test_steps_change_what_they_are_for() -> None:
    assert with_rms_norm(portable(tied_head=True)).config == tiny_model_config(norm="rmsnorm")
    assert untied(portable(tied_head=True)).config == tiny_model_config()
    for positions in ("none", "sinusoidal"):
        learned = with_position_table(portable(positions=positions)).config
        assert learned == tiny_model_config(positions="learned")
    assert with_biases(portable()).config == tiny_model_config(bias=True)
    assert with_heads_repeated(portable(n_kv_heads=2)).config == tiny_model_config()


def test_what_cannot_be_changed_stays() -> None:
    for changes in (
        {"bias": True},
        {"norm": "rmsnorm"},
        {"norm_place": "post"},
        {"positions": "sinusoidal"},
    ):
        model = portable(**changes)
        assert with_rms_norm(model) is model
    for step, changes in (
        (with_position_table, {"positions": "rope"}),
        (with_position_table, {"positions": "learned"}),
        (with_biases, {"bias": True}),
        (with_heads_repeated, {}),
        (untied, {}),
        (without_zero_biases, {"bias": True}),
        (without_zero_biases, {}),
    ):
        model = portable(**changes)
        assert step(model) is model


def test_biases_of_zero_are_none() -> None:
    model = portable()
    there_and_back = applied(model, with_biases, without_zero_biases)
    assert there_and_back.config == model.config
    assert there_and_back.weights.keys() == model.weights.keys()


def test_what_was_done_is_told_and_the_weights_given_stay_as_they_are() -> None:
    model = portable(positions="sinusoidal", n_kv_heads=2)
    before = {name: tensor.clone() for name, tensor in model.weights.items()}
    assert applied(model, with_position_table, with_heads_repeated, with_rms_norm).remarks == (
        "positions=sinusoidal is written as a table of learned positions.",
        "Each of the 2 key and value heads is written 2 times.",
        "Layer norms are written as RMS norms over centred weights: the same function.",
    )
    assert all(torch.equal(model.weights[name], before[name]) for name in before)
