"""Lion: steps by the sign of an interpolated momentum, so that all of a step's numbers are of one
size. It wants a rate 3 to 10 times smaller than AdamW, and as much more decay.

Source: arXiv:2302.06675, algorithm 2.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from core.config import TrainConfig
from core.training.groups import ParameterGroup


class Lion:
    """The momentum of a group, and the step it makes."""

    def __init__(self, group: ParameterGroup, config: TrainConfig) -> None:
        self._group, self._config = group, config
        self._means = [torch.zeros_like(p) for p in group.parameters]

    def step(self, lr: float) -> None:
        """Update the parameters in place from their gradients."""
        parameters: list[Tensor] = list(self._group.parameters)
        gradients = self._group.gradients()
        lr *= self._group.lr_ratio
        updates = torch._foreach_lerp(self._means, gradients, 1 - self._config.beta1)
        torch._foreach_sign_(updates)
        if self._group.weight_decay:
            torch._foreach_mul_(parameters, 1 - lr * self._group.weight_decay)
        torch._foreach_add_(parameters, updates, alpha=-lr)
        torch._foreach_lerp_(self._means, gradients, 1 - self._config.beta2)

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """The momentum by name, not copied."""
        for name, mean in zip(self._group.names, self._means, strict=True):
            yield f"{name}.exp_avg", mean
