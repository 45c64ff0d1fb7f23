"""Stochastic gradient descent with momentum, as PyTorch defines it: the rate multiplies the
momentum, and the decay is added to the gradient. A test holds it against `torch.optim.SGD`.

Source: Sutskever et al. 2013, "On the importance of initialization and momentum in deep
learning", eq. 1; how PyTorch's form differs is said in its documentation.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from core.config import TrainConfig
from core.training.groups import ParameterGroup


class SGD:
    """The momentum of a group, and the step it makes."""

    def __init__(self, group: ParameterGroup, config: TrainConfig) -> None:
        self._group, self._momentum = group, config.momentum
        self._buffers = [torch.zeros_like(p) for p in group.parameters]

    def step(self, lr: float) -> None:
        """Update the parameters in place from their gradients."""
        parameters: list[Tensor] = list(self._group.parameters)
        gradients = self._group.gradients()
        if self._group.weight_decay:
            decay = self._group.weight_decay
            gradients = list(torch._foreach_add(gradients, parameters, alpha=decay))
        torch._foreach_mul_(self._buffers, self._momentum)
        torch._foreach_add_(self._buffers, gradients)
        torch._foreach_add_(parameters, self._buffers, alpha=-lr * self._group.lr_ratio)

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """The momentum by name, not copied."""
        for name, buffer in zip(self._group.names, self._buffers, strict=True):
            yield f"{name}.momentum_buffer", buffer
