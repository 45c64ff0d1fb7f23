"""What a decode step consists of beside products: each a compiled function over addresses.

Buffers for activations are padded to whole vectors, weights are not.

Sources: those of core/model.
"""

from __future__ import annotations

import math

import numpy as np

from core.infer.engines.compiled import compiled
from core.infer.engines.kernels import ZERO, dot
from core.infer.engines.memory import integer, load_float, store_float
from core.infer.engines.vectors import (
    LANES,
    LANES_BYTES,
    add8,
    div8,
    is_among8,
    largest8,
    load8,
    madd8,
    max8,
    mul8,
    sigmoid8,
    splat8,
    store8,
    sub8,
    sum8,
    tanh8,
)

RELU, GELU, GELU_TANH, RELU2, SWIGLU = range(5)
ONE, HALF = np.float32(1), np.float32(0.5)
SQRT_HALF = np.float32(math.sqrt(0.5))
GELU_SCALE, GELU_CUBE = np.float32(2 * math.sqrt(2 / math.pi)), np.float32(0.044715)


@compiled
def copy(to: int, source: int, n: int) -> None:
    """`n` numbers."""
    end = 4 * n
    at = 0
    while at + LANES_BYTES <= end:
        store8(to + at, load8(source + at))
        at += LANES_BYTES
    while at < end:
        store_float(to + at, load_float(source + at))
        at += 4


@compiled
def add(to: int, a: int, b: int, first: int, end: int) -> None:
    """Numbers `first` … `end - 1` of a + b."""
    at, stop = 4 * first, 4 * end
    while at + LANES_BYTES <= stop:
        store8(to + at, add8(load8(a + at), load8(b + at)))
        at += LANES_BYTES
    while at < stop:
        store_float(to + at, load_float(a + at) + load_float(b + at))
        at += 4


@compiled
def rms_norm(to: int, x: int, weight: int, n: int, eps: float) -> None:
    """x / sqrt(mean of squares + eps), times `weight`."""
    scale = np.float32(1 / math.sqrt(np.float64(dot(x, x, n)) / n + eps))
    _scaled(to, x, weight, n, ZERO, scale)


@compiled
def layer_norm(to: int, x: int, weight: int, bias: int, n: int, eps: float) -> None:
    """(x - mean) / sqrt(variance + eps), times `weight`, plus `bias` unless it is 0."""
    mean = np.float32(_sum(x, n) / np.float32(n))
    squares, at, end = splat8(ZERO), 0, 4 * n
    while at + LANES_BYTES <= end:
        apart = sub8(load8(x + at), splat8(mean))
        squares = madd8(apart, apart, squares)
        at += LANES_BYTES
    total = sum8(squares)
    while at < end:
        rest = load_float(x + at) - mean
        total += rest * rest
        at += 4
    scale = np.float32(1 / math.sqrt(np.float64(total) / n + eps))
    _scaled(to, x, weight, n, mean, scale)
    if bias != 0:
        add(to, to, bias, integer(0), n)


@compiled
def _sum(x: int, n: int) -> float:
    total, at, end = splat8(ZERO), 0, 4 * n
    while at + LANES_BYTES <= end:
        total = add8(load8(x + at), total)
        at += LANES_BYTES
    s = sum8(total)
    while at < end:
        s += load_float(x + at)
        at += 4
    return s


@compiled
def _scaled(to: int, x: int, weight: int, n: int, mean: np.float32, scale: np.float32) -> None:
    end, at = 4 * n, 0
    while at + LANES_BYTES <= end:
        apart = mul8(sub8(load8(x + at), splat8(mean)), splat8(scale))
        store8(to + at, mul8(apart, load8(weight + at)))
        at += LANES_BYTES
    while at < end:
        store_float(to + at, (load_float(x + at) - mean) * scale * load_float(weight + at))
        at += 4


@compiled
def activate(kind: int, to: int, a: int, up: int, first: int, end: int) -> None:
    """The non-linearity of numbers `first` … `end - 1`; with swiglu `a` is the gate of `up`.

    `first` is a multiple of eight, and what lies after `end` up to the next one is spoilt.
    """
    at, stop = 4 * first, 4 * end
    while at < stop:
        x = load8(a + at)
        if kind == SWIGLU:
            store8(to + at, mul8(mul8(x, sigmoid8(x)), load8(up + at)))
        elif kind == RELU:
            store8(to + at, max8(splat8(ZERO), x))
        elif kind == RELU2:
            x = max8(splat8(ZERO), x)
            store8(to + at, mul8(x, x))
        elif kind == GELU_TANH:
            cubed = mul8(mul8(x, x), mul8(x, splat8(GELU_CUBE)))
            store8(to + at, mul8(x, sigmoid8(mul8(splat8(GELU_SCALE), add8(x, cubed)))))
        else:
            for i in range(at, at + LANES_BYTES, 4):
                v = load_float(a + i)
                store_float(to + i, v * HALF * (ONE + np.float32(math.erf(v * SQRT_HALF))))
        at += LANES_BYTES


@compiled
def soft_cap(x: int, cap: float, first: int, end: int) -> None:
    """cap · tanh(x / cap), in place; bounds as in `activate`."""
    at, stop = 4 * first, 4 * end
    limit = splat8(np.float32(cap))
    while at < stop:
        store8(x + at, mul8(limit, tanh8(div8(load8(x + at), limit))))
        at += LANES_BYTES


@compiled
def rotate(x: int, cos: int, sin: int, n_turned: int) -> None:
    """Turn the pairs (r, r + n_turned / 2) of one head, in place; the angles of its position."""
    half = 2 * n_turned
    at = 0
    while at + LANES_BYTES <= half:
        a, b, c, s = load8(x + at), load8(x + half + at), load8(cos + at), load8(sin + at)
        store8(x + at, sub8(mul8(a, c), mul8(b, s)))
        store8(x + half + at, madd8(b, c, mul8(a, s)))
        at += LANES_BYTES
    while at < half:
        p, q, u, v = (
            load_float(x + at),
            load_float(x + half + at),
            load_float(cos + at),
            load_float(sin + at),
        )
        store_float(x + at, p * u - q * v)
        store_float(x + half + at, q * u + p * v)
        at += 4


@compiled
def largest(x: int, first: int, end: int) -> int:
    """Index of the largest of numbers `first` … `end - 1`, the first of equals."""
    best = splat8(load_float(x + 4 * first))
    i = first
    while i + LANES <= end:
        best = max8(load8(x + 4 * i), best)
        i += LANES
    most = largest8(best)
    while i < end:
        most = max(most, load_float(x + 4 * i))
        i += 1
    i = first
    while i + LANES <= end and not is_among8(load8(x + 4 * i), splat8(most)):
        i += LANES
    while i < end and load_float(x + 4 * i) != most:
        i += 1
    return min(i, end - 1)
