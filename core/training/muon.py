"""Muon: the step of a matrix is its momentum with all singular values brought near 1.

Matrices of one shape are stacked and orthogonalised together, in a few batched products; a tall
one counts as its transpose. A step has the size that AdamW's usually has (its numbers have a
root mean square of 0.2), so that one learning rate serves both.

Stacks have the shape (matrices, rows, columns) with rows <= columns.

Sources: Jordan et al. 2024, kellerjordan.github.io/posts/muon (the algorithm and the
coefficients); arXiv:2502.16982 §2.2 (decay, and the size of a step).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from core.config import TrainConfig
from core.training.groups import ParameterGroup

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of a quintic that takes singular values in (0, 1] to the neighbourhood of 1, iterated."""
ITERATIONS = 5
EPSILON = 1e-7
SIZE = 0.2
"""Root mean square of a step's numbers, at learning rate 1."""


class Muon:
    """The momentum of a group's matrices, and the step it makes."""

    def __init__(self, group: ParameterGroup, config: TrainConfig, dtype: str) -> None:
        self._group, self._momentum = group, config.momentum
        shapes: dict[tuple[int, ...], list[tuple[str, nn.Parameter]]] = {}
        for name, parameter in zip(group.names, group.parameters, strict=True):
            shapes.setdefault(tuple(_wide(parameter).shape), []).append((name, parameter))
        self._stacks = [_Stack(named, getattr(torch, dtype)) for named in shapes.values()]

    def step(self, lr: float) -> None:
        """Update the parameters in place from their gradients."""
        self._group.gradients()  # one that is missing is told by a sentence
        lr *= self._group.lr_ratio
        for stack in self._stacks:
            stack.step(lr, self._momentum, self._group.weight_decay)

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """The momentum by name; views."""
        for stack in self._stacks:
            yield from stack.tensors()


class _Stack:
    """Matrices of one shape, or of its transpose."""

    def __init__(self, named: list[tuple[str, nn.Parameter]], dtype: torch.dtype) -> None:
        self._names = [name for name, _ in named]
        self._parameters = [parameter for _, parameter in named]
        self._dtype = dtype
        self._momentum = torch.stack([torch.zeros_like(_wide(p)) for p in self._parameters])
        self._update = torch.empty_like(self._momentum)
        self._scale = SIZE * math.sqrt(self._momentum.size(2))

    def step(self, lr: float, momentum: float, weight_decay: float) -> None:
        parameters = [_wide(p.detach()) for p in self._parameters]
        gradients = [_wide(p.grad) for p in self._parameters if p.grad is not None]
        update = torch.stack(gradients, out=self._update)
        self._momentum.lerp_(update, 1 - momentum)
        update.lerp_(self._momentum, momentum)  # Nesterov's
        update = orthogonalized(update, self._dtype)
        if weight_decay:
            torch._foreach_mul_(parameters, 1 - lr * weight_decay)
        torch._foreach_add_(parameters, list(update.unbind()), alpha=-lr * self._scale)

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        for name, parameter, held in zip(
            self._names, self._parameters, self._momentum, strict=True
        ):
            is_wide = parameter.size(0) <= parameter.size(1)
            yield f"{name}.momentum_buffer", held if is_wide else held.mT


def orthogonalized(matrices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Each matrix with its singular vectors kept and its singular values brought to about 1,
    within 0.68 … 1.14 unless they were tiny; a matrix of zeros stays one.

    Returns:
        Tensor of the same shape, of the type of `matrices`.
    """
    a, b, c = COEFFICIENTS
    x = matrices / matrices.norm(dim=(1, 2), keepdim=True).clamp(min=EPSILON)
    x = x.to(dtype)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return x.to(matrices.dtype)


def _wide(matrix: Tensor) -> Tensor:
    return matrix if matrix.size(0) <= matrix.size(1) else matrix.mT
