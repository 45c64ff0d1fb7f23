"""The operations of a program that go row by row: what their records say, in the words of
`words.py`, and what is called for that."""

from __future__ import annotations

from core.infer.engines.compiled import compiled
from core.infer.engines.heads import attend, hold
from core.infer.engines.memory import integer, load_double, load_int, store_int, word
from core.infer.engines.operations import (
    activate,
    add,
    copy,
    layer_norm,
    rms_norm,
    rotate,
    soft_cap,
)
from core.infer.engines.rounding import round_to_int8, round_to_int16
from core.infer.engines.words import (
    ACTIVATE,
    ADD,
    ATTEND,
    CACHE_SHIFT,
    CACHE_STEP,
    CAP,
    EMBED,
    HOLD,
    IDS,
    KEYS,
    LAYER_NORM,
    NGRAMS,
    POSITION_STEP,
    Q8,
    RMS_NORM,
    ROTATE,
    ROUND,
    TOKENS,
    VALUES,
)


@compiled
def operate(code: int, at: int, job: int, row: int, stride: int, position: int, token: int) -> None:
    """One operation on one row."""
    shift = row * stride
    to = word(at, 1) + shift
    position += row * word(job, POSITION_STEP)
    if token < 0 and code in (EMBED, NGRAMS):
        token = load_int(word(job, TOKENS) + 8 * row)
    if code == EMBED:
        _embed(to, word(at, 2), word(at, 3), word(at, 4), token, position)
    elif code == RMS_NORM:
        rms_norm(to, word(at, 2) + shift, word(at, 3), word(at, 5), load_double(at + 8 * 6))
    elif code == LAYER_NORM:
        eps = load_double(at + 8 * 6)
        layer_norm(to, word(at, 2) + shift, word(at, 3), word(at, 4), word(at, 5), eps)
    elif code == ADD:
        other = word(at, 3) + shift * word(at, 6)
        add(to, word(at, 2) + shift, other, word(at, 4), word(at, 5))
    elif code == ACTIVATE:
        up = word(at, 4) + shift
        activate(word(at, 2), to, word(at, 3) + shift, up, word(at, 5), word(at, 6))
    elif code == CAP:
        soft_cap(to, load_double(at + 8 * 4), word(at, 2), word(at, 3))
    elif code == ROUND:
        _round(to, at, shift)
    elif code == ROTATE:
        _rotate_heads(to, at, position)
    elif code == NGRAMS:
        sequence = (word(job, CACHE_SHIFT) + row * word(job, CACHE_STEP)) // word(at, 9)
        held = word(job, IDS) + 8 * (sequence * word(at, 10) + position)
        _add_ngrams(to, at, held, token)
    else:
        cache = 4 * (word(job, CACHE_SHIFT) + row * word(job, CACHE_STEP))
        keys, values = word(job, KEYS) + cache, word(job, VALUES) + cache
        if code == HOLD:
            _hold_heads(to, at, shift, keys, values, position)
        elif code == ATTEND:
            _attend_heads(to, at, shift, keys, values, position)


@compiled
def _embed(to: int, table: int, places: int, d_model: int, token: int, position: int) -> None:
    """EMBED to table places d_model."""
    size = 4 * d_model
    if places == 0:
        copy(to, table + size * token, d_model)
    else:
        add(to, table + size * token, places + size * position, integer(0), d_model)


@compiled
def _add_ngrams(x: int, at: int, held: int, token: int) -> None:
    """NGRAMS x pairs triples d_model factors prime shift buckets cache_size ids_size: the vectors
    of the pair and of the triple that `token` ends; `held` is where the two before it are. Every
    thread writes the same token there."""
    d_model = word(at, 4)
    store_int(held + 16, token)
    for n in range(2):
        factors = word(at, 5) + 24 * n
        mixed = integer(0)
        for i in range(3):
            mixed += (word(held, i) + 1) * word(factors, i)
        mixed %= word(at, 6)
        bucket = (mixed ^ (mixed >> word(at, 7))) % word(at, 8)
        add(x, x, word(at, 2 + n) + 4 * d_model * bucket, integer(0), d_model)


@compiled
def _round(x: int, at: int, shift: int) -> None:
    """ROUND x kind xq xs cols group."""
    xq, xs = word(at, 3) + shift, word(at, 4) + shift
    if word(at, 2) == Q8:
        round_to_int16(x, xq, xs, word(at, 5))
    else:
        round_to_int8(x, xq, xs, word(at, 5), word(at, 6))


@compiled
def _rotate_heads(x: int, at: int, position: int) -> None:
    """ROTATE x first end head_dim weight eps cos sin n_turned: norm, then rotation, if any."""
    head_dim, weight, n_turned = word(at, 4), word(at, 5), word(at, 9)
    angles = 4 * n_turned * position
    for head in range(word(at, 2), word(at, 3)):
        place = x + 4 * head * head_dim
        if weight != 0:
            rms_norm(place, place, weight, head_dim, load_double(at + 8 * 6))
        if n_turned != 0:
            rotate(place, word(at, 7) + angles, word(at, 8) + angles, n_turned)


@compiled
def _hold_heads(k: int, at: int, shift: int, keys: int, values: int, position: int) -> None:
    """HOLD k v first end head_dim keys values keys_size values_size: of one head, in bytes."""
    head_dim, v = word(at, 5), word(at, 2) + shift
    for head in range(word(at, 3), word(at, 4)):
        held_k = keys + word(at, 6) + head * word(at, 8)
        held_v = values + word(at, 7) + head * word(at, 9)
        place = 4 * head * head_dim
        hold(held_k, held_v, k + place, v + place, head_dim, position)


@compiled
def _attend_heads(out: int, at: int, shift: int, keys: int, values: int, position: int) -> None:
    """ATTEND out q first end head_dim keys values keys_size values_size group scores."""
    head_dim, q, scores = word(at, 5), word(at, 2) + shift, word(at, 11)
    for head in range(word(at, 3), word(at, 4)):
        kv_head = head // word(at, 10)
        held_k = keys + word(at, 6) + kv_head * word(at, 8)
        held_v = values + word(at, 7) + kv_head * word(at, 9)
        place = 4 * head * head_dim
        attend(out + place, q + place, held_k, held_v, scores, head_dim, position + 1)
