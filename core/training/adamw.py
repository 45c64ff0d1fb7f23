"""AdamW by PyTorch's fused kernel, without PyTorch's optimiser class around it, whose first use
imports the compiler and costs a newcomer a second before the first step. A test holds it
against `torch.optim.AdamW`, bit for bit.

Source: arXiv:1711.05101, algorithm 2.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from core.config import TrainConfig
from core.training.groups import ParameterGroup

EPSILON = 1e-8


class AdamW:
    """Moments of a group, and the step they make."""

    def __init__(self, group: ParameterGroup, config: TrainConfig) -> None:
        self._group, self._config = group, config
        self._means = [torch.zeros_like(p) for p in group.parameters]
        self._squares = [torch.zeros_like(p) for p in group.parameters]
        self._steps = [torch.zeros((), device=p.device) for p in group.parameters]

    def step(self, lr: float) -> None:
        """Update the parameters in place from their gradients."""
        torch._foreach_add_(self._steps, 1)
        torch._fused_adamw_(
            list(self._group.parameters),
            self._group.gradients(),
            self._means,
            self._squares,
            [],
            self._steps,
            lr=lr * self._group.lr_ratio,
            beta1=self._config.beta1,
            beta2=self._config.beta2,
            weight_decay=self._group.weight_decay,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
        )

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Moments and step counts by name, not copied."""
        for i, name in enumerate(self._group.names):
            yield f"{name}.exp_avg", self._means[i]
            yield f"{name}.exp_avg_sq", self._squares[i]
            yield f"{name}.step", self._steps[i]
