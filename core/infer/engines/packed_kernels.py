"""Products of packed matrices and vectors in integers, for compiled functions.

How to use them: `lay_out` the matrix once. For each vector, round it (`round_to_int16` beside
8-bit weights, `round_to_int8` beside 4-bit ones), then call the kernel for rows `first` …
`end - 1`. `first` is a multiple of BLOCK; `end` is too, or is the number of rows. Rounding is
cheap: threads that share a matrix may each round into buffers of their own rather than wait.

Arguments are int64. `y` is the address of a whole float32 vector, of which the rows asked for
are written and no others; `w`, `scales`, `zeros` (0: symmetric) and `cols` are those of `LaidOut`;
`x` is not read; `xq` and `xs` are what rounding left; `group` 0 is the whole row (8 bits only).

Integer sums are exact: those of SPAN columns of 8-bit weights fit int32; of 32 columns of 4-bit
weights a lane adds 16 products, and 16 · 15 · 127 fits even int16. Their zero of 8 is taken off
by the sum of the activations. Scales are float16, sums over groups float32.
"""

from __future__ import annotations

from typing import Any

from core.infer.engines.compiled import compiled
from core.infer.engines.memory import store_float
from core.infer.engines.packed_layout import BLOCK, SPAN, STEP
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
    no_floats,
    no_ints,
    no_shorts,
    sum_pairs,
    to_floats,
)
from core.infer.engines.vectors import LANES, madd8, mul8, store8


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
    """Rows of y = W x, of 8-bit W and x rounded to int16."""
    span, n_groups = (group, cols // group) if group > 0 else (SPAN, 1)
    for row in range(first, end, BLOCK):
        at = 2 * row * n_groups
        low, high = _block_q8(w + row * cols, scales + at, xq, cols, span, group)
        scale = fill_floats(xs)
        _store_rows(y + 4 * row, mul8(low, scale), mul8(high, scale), end - row)


@compiled
def _block_q8(w: int, scales: int, xq: int, cols: int, span: int, group: int) -> Any:
    low = high = no_floats()
    at = 0
    while at < cols:
        stop, u, v = min(cols, at + span), no_ints(), no_ints()
        while at < stop:
            for pair in range(at, at + STEP, 2):
                x, codes = fill_shorts(xq + 2 * pair), w + BLOCK * pair
                u = add_ints(u, dot_pairs(load_widened(codes), x))
                v = add_ints(v, dot_pairs(load_widened(codes + 2 * LANES), x))
            at += STEP
        low = madd8(to_floats(u), load_halves(scales), low)
        high = madd8(to_floats(v), load_halves(scales + 2 * LANES), high)
        if group > 0:
            scales += 2 * BLOCK
    return low, high


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
    """Rows of y = W x, of 4-bit W and x rounded to int8."""
    n_groups = cols // group
    for row in range(first, end, BLOCK):
        at = 2 * row * n_groups
        codes = w + row * (cols // 2)
        if zeros == 0:
            low, high = _block_q4(codes, scales + at, xq, xs, n_groups, group)
        else:
            low, high = _block_q4_with_zeros(
                codes, scales + at, zeros + at, xq, xs, n_groups, group
            )
        _store_rows(y + 4 * row, low, high, end - row)


@compiled
def _block_q4(w: int, scales: int, xq: int, xs: int, n_groups: int, group: int) -> Any:
    low = high = no_floats()
    for _ in range(n_groups):
        u, v = _group_q4(w, xq, group)
        eights, scale = fill_ints(xs + 4), fill_floats(xs)
        low = madd8(to_floats(add_ints(u, eights)), mul8(load_halves(scales), scale), low)
        wide = load_halves(scales + 2 * LANES)
        high = madd8(to_floats(add_ints(v, eights)), mul8(wide, scale), high)
        w, scales, xq, xs = w + BLOCK // 2 * group, scales + 2 * BLOCK, xq + group, xs + 8
    return low, high


@compiled
def _block_q4_with_zeros(
    w: int, scales: int, zeros: int, xq: int, xs: int, n_groups: int, group: int
) -> Any:
    low = high = no_floats()
    for _ in range(n_groups):
        u, v = _group_q4(w, xq, group)
        eights, scale = to_floats(fill_ints(xs + 4)), fill_floats(xs)
        from_zero = madd8(eights, load_halves(zeros), to_floats(u))
        low = madd8(from_zero, mul8(load_halves(scales), scale), low)
        from_zero = madd8(eights, load_halves(zeros + 2 * LANES), to_floats(v))
        high = madd8(from_zero, mul8(load_halves(scales + 2 * LANES), scale), high)
        w, scales, xq, xs = w + BLOCK // 2 * group, scales + 2 * BLOCK, xq + group, xs + 8
        zeros += 2 * BLOCK
    return low, high


@compiled
def _group_q4(w: int, xq: int, group: int) -> Any:
    """Sums of a group's codes (0 … 15) times activations, of both halves of a block."""
    sums_u, sums_v, half = no_ints(), no_ints(), group // 2
    for _ in range(group // 32):
        u = v = no_shorts()
        for quad in range(0, 16, 4):
            x, x_half = fill_bytes(xq + quad), fill_bytes(xq + half + quad)
            codes = load_bytes(w + BLOCK * quad)
            u = add_shorts(u, dot_bytes(low_nibbles(codes), x))
            u = add_shorts(u, dot_bytes(high_nibbles(codes), x_half))
            codes = load_bytes(w + BLOCK * quad + 4 * LANES)
            v = add_shorts(v, dot_bytes(low_nibbles(codes), x))
            v = add_shorts(v, dot_bytes(high_nibbles(codes), x_half))
        sums_u, sums_v = add_ints(sums_u, sum_pairs(u)), add_ints(sums_v, sum_pairs(v))
        w, xq = w + 16 * BLOCK, xq + 16
    return sums_u, sums_v


@compiled
def _store_rows(y: int, low: Any, high: Any, n: int) -> None:
    """Both halves of a block, or their first `n` rows."""
    if n >= BLOCK:
        store8(y, low)
        store8(y + 4 * LANES, high)
    else:
        for row in range(n):
            value = lane8(low, row) if row < LANES else lane8(high, row - LANES)
            store_float(y + 4 * row, value)
