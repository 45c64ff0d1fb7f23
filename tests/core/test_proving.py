"""A way to write is held against the plain model, and weights are rounded on the fly."""

from __future__ import annotations

import torch

from core.infer.round_weights import round_weights
from core.testing import tiny_model


def test_weights_are_rounded_in_place_and_zero_bits_change_nothing() -> None:
    model = tiny_model()
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    assert round_weights(model, 0) == ""
    assert all(torch.equal(before[name], w) for name, w in model.named_parameters())
    assert round_weights(model, 8) == ""
    weight, old = model.head.weight, before["head.weight"]
    scale = old.abs().amax(1, keepdim=True) / 127
    assert not torch.equal(weight, old)
    assert bool(((weight - old).abs() <= scale * 0.51).all())
