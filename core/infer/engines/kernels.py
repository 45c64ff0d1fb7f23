"""Products of float32 matrices and vectors, for compiled functions.

Addresses and sizes are int64. Matrices are row-major, as a linear layer has them, and used
in place. A kernel computes rows `first` … `end - 1` of a product and nothing else, so that
threads share a matrix by its rows.

Four rows at a time with two sums each keep the loads of one core busy: 8 FMAs are in
flight, and memory is read in four streams, which a processor prefetches by itself
(prefetching by hand was slower, see docs/lab-notes.md).
"""

from __future__ import annotations

import numpy as np

from core.infer.engines.compiled import compiled
from core.infer.engines.memory import load_float, store_float
from core.infer.engines.vectors import (
    LANES_BYTES,
    add8,
    load8,
    madd8,
    splat8,
    sum8,
)

ZERO = np.float32(0)
PAIR = 2 * LANES_BYTES


@compiled
def gemv_f32(
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
    """Rows `first` … `end - 1` of y = W x; the other arguments are those of packed kernels."""
    row = first
    while row + 4 <= end:
        _four_rows(y + 4 * row, w + 4 * row * cols, x, cols)
        row += 4
    while row < end:
        store_float(y + 4 * row, dot(w + 4 * row * cols, x, cols))
        row += 1


@compiled
def gemm_f32(y: int, w: int, x: int, stride: int, n: int, first: int, end: int, cols: int) -> None:
    """Like `gemv_f32` for `n` vectors, which lie `stride` bytes apart in x and in y."""
    row = first
    while row + 4 <= end:
        rows, out = w + 4 * row * cols, y + 4 * row
        i = 0
        while i + 2 <= n:
            _four_by_two(out + i * stride, rows, x + i * stride, stride, cols)
            i += 2
        if i < n:
            _four_rows(out + i * stride, rows, x + i * stride, cols)
        row += 4
    while row < end:
        for i in range(n):
            shift = i * stride
            store_float(y + 4 * row + shift, dot(w + 4 * row * cols, x + shift, cols))
        row += 1


@compiled
def dot(a: int, b: int, n: int) -> np.float32:
    """Sum of the products of `n` numbers at `a` and at `b`."""
    size, at = 4 * n, 0
    s = t = splat8(ZERO)
    while at + PAIR <= size:
        s = madd8(load8(a + at), load8(b + at), s)
        t = madd8(load8(a + at + LANES_BYTES), load8(b + at + LANES_BYTES), t)
        at += PAIR
    if at + LANES_BYTES <= size:
        s = madd8(load8(a + at), load8(b + at), s)
        at += LANES_BYTES
    total = sum8(add8(s, t))
    while at < size:
        total += load_float(a + at) * load_float(b + at)
        at += 4
    return total


@compiled
def _four_rows(y: int, w: int, x: int, cols: int) -> None:
    size, at = 4 * cols, 0
    w1, w2, w3 = w + size, w + 2 * size, w + 3 * size
    s0 = s1 = s2 = s3 = t0 = t1 = t2 = t3 = splat8(ZERO)
    while at + PAIR <= size:
        u, v, on = load8(x + at), load8(x + at + LANES_BYTES), at + LANES_BYTES
        s0, t0 = madd8(load8(w + at), u, s0), madd8(load8(w + on), v, t0)
        s1, t1 = madd8(load8(w1 + at), u, s1), madd8(load8(w1 + on), v, t1)
        s2, t2 = madd8(load8(w2 + at), u, s2), madd8(load8(w2 + on), v, t2)
        s3, t3 = madd8(load8(w3 + at), u, s3), madd8(load8(w3 + on), v, t3)
        at += PAIR
    y0, y1, y2, y3 = sum8(add8(s0, t0)), sum8(add8(s1, t1)), sum8(add8(s2, t2)), sum8(add8(s3, t3))
    while at < size:
        u1 = load_float(x + at)
        y0, y1 = y0 + load_float(w + at) * u1, y1 + load_float(w1 + at) * u1
        y2, y3 = y2 + load_float(w2 + at) * u1, y3 + load_float(w3 + at) * u1
        at += 4
    store_float(y, y0)
    store_float(y + 4, y1)
    store_float(y + 8, y2)
    store_float(y + 12, y3)


@compiled
def _four_by_two(y: int, w: int, x: int, stride: int, cols: int) -> None:
    size, at = 4 * cols, 0
    w1, w2, w3 = w + size, w + 2 * size, w + 3 * size
    s0 = s1 = s2 = s3 = t0 = t1 = t2 = t3 = splat8(ZERO)
    while at + LANES_BYTES <= size:
        u, v = load8(x + at), load8(x + stride + at)
        a, b, c, d = load8(w + at), load8(w1 + at), load8(w2 + at), load8(w3 + at)
        s0, t0 = madd8(a, u, s0), madd8(a, v, t0)
        s1, t1 = madd8(b, u, s1), madd8(b, v, t1)
        s2, t2 = madd8(c, u, s2), madd8(c, v, t2)
        s3, t3 = madd8(d, u, s3), madd8(d, v, t3)
        at += LANES_BYTES
    done, rest = at, (size - at) // 4
    for i in range(2):
        shift = i * stride
        if i == 0:
            y0, y1, y2, y3 = sum8(s0), sum8(s1), sum8(s2), sum8(s3)
        else:
            y0, y1, y2, y3 = sum8(t0), sum8(t1), sum8(t2), sum8(t3)
        if rest > 0:
            y0 += dot(w + done, x + shift + done, rest)
            y1 += dot(w1 + done, x + shift + done, rest)
            y2 += dot(w2 + done, x + shift + done, rest)
            y3 += dot(w3 + done, x + shift + done, rest)
        store_float(y + shift, y0)
        store_float(y + shift + 4, y1)
        store_float(y + shift + 8, y2)
        store_float(y + shift + 12, y3)
