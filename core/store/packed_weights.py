"""Packed matrices among the weights of a checkpoint.

In the place of a matrix NAME its file holds NAME.codes, NAME.scales and, where the zeros are not
all the same, NAME.zeros. Bits and groups follow from types and shapes, so that each matrix may
have its own.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from core.errors import ConfigError, RunError
from core.model.packed import LOWEST, PackedMatrix
from core.store.run import FACT, Run

CODES, SCALES, ZEROS = ".codes", ".scales", ".zeros"
_BITS = {torch.int8: 8, torch.uint8: 4}


def to_tensors(
    weights: Mapping[str, Tensor], packed: Mapping[str, PackedMatrix]
) -> dict[str, Tensor]:
    """What a file holds: the packed ones in parts, the others of `weights` as they are."""
    tensors = {name: tensor for name, tensor in weights.items() if name not in packed}
    for name, matrix in packed.items():
        tensors |= {name + CODES: matrix.codes, name + SCALES: matrix.scales}
        if matrix.zeros is not None:
            tensors[name + ZEROS] = matrix.zeros
    return tensors


def from_tensors(
    tensors: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], dict[str, PackedMatrix]]:
    """The weights of a file, those of packed matrices dequantised, and the packed matrices.

    Raises:
        ValueError: parts of a matrix are missing, or do not fit together.
    """
    names = [name.removesuffix(CODES) for name in tensors if name.endswith(CODES)]
    if twice := next((name for name in names if name in tensors), None):
        raise ValueError(f"{twice} is there twice, packed and as it is")
    packed = {name: _matrix(name, tensors) for name in names}
    parts = {name + part for name in names for part in (CODES, SCALES, ZEROS)}
    weights = {name: tensor for name, tensor in tensors.items() if name not in parts}
    return weights | {name: matrix.dequantize() for name, matrix in packed.items()}, packed


def _matrix(name: str, tensors: Mapping[str, Tensor]) -> PackedMatrix:
    codes, scales = tensors[name + CODES], tensors.get(name + SCALES)
    bits = _BITS.get(codes.dtype)
    if bits is None or codes.dim() != 2 or not codes.numel():
        raise ValueError(f"{name}{CODES} are {tuple(codes.shape)} {codes.dtype}")
    if scales is None:
        raise ValueError(f"{name}{SCALES} is missing")
    rows, cols = codes.size(0), codes.size(1) * 8 // bits
    n_groups = scales.size(1) if scales.dim() == 2 else 0
    if not n_groups or cols % n_groups:
        raise ValueError(f"{name}{SCALES} are {tuple(scales.shape)}")
    if bits == 8 and int(codes.min()) < LOWEST[8]:  # which the kernels do not expect
        raise ValueError(f"{name}{CODES} go below {LOWEST[8]}")
    group_size = 0 if bits == 8 and n_groups == 1 else cols // n_groups
    zeros = tensors.get(name + ZEROS)
    if bits == 8 and zeros is not None:  # which the kernels would not see
        raise ValueError(f"{name}{ZEROS} are there, and 8 bits have none")
    for part, numbers in ((SCALES, scales), (ZEROS, zeros)):
        if numbers is not None and not bool(torch.isfinite(numbers).all()):
            raise ValueError(f"{name}{part} hold a number that is not finite")
    try:
        return PackedMatrix(bits, group_size, (rows, cols), codes, scales, zeros)
    except ConfigError as error:
        raise ValueError(f"{name}: {str(error).removesuffix('.')}") from error


def checked_not_quantized(run: Run) -> Run:
    """`run`, if it has more than weights: a quantised one has nothing to train on from.

    Raises:
        RunError: it is one.
    """
    if FACT in run.provenance:
        raise RunError(
            f"The run {run.name} is quantised: it cannot be resumed, replayed or put into a"
            " capsule.",
            hint=f"minitf train --init-from {run.name} begins a new run from its weights.",
        )
    return run
