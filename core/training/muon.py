"""Muon: the step of a matrix is its momentum with all singular values brought near 1.

Matrices of one shape are stacked and orthogonalised together, in a few batched products. They may
be cut into pieces first, each orthogonalised alone: rows of the matrix, or its columns where
it writes into the residual stream, so that with the width of a head for a piece each head is
a matrix of its own. Products of a thin piece's n x n square are (128 / n) times cheaper. A step
has the size that AdamW's usually has (its numbers have a root mean square of 0.2), so that one
learning rate serves both.

Stacks have the shape (pieces, rows, columns).

Sources: Jordan et al. 2024, kellerjordan.github.io/posts/muon (the algorithm); arXiv:2505.16932,
"Polar Express" (a best polynomial for each iteration, and its safety); arXiv:2502.16982 §2.2
(decay, and the size of a step).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from core.config import TrainConfig
from core.training.groups import ParameterGroup

COEFFICIENTS = (
    (8.3007, -24.0375, 17.4661),
    (4.0034, -2.9228, 0.5419),
    (3.4709, -2.5494, 0.5002),
    (2.4901, -1.8343, 0.4368),
)
"""Of quintics that one after the other bring all singular values in [0.003, 1] as near to 1 as
quintics can, to 0.80 … 1.20. All but the last take their values 1 % smaller than they are, for
what rounding makes too large."""
EPSILON = 1e-7
SIZE = 0.2
"""Root mean square of a step's numbers, at learning rate 1."""


class Muon:
    """The momentum of a group's matrices, and the step it makes."""

    def __init__(self, group: ParameterGroup, config: TrainConfig, dtype: str) -> None:
        self._group, self._momentum = group, config.momentum
        stacks: dict[tuple[int, ...], list[tuple[str, nn.Parameter]]] = {}
        for name, parameter in zip(group.names, group.parameters, strict=True):
            shape = tuple(_pieces(name, parameter, config.muon_rows).shape[1:])
            stacks.setdefault(shape, []).append((name, parameter))
        self._stacks = [
            _Stack(named, config.muon_rows, getattr(torch, dtype)) for named in stacks.values()
        ]

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
    """Pieces of one shape, of one or more matrices."""

    def __init__(
        self, named: list[tuple[str, nn.Parameter]], rows: int, dtype: torch.dtype
    ) -> None:
        self._named, self._rows, self._dtype = named, rows, dtype
        pieces = self._all_pieces([p.detach() for _, p in named])
        self._momentum = torch.zeros_like(torch.cat(pieces))
        self._scale = SIZE * math.sqrt(max(self._momentum.shape[1:]))

    def step(self, lr: float, momentum: float, weight_decay: float) -> None:
        parameters = self._all_pieces([p.detach() for _, p in self._named])
        gradients = self._all_pieces([p.grad for _, p in self._named if p.grad is not None])
        update = torch.cat(gradients)
        self._momentum.lerp_(update, 1 - momentum)
        update.lerp_(self._momentum, momentum)  # Nesterov's
        update = orthogonalized(update, self._dtype)
        if weight_decay:
            torch._foreach_mul_(parameters, 1 - lr * weight_decay)
        torch._foreach_add_(parameters, list(self._split(update)), alpha=-lr * self._scale)

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        for (name, _), held in zip(self._named, self._split(self._momentum), strict=True):
            whole = held.flatten(0, 1)
            yield f"{name}.momentum_buffer", whole.mT if _writes(name) else whole

    def _all_pieces(self, matrices: list[Tensor]) -> list[Tensor]:
        """Views."""
        names = (name for name, _ in self._named)
        return [_pieces(name, m, self._rows) for name, m in zip(names, matrices, strict=True)]

    def _split(self, stacked: Tensor) -> tuple[Tensor, ...]:
        """The pieces of each parameter; views."""
        return stacked.split([len(_pieces(name, p, self._rows)) for name, p in self._named])


def orthogonalized(matrices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Each matrix with its singular vectors kept and its singular values brought to about 1,
    within 0.8 … 1.2 unless they were tiny; a matrix of zeros stays one.

    They must be at most 1 first. What they are divided by is the fourth root of the sum of their
    fourth powers, the norm of x xᵀ: it is nearer to the largest one than the norm of x is.

    Returns:
        Tensor of the same shape, of the type of `matrices`.
    """
    is_tall = matrices.size(1) > matrices.size(2)
    x = matrices.mT if is_tall else matrices
    x = (x / _size(x)).to(dtype)
    square = x @ x.mT
    size = _size(square)
    square /= size
    factor = _polynomial(square, COEFFICIENTS[0])
    if dtype == torch.float32 and 2 * x.size(1) <= x.size(2):
        x = _by_its_square(square, factor) * size.rsqrt() @ x
    else:
        x = factor * size.rsqrt() @ x
        for coefficients in COEFFICIENTS[1:]:
            x = _polynomial(x @ x.mT, coefficients) @ x
    x = x.to(matrices.dtype)
    return x.mT if is_tall else x


def _by_its_square(square: Tensor, factor: Tensor) -> Tensor:
    """What all polynomials come to, as one factor of x, after the first: for wide matrices, whose
    x xᵀ is small. Squares have half the digits, so it needs float32."""
    last = factor
    for coefficients in COEFFICIENTS[1:]:
        square = last @ (square @ last)
        last = _polynomial(square, coefficients)
        factor = last @ factor
    return factor


def _polynomial(square: Tensor, coefficients: tuple[float, float, float]) -> Tensor:
    """What takes x, of which this is x xᵀ, a step further."""
    a, b, c = coefficients
    found = torch.baddbmm(square, square, square, beta=b, alpha=c)
    found.diagonal(dim1=1, dim2=2).add_(a)
    return found


def _size(matrices: Tensor) -> Tensor:
    """Frobenius norm of each, never 0."""
    return matrices.norm(dim=(1, 2), keepdim=True).clamp(min=EPSILON)


def _pieces(name: str, matrix: Tensor, rows: int) -> Tensor:
    """View of shape (pieces, rows, columns); a matrix that does not divide is one piece."""
    if _writes(name):
        matrix = matrix.mT
    n = matrix.size(0)
    return matrix.unflatten(0, (-1, rows if rows and n % rows == 0 else n))


def _writes(name: str) -> bool:
    """Whether it is a matrix that writes into the residual stream, and reads heads."""
    return name.endswith(("o_proj.weight", "down_proj.weight"))
