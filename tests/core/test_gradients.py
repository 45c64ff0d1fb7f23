"""Gradients that are written by hand, against those that PyTorch derives, bit for bit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from core.model.feed_forward import squared_relu
from core.model.positions import rope_tables, rotate
from core.testing import tiny_model_config

COS_TR, SIN_TR = rope_tables(tiny_model_config(max_seq_len=7, d_head=8))


def turned(x_BNTH: Tensor) -> Tensor:
    """The rotation as one writes it down."""
    first, second = x_BNTH.chunk(2, dim=-1)
    return x_BNTH * COS_TR + torch.cat([-second, first], dim=-1) * SIN_TR


def heads(x: Tensor) -> Tensor:
    """Of one product of queries, keys and values, as attention takes them."""
    return x[..., :16].unflatten(-1, (2, 8)).transpose(1, 2)


@pytest.mark.parametrize(
    ("ours", "derived"),
    [
        (squared_relu, lambda x: F.relu(x).square()),
        (lambda x: rotate(heads(x), COS_TR, SIN_TR), lambda x: turned(heads(x))),
        (lambda x: rotate(x[..., :11], COS_TR, SIN_TR)[..., 8:], lambda x: x[..., 8:11]),
    ],
    ids=["squared relu", "rotation", "behind the rotation"],
)
def test_values_and_gradients_are_those_of_the_plain_form(
    ours: Callable[[Tensor], Tensor], derived: Callable[[Tensor], Tensor]
) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 7, 48)
    x[0, 0, :5] = torch.tensor([0.0, -0.0, -1.0, 1e-30, 1e10])
    found = []
    for function in (ours, derived):
        leaf = x.clone().requires_grad_()
        y = function(leaf)
        with torch.no_grad():
            assert torch.equal(function(leaf), y)
        torch.manual_seed(1)
        y.backward(torch.randn_like(y))
        found.append((y, leaf.grad))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
