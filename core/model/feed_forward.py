"""The part of a block that works on each position alone.

Shape suffixes: B batch · T positions · D d_model · F d_ff.

Sources: two layers with ReLU, arXiv:1706.03762 §3.3; GELU, arXiv:1606.08415; squared ReLU,
arXiv:2109.08668 §3; SwiGLU, arXiv:2002.05202.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.config import ModelConfig


class _SquaredReLU(torch.autograd.Function):
    """Its gradient from relu(x) alone: a third of the memory traffic of two steps of autograd,
    and the same numbers, bit for bit."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        """relu(x)²."""
        rectified = F.relu(x)
        context.save_for_backward(rectified)
        return rectified.square()

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        """2 relu(x) times the gradient of the result."""
        (rectified,) = context.saved_tensors
        return (gradients[0] * rectified).mul_(2)


def squared_relu(x: Tensor) -> Tensor:
    """relu(x)²."""
    if torch.is_grad_enabled():
        found: Tensor = _SquaredReLU.apply(x)
        return found
    return F.relu(x).square()


def gelu_tanh(x: Tensor) -> Tensor:
    """GELU by the approximation that GPT-2 was trained with (arXiv:1606.08415 §2)."""
    return F.gelu(x, approximate="tanh")


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": gelu_tanh,
    "relu2": squared_relu,
}


class FeedForward(nn.Module):
    """Widen, bend, narrow."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.activate = ACTIVATIONS[config.activation]
        self.up_proj = nn.Linear(config.d_model, config.hidden_dim, bias=config.bias)
        self.down_proj = nn.Linear(config.hidden_dim, config.d_model, bias=config.bias)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Shape (B, T, D), to be added to the residual stream."""
        return self.down_proj(self.activate(self.up_proj(x_BTD)))


class GatedFeedForward(nn.Module):
    """SwiGLU: one projection opens the gate for the other."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.d_model, config.hidden_dim, bias=config.bias)
        self.up_proj = nn.Linear(config.d_model, config.hidden_dim, bias=config.bias)
        self.down_proj = nn.Linear(config.hidden_dim, config.d_model, bias=config.bias)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Shape (B, T, D), to be added to the residual stream."""
        return self.down_proj(F.silu(self.gate_proj(x_BTD)) * self.up_proj(x_BTD))


def make_feed_forward(config: ModelConfig) -> nn.Module:
    """The feed-forward that the config names."""
    return (GatedFeedForward if config.activation == "swiglu" else FeedForward)(config)
