"""AdamW as language models use it: matrices decay, vectors do not.

It is PyTorch's fused kernel without PyTorch's optimiser class around it, whose first use
imports the compiler and costs a newcomer a second before the first step. A test holds it
against `torch.optim.AdamW`, bit for bit.

Source: arXiv:1711.05101, algorithm 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.config import TrainConfig

EPSILON = 1e-8


@dataclass(frozen=True, slots=True)
class _Group:
    """Parameters that share a decay, with their moments and step counts."""

    names: list[str]
    parameters: list[nn.Parameter]
    means: list[Tensor]
    squares: list[Tensor]
    steps: list[Tensor]
    weight_decay: float


class AdamW:
    """Moments of every parameter, and the step they make."""

    def __init__(self, model: nn.Module, config: TrainConfig) -> None:
        named = list(model.named_parameters())
        self._config = config
        self._groups = [
            _make_group([(n, p) for n, p in named if p.dim() >= 2], config.weight_decay),
            _make_group([(n, p) for n, p in named if p.dim() < 2], 0.0),
        ]

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Update all parameters in place from their gradients."""
        for group in self._groups:
            if not group.parameters:
                continue
            torch._foreach_add_(group.steps, 1)
            torch._fused_adamw_(
                list(group.parameters),
                [_gradient(p) for p in group.parameters],
                group.means,
                group.squares,
                [],
                group.steps,
                lr=lr,
                beta1=self._config.beta1,
                beta2=self._config.beta2,
                weight_decay=group.weight_decay,
                eps=EPSILON,
                amsgrad=False,
                maximize=False,
            )

    def state(self) -> dict[str, Tensor]:
        """Moments and step counts by name, to be saved; views, not copies."""
        return dict(self._tensors())

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` gave.

        Raises:
            KeyError: a tensor is missing.
            ValueError: a tensor has another shape.
        """
        for name, tensor in self._tensors():
            if state[name].shape != tensor.shape:
                raise ValueError(f"{name} is {tuple(state[name].shape)}, not {tuple(tensor.shape)}")
            tensor.copy_(state[name])

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        for group in self._groups:
            for i, name in enumerate(group.names):
                yield f"{name}.exp_avg", group.means[i]
                yield f"{name}.exp_avg_sq", group.squares[i]
                yield f"{name}.step", group.steps[i]


def clip_gradients(model: nn.Module, largest: float) -> Tensor:
    """Scale all gradients so that their joint L2 norm is at most `largest`; 0 only measures.

    Returns:
        The norm before clipping, a scalar on the model's device.
    """
    if largest:
        return nn.utils.clip_grad_norm_(model.parameters(), largest)
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return nn.utils.get_total_norm(gradients)


def _make_group(named: list[tuple[str, nn.Parameter]], weight_decay: float) -> _Group:
    parameters = [p for _, p in named]
    return _Group(
        names=[n for n, _ in named],
        parameters=parameters,
        means=[torch.zeros_like(p) for p in parameters],
        squares=[torch.zeros_like(p) for p in parameters],
        steps=[torch.zeros((), device=p.device) for p in parameters],
        weight_decay=weight_decay,
    )


def _gradient(parameter: nn.Parameter) -> Tensor:
    if parameter.grad is None:
        raise RuntimeError("a parameter has no gradient: it is not part of the loss")
    return parameter.grad
