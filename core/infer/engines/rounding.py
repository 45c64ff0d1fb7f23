"""Activations rounded to integers, for compiled functions: the other half of a packed product.

x = xs * xq. Beside 8-bit weights xq is int16, with one scale for the whole vector; beside 4-bit
weights int8, with a scale for each group of the weights (as llama.cpp rounds to q8_0): either
way the error is less than a tenth of what the rounding of the weights makes. A number that is
not finite makes its scale NaN, and with it the product.

Buffers by address, aligned to 4 bytes: `x` float32 (cols); `xq` and `xs` of `activation_bytes`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from core.infer.engines.compiled import compiled
from core.infer.engines.memory import load_float, store_float
from core.infer.engines.packed_layout import STEP
from core.infer.engines.packed_vectors import (
    add_ints,
    no_ints,
    round8,
    store_bytes,
    store_int32,
    store_shorts,
    sum_ints,
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
    sub8,
    sum8,
)

ZERO = np.float32(0)
_MOST_INT16, _MOST_INT8 = np.float32(32767), np.float32(127)
_TINY = np.float32(1e-30)
"""Numbers that are all below it count as zeros: the inverse of their scale is no float32."""


@compiled
def round_to_int16(x: int, xq: int, xs: int, cols: int) -> None:
    """Round activations for 8-bit weights: to 16 bits, with one scale."""
    scale, inverse = _scales(x, cols, _MOST_INT16)
    store_float(xs, scale)
    at = 0
    while at + LANES <= cols:
        store_shorts(xq + 2 * at, round8(mul8(load8(x + 4 * at), splat8(inverse))))
        at += LANES
    if at < cols:
        store_shorts(xq + 2 * at, round8(mul8(_last(x, at, cols), splat8(inverse))))
        at += LANES
    if at % STEP:
        store_shorts(xq + 2 * at, no_ints())


@compiled
def round_to_int8(x: int, xq: int, xs: int, cols: int, group: int) -> None:
    """Round activations for 4-bit weights: to 8 bits, with a scale for each group."""
    for _ in range(cols // group):
        scale, inverse = _scales(x, group, _MOST_INT8)
        sums = no_ints()
        for at in range(0, group, LANES):
            codes = round8(mul8(load8(x + 4 * at), splat8(inverse)))
            store_bytes(xq + at, codes)
            sums = add_ints(sums, codes)
        store_float(xs, scale)
        store_int32(xs + 4, -8 * sum_ints(sums))
        x, xq, xs = x + 4 * group, xq + group, xs + 8


@compiled
def _scales(x: int, n: int, most: np.float32) -> tuple[np.float32, np.float32]:
    """What 1 stands for if `most` is the largest number, and its inverse; else NaN and 0."""
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
