"""Attention in a decode step: compiled functions over the keys and values of one head.

H head_dim · S positions. Keys are held in blocks of eight positions, (S / 8, H, 8), so that one
vector holds the scores of eight positions; values as (S, padded H).

Source: that of core/model/attention.py; softmax with the largest score taken off.
"""

from __future__ import annotations

import math

import numpy as np

from core.infer.engines.compiled import compiled
from core.infer.engines.kernels import ZERO
from core.infer.engines.memory import load_float, store_float
from core.infer.engines.operations import copy
from core.infer.engines.vectors import (
    LANES,
    LANES_BYTES,
    add8,
    exp8,
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

FAR_BELOW = np.float32(-1e30)


@compiled
def hold(keys: int, values: int, k: int, v: int, head_dim: int, position: int) -> None:
    """Keep the key and the value of one head at `position`."""
    block = keys + 4 * LANES * head_dim * (position // LANES) + 4 * (position % LANES)
    for i in range(head_dim):
        store_float(block + LANES_BYTES * i, load_float(k + 4 * i))
    copy(values + 4 * padded(head_dim) * position, v, head_dim)


@compiled
def padded(n: int) -> int:
    """The next multiple of a vector's width."""
    return (n + LANES - 1) // LANES * LANES


@compiled
def attend(
    out: int, q: int, keys: int, values: int, scores: int, head_dim: int, n_held: int
) -> None:
    """One query head over `n_held` positions: `head_dim` numbers to `out`.

    `scores` has room for the positions, padded to two vectors.
    """
    scale = np.float32(1 / math.sqrt(head_dim))
    most = _score(q, keys, scores, head_dim, n_held, scale)
    top, total = splat8(most), splat8(ZERO)
    at, stop = scores, scores + 4 * n_held
    while at < stop:
        p = exp8(sub8(load8(at), top))
        store8(at, p)
        total = add8(total, p)
        at += LANES_BYTES
    share = np.float32(1) / sum8(total)
    width = 4 * padded(head_dim)
    done = 0
    while done + 4 * LANES <= head_dim:
        _gather4(out + 4 * done, values + 4 * done, scores, n_held, width, share)
        done += 4 * LANES
    while done < head_dim:
        _gather(out + 4 * done, values + 4 * done, scores, n_held, width, share, head_dim - done)
        done += LANES


@compiled
def _score(q: int, keys: int, scores: int, head_dim: int, n_held: int, scale: np.float32) -> float:
    """Scaled products of a query with all keys, and the largest; padding is far below."""
    block = LANES_BYTES * head_dim
    most = splat8(FAR_BELOW)
    position, at = 0, keys
    while position < n_held:
        s = t = u = v = splat8(ZERO)
        i = 0
        while i + 4 <= head_dim:
            k, x = at + LANES_BYTES * i, q + 4 * i
            s = madd8(load8(k), splat8(load_float(x)), s)
            t = madd8(load8(k + LANES_BYTES), splat8(load_float(x + 4)), t)
            u = madd8(load8(k + 2 * LANES_BYTES), splat8(load_float(x + 8)), u)
            v = madd8(load8(k + 3 * LANES_BYTES), splat8(load_float(x + 12)), v)
            i += 4
        while i < head_dim:
            s = madd8(load8(at + LANES_BYTES * i), splat8(load_float(q + 4 * i)), s)
            i += 1
        s = mul8(add8(add8(s, t), add8(u, v)), splat8(scale))
        store8(scores + 4 * position, s)
        if position + LANES > n_held:
            for p in range(n_held, position + LANES):
                store_float(scores + 4 * p, FAR_BELOW)
            s = load8(scores + 4 * position)
        most = max8(most, s)
        position += LANES
        at += block
    return largest8(most)


@compiled
def _gather4(out: int, values: int, scores: int, n_held: int, width: int, share: float) -> None:
    """Four vectors of the sum of values, weighted by scores."""
    a = b = c = d = e = f = g = h = splat8(ZERO)
    at, p = values, 0
    while p + 2 <= n_held:
        one, two, on = (
            splat8(load_float(scores + 4 * p)),
            splat8(load_float(scores + 4 * p + 4)),
            at + width,
        )
        a, e = madd8(one, load8(at), a), madd8(two, load8(on), e)
        b, f = madd8(one, load8(at + 32), b), madd8(two, load8(on + 32), f)
        c, g = madd8(one, load8(at + 64), c), madd8(two, load8(on + 64), g)
        d, h = madd8(one, load8(at + 96), d), madd8(two, load8(on + 96), h)
        at += 2 * width
        p += 2
    if p < n_held:
        one = splat8(load_float(scores + 4 * p))
        a, b = madd8(one, load8(at), a), madd8(one, load8(at + 32), b)
        c, d = madd8(one, load8(at + 64), c), madd8(one, load8(at + 96), d)
    s = splat8(share)
    store8(out, mul8(add8(a, e), s))
    store8(out + 32, mul8(add8(b, f), s))
    store8(out + 64, mul8(add8(c, g), s))
    store8(out + 96, mul8(add8(d, h), s))


@compiled
def _gather(
    out: int, values: int, scores: int, n_held: int, width: int, share: float, n: int
) -> None:
    """One vector of it, of which the first `n` numbers are stored."""
    a = splat8(ZERO)
    for p in range(n_held):
        a = madd8(splat8(load_float(scores + 4 * p)), load8(values + p * width), a)
    a = mul8(a, splat8(share))
    if n >= LANES:
        store8(out, a)
    else:
        store8(scores, a)
        copy(out, scores, n)
