"""Products of packed matrices and vectors in integers, for compiled functions.

How to use them. Lay a matrix out once (`lay_out`), which orders its codes by blocks of eight rows:
one load holds the same columns of eight rows, each lane sums one row, and a row's scale is its
lane's. For each product, round the activations (`round_to_int16` for 8-bit weights,
`round_to_int8` for 4), then call the kernel, which computes rows `first` … `end - 1`; `first` is
a multiple of BLOCK, and so is `end`, or it is the number of rows. Rounding is cheap: threads
that share a product may each round into buffers of their own rather than wait for each other.

Buffers, all by address, aligned to 4 bytes: `x` float32 (cols); `xq` and `xs` of
`activation_bytes(cols)`; `y` float32 (rows), of which only the rows asked for are written.
`cols` and weights are those of `LaidOut`, `zeros` 0 if there are none. x = xs * xq:
  8 bits  xq int16, zeros after the last column; xs one float32.
  4 bits  xq int8; xs for each group a float32, and an int32: -8 times the sum of its xq.
An activation that is not finite makes its xs NaN, and with it the whole product.

Rounding: activations have 16 bits beside 8-bit weights (one scale a vector) and 8 bits beside 4-bit
weights (a scale for each group of the weights, as llama.cpp's q8_0): the error of the
weights is above ten times theirs. Sums are exact in int32: 8 bits |127 * 32767 * 512| < 2^31, hence
the SPAN; 4 bits |15 * 127 * 32| < 2^16 / 2 for a sum of 16 bits over 32 columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from core.infer.engines.compiled import compiled
from core.infer.engines.memory import load_float, store_float
from core.infer.engines.packed_vectors import (
    add_ints,
    add_shorts,
    dot_bytes,
    dot_pairs,
    fill_bytes,
    fill_floats,
    fill_ints,
    fill_shorts,
    high_nibbles,
    lane8,
    load_bytes,
    load_halves,
    load_widened,
    low_nibbles,
    no_ints,
    no_shorts,
    round8,
    store_bytes,
    store_int32,
    store_shorts,
    sum_ints,
    sum_pairs,
    to_floats,
    with_lane8,
)
from core.infer.engines.vectors import (
    LANES,
    largest8,
    load8,
    madd8,
    max8,
    mul8,
    splat8,
    store8,
    sub8,
    sum8,
)
from core.model.packed import PackedMatrix

BLOCK = 8
"""Rows that are computed together."""
SPAN = 512
"""Columns of 8-bit weights whose products are summed in int32."""
_EVEN = 16
"""Columns of 8-bit weights are filled up to a multiple of it."""
ZERO = np.float32(0)
_TINY = np.float32(1e-30)
"""Activations that are all below it count as zeros: their inverse has no float32."""


@dataclass(frozen=True, slots=True)
class LaidOut:
    """A packed matrix in the order of its kernel; rows are filled up to whole blocks.

    8 bits: codes (blocks, cols / 2, 8, 2). 4 bits: codes (blocks, groups, group / 8, 8, 4).
    Scales and zeros / 8: float16 (blocks, groups, 8).
    """

    bits: int
    group_size: int
    shape: tuple[int, int]
    codes: Tensor
    scales: Tensor
    zeros: Tensor | None

    @property
    def cols(self) -> int:
        """What the kernel is told: with 8 bits more than the matrix has, of zeros."""
        return self.shape[1] if self.bits == 4 else _evened(self.shape[1])


def lay_out(matrix: PackedMatrix) -> LaidOut:
    """A copy of the matrix for its kernel, aligned to 64 bytes."""
    rows, cols = matrix.shape
    blocks, more = -(-rows // BLOCK), -rows % BLOCK
    if matrix.bits == 8:
        codes = nn.functional.pad(matrix.codes, (0, _evened(cols) - cols, 0, more))
        codes = codes.view(blocks, BLOCK, -1, 2).transpose(1, 2)
    else:
        codes = nn.functional.pad(matrix.codes, (0, 0, 0, more))
        n_groups, steps = cols // matrix.group_size, matrix.group_size // 8
        codes = codes.view(blocks, BLOCK, n_groups, steps, 4).permute(0, 2, 3, 1, 4)
    zeros = None if matrix.zeros is None else _by_block(matrix.zeros / 8)
    return LaidOut(
        matrix.bits,
        matrix.group_size,
        matrix.shape,
        codes.clone(memory_format=torch.contiguous_format),
        _by_block(matrix.scales),
        zeros,
    )


def activation_bytes(cols: int) -> tuple[int, int]:
    """Sizes of `xq` and `xs` for a vector of `cols` numbers, whatever the bits."""
    return 2 * _evened(cols), 8 * max(1, cols // 32)


def _by_block(values: Tensor) -> Tensor:
    padded = nn.functional.pad(values, (0, 0, 0, -values.size(0) % BLOCK))
    blocks = padded.view(-1, BLOCK, values.size(1)).transpose(1, 2)
    return blocks.clone(memory_format=torch.contiguous_format)


def _evened(cols: int) -> int:
    return -(-cols // _EVEN) * _EVEN


@compiled
def gemv_q8(
    y: int,
    w: int,
    scales: int,
    zeros: int,
    x: int,
    xq: int,
    xs: int,
    first: int,
    end: int,
    cols: int,
    group: int,
) -> None:
    """Rows of y = W x, of 8-bit W and x rounded to int16; `group` 0 is the whole row."""
    n_groups = cols // group if group > 0 else 1
    scale = fill_floats(xs)
    for row in range(first, end, BLOCK):
        total = _block_q8(w + row * cols, scales + 2 * row * n_groups, xq, cols, group)
        _store_block(y, mul8(total, scale), row, end)


@compiled
def _block_q8(w: int, scales: int, xq: int, cols: int, group: int) -> Any:
    span = group if group > 0 else SPAN
    total = splat8(ZERO)
    at = 0
    while at < cols:
        end, sums = min(cols, at + span), no_ints()
        while at < end:
            sums = add_ints(sums, dot_pairs(load_widened(w + 8 * at), fill_shorts(xq + 2 * at)))
            at += 2
        total = madd8(to_floats(sums), load_halves(scales), total)
        if group > 0:
            scales += 2 * BLOCK
    return total


@compiled
def gemv_q4(
    y: int,
    w: int,
    scales: int,
    zeros: int,
    x: int,
    xq: int,
    xs: int,
    first: int,
    end: int,
    cols: int,
    group: int,
) -> None:
    """Rows of y = W x, of 4-bit W and x rounded to int8; `zeros` 0 is symmetric."""
    n_groups = cols // group
    for row in range(first, end, BLOCK):
        at = 2 * row * n_groups
        codes = w + row * (cols // 2)
        if zeros == 0:
            total = _block_q4(codes, scales + at, xq, xs, n_groups, group)
        else:
            total = _block_q4_with_zeros(codes, scales + at, zeros + at, xq, xs, n_groups, group)
        _store_block(y, total, row, end)


@compiled
def _block_q4(w: int, scales: int, xq: int, xs: int, n_groups: int, group: int) -> Any:
    total = splat8(ZERO)
    for _ in range(n_groups):
        sums = add_ints(fill_ints(xs + 4), _group_q4(w, xq, group))
        scale = mul8(load_halves(scales), fill_floats(xs))
        total = madd8(to_floats(sums), scale, total)
        w, scales, xq, xs = w + 4 * group, scales + 2 * BLOCK, xq + group, xs + 8
    return total


@compiled
def _block_q4_with_zeros(
    w: int, scales: int, zeros: int, xq: int, xs: int, n_groups: int, group: int
) -> Any:
    total = splat8(ZERO)
    for _ in range(n_groups):
        sums = to_floats(_group_q4(w, xq, group))
        sums = madd8(to_floats(fill_ints(xs + 4)), load_halves(zeros), sums)
        scale = mul8(load_halves(scales), fill_floats(xs))
        total = madd8(sums, scale, total)
        w, scales, xq, xs = w + 4 * group, scales + 2 * BLOCK, xq + group, xs + 8
        zeros += 2 * BLOCK
    return total


@compiled
def _group_q4(w: int, xq: int, group: int) -> Any:
    """Products of a group's codes (0 … 15) and activations, of eight rows."""
    sums, half = no_ints(), group // 2
    for _ in range(group // 32):
        small = no_shorts()
        for step in range(0, 16, 4):
            codes = load_bytes(w + 8 * step)
            low = dot_bytes(low_nibbles(codes), fill_bytes(xq + step))
            high = dot_bytes(high_nibbles(codes), fill_bytes(xq + half + step))
            small = add_shorts(small, add_shorts(low, high))
        sums = add_ints(sums, sum_pairs(small))
        w, xq = w + 128, xq + 16
    return sums


@compiled
def _store_block(y: int, values: Any, row: int, end: int) -> None:
    if row + BLOCK <= end:
        store8(y + 4 * row, values)
    else:
        for lane in range(end - row):
            store_float(y + 4 * (row + lane), lane8(values, lane))


@compiled
def round_to_int16(x: int, xq: int, xs: int, cols: int) -> None:
    """Round activations for 8-bit weights: to 16 bits, with one scale."""
    scale, inverse = _scales(x, cols, np.float32(32767))
    store_float(xs, scale)
    at = 0
    while at + LANES <= cols:
        store_shorts(xq + 2 * at, round8(mul8(load8(x + 4 * at), splat8(inverse))))
        at += LANES
    if at < cols:
        store_shorts(xq + 2 * at, round8(mul8(_last(x, at, cols), splat8(inverse))))
        at += LANES
    if at % _EVEN:
        store_shorts(xq + 2 * at, round8(splat8(ZERO)))


@compiled
def round_to_int8(x: int, xq: int, xs: int, cols: int, group: int) -> None:
    """Round activations for 4-bit weights: to 8 bits, with a scale for each group."""
    for _ in range(cols // group):
        scale, inverse = _scales(x, group, np.float32(127))
        sums = round8(splat8(ZERO))
        for at in range(0, group, LANES):
            codes = round8(mul8(load8(x + 4 * at), splat8(inverse)))
            store_bytes(xq + at, codes)
            sums = add_ints(sums, codes)
        store_float(xs, scale)
        store_int32(xs + 4, -8 * sum_ints(sums))
        x, xq, xs = x + 4 * group, xq + group, xs + 8


@compiled
def _scales(x: int, n: int, most: np.float32) -> tuple[np.float32, np.float32]:
    """What a code of 1 is worth, with codes up to `most`, and its inverse; NaN and 0 of bad numbers."""
    largest, defects = splat8(ZERO), splat8(ZERO)
    at = 0
    while at < n:
        values = load8(x + 4 * at) if at + LANES <= n else _last(x, at, n)
        largest = max8(largest, max8(values, sub8(splat8(ZERO), values)))
        defects = madd8(values, splat8(ZERO), defects)
        at += LANES
    top, defect = largest8(largest), sum8(defects)
    if defect != defect:
        return defect, ZERO
    return top / most, most / top if top > _TINY else ZERO


@compiled
def _last(x: int, at: int, n: int) -> Any:
    """Numbers `at` … `n - 1`, fewer than eight, and zeros."""
    values = splat8(ZERO)
    for lane in range(n - at):
        values = with_lane8(values, load_float(x + 4 * (at + lane)), lane)
    return values
