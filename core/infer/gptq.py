"""Rounding a matrix column by column, each later column making good the error of earlier ones.

What is kept small is the error of the products with the inputs of a calibration text, not of
the weights. A group's scales are chosen when its first column is reached, from the weights as
they have become by then.

Shape suffixes: R rows · C columns, of the matrix or of a group.

Source: GPTQ, arXiv:2210.17323, algorithm 1, with its lazy updates and damping.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.infer.scales import round_to, search, values_of
from core.model.packed import PackedMatrix, check_layout, pack_codes

DAMPING = 0.01
"""Of the mean of the diagonal, added to it."""
BLOCK = 128
"""Columns after which the rest of the matrix is told their errors."""


def pack_gptq(
    weight_RC: Tensor, moments_CC: Tensor, bits: int, group_size: int, *, symmetric: bool = True
) -> PackedMatrix:
    """Pack a matrix for inputs with the second moments `moments_CC`.

    Args:
        weight_RC: float32.
        moments_CC: mean of the outer product of an input with itself, float32 or float64.

    Raises:
        ConfigError: the layout is impossible.
    """
    cols = weight_RC.size(1)
    n_groups = check_layout(bits, group_size, cols)
    width = cols // n_groups
    moments_CC = _damped(moments_CC)
    factor_CC = _inverse_factor(moments_CC)
    importance_C = moments_CC.diagonal().float()
    left_RC = weight_RC.float().clone()
    codes_RC, scales, zeros = torch.empty_like(left_RC), [], []
    for begin in range(0, cols, BLOCK):
        end = min(begin + BLOCK, cols)
        errors_RC = torch.empty_like(left_RC[:, begin:end])
        for i in range(begin, end):
            if i % width == 0:  # a group begins; it ends in this block, or is the whole row
                group = slice(i, i + width)
                scale, zero = _of_group(left_RC[:, group], importance_C[group], bits, symmetric)
                scales.append(scale)
                zeros.append(zero)
            codes_RC[:, i], off_R = _rounded(left_RC[:, i], scales[-1], zeros[-1], bits)
            errors_RC[:, i - begin] = off_R / factor_CC[i, i]
            later = slice(i + 1, end)
            left_RC[:, later].addr_(errors_RC[:, i - begin], factor_CC[i, later], alpha=-1)
        left_RC[:, end:].addmm_(errors_RC, factor_CC[begin:end, end:], alpha=-1)
    stacked = [torch.stack(parts, 1) for parts in (scales, zeros)]
    return pack_codes(codes_RC, stacked[0], None if symmetric else stacked[1], bits, group_size)


def _of_group(
    weight_RC: Tensor, importance_C: Tensor, bits: int, symmetric: bool
) -> tuple[Tensor, Tensor]:
    """Scales and zeros, (R) each."""
    scales, zeros = search(weight_RC[:, None], importance_C[None], bits, symmetric=symmetric)
    return scales[:, 0], zeros[:, 0]


def _rounded(column_R: Tensor, scale_R: Tensor, zero_R: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """The codes of a column, and by how much it is above what they stand for."""
    code_R1 = round_to(column_R[:, None], scale_R, zero_R, bits)
    return code_R1[:, 0], column_R - values_of(code_R1, scale_R, zero_R)[:, 0]


def _damped(moments_CC: Tensor) -> Tensor:
    """Invertible, in float64; an input that was never there counts as an average one."""
    found = moments_CC.double().clone()
    diagonal = found.diagonal()
    mean = float(diagonal.mean()) or 1.0
    diagonal[diagonal == 0] = mean
    diagonal += DAMPING * mean
    return found


def _inverse_factor(moments_CC: Tensor) -> Tensor:
    """Upper factor of the inverse, float32: its row i tells the later columns what to make of an
    error in column i."""
    inverse_CC = torch.cholesky_inverse(torch.linalg.cholesky(moments_CC))
    return torch.linalg.cholesky(inverse_CC, upper=True).float()
