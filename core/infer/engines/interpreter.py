"""The one compiled function of the fast engine: runs a program of operations.

A program is a sequence of records of `WORDS` int64 numbers: what to do, and addresses, bounds
and sizes. It knows nothing of models (see program.py), so that it is compiled once for a
machine. Each of the threads that work together runs a program of its own: the same operations,
with its share of the rows; at a BARRIER they wait for each other.

Several rows (sequences, or positions of one) go through an operation before the next one; a
row's buffers lie `STRIDE` bytes after those of the row before.

What threads tell each other is the *job*: the numbers below, then a line of memory for each
thread, `LINE` bytes long so that no two threads write to the same one.
"""

from __future__ import annotations

from core.infer.engines.compiled import compiled
from core.infer.engines.kernels import gemm_f32, gemv_f32
from core.infer.engines.memory import (
    acquire,
    give_way,
    integer,
    load_double,
    load_float,
    load_int,
    release,
    spin_hint,
    store_int,
    word,
)
from core.infer.engines.operations import (
    activate,
    add,
    attend,
    copy,
    hold,
    largest,
    layer_norm,
    rms_norm,
    rotate,
    soft_cap,
)
from core.infer.engines.packed_kernels import gemv_q4, gemv_q8
from core.infer.engines.rounding import round_to_int8, round_to_int16

WORDS = 16
LINE = 128

(
    GENERATION,
    IS_STOPPING,
    N_STEPS,
    N_ROWS,
    POSITION,
    POSITION_STEP,
    CACHE_SHIFT,
    CACHE_STEP,
    FIRST_ASKED,
    TOKENS,
    CHOSEN,
    STRIDE,
    KEYS,
    VALUES,
    LINES,
) = range(15)
"""Of a job. Each generation is N_STEPS runs of the program over N_ROWS rows: the first at
POSITION, the next ones POSITION_STEP after the one before; caches of the first at
CACHE_SHIFT numbers from KEYS and VALUES, of the next ones CACHE_STEP after the one before."""
JOB_BYTES = 16 * 8

BARRIERS, SEEN, IS_PARKED, BEST = range(4)
"""Of a thread's line: barriers reached, generations done, whether it must be woken, its choice."""

(
    EMBED,
    RMS_NORM,
    LAYER_NORM,
    PRODUCT,
    ADD,
    ACTIVATE,
    ROTATE,
    HOLD,
    ATTEND,
    CAP,
    LARGEST,
    BARRIER,
    ASKED,
    CHOOSE,
    ROUND,
) = range(15)

F32, Q8, Q4 = range(3)
"""Kinds of matrices in a PRODUCT."""
CHUNK = 64
"""Rows of a packed matrix that meet all vectors before the next ones are read."""

SPINS = 20_000
"""Looks at a job before a thread parks: less than a millisecond."""
SPINS_ALONE = 1_000
"""Looks at a barrier before it is assumed that somebody else has the other's core."""


def work(job: int, program: int, size: int, worker: int, n_workers: int, is_woken: int) -> int:
    """Worker 0: begin the job's next generation and do its part of it; 1 if nothing was done
    yet because somebody is parked and must be woken first, who then calls with `is_woken`.

    Any other worker: do its part of each generation until none has come for a while (then
    it is parked, 0) or the job is stopping (-1).
    """
    if worker > 0:
        return _follow(job, program, size, worker, n_workers)
    if is_woken == 0:
        release(job + 8 * GENERATION, word(job, GENERATION) + 1)
        for other in range(1, n_workers):
            if acquire(_line(job, other) + 8 * IS_PARKED) == 1:
                return 1
    _run(job, program, size, worker, n_workers)
    return 0


@compiled
def _follow(job: int, program: int, size: int, worker: int, n_workers: int) -> int:
    line = _line(job, worker)
    release(line + 8 * IS_PARKED, 0)
    spins = integer(0)
    while True:
        if acquire(job + 8 * IS_STOPPING) == 1:
            return -1
        if acquire(job + 8 * GENERATION) != word(line, SEEN):
            _run(job, program, size, worker, n_workers)
            store_int(line + 8 * SEEN, word(line, SEEN) + 1)
            release(line + 8 * IS_PARKED, 0)
            spins = integer(0)
        elif spins == SPINS:
            # Whoever begins a generation now sees it, or the look above sees the generation.
            release(line + 8 * IS_PARKED, 1)
            spins += 1
        elif spins > SPINS:
            return 0
        else:
            spins += 1
            _wait(spins)


@compiled
def _wait(spins: int) -> None:
    if spins > SPINS_ALONE and spins % 16 == 0:
        give_way()
    else:
        spin_hint()


@compiled
def _line(job: int, worker: int) -> int:
    return job + JOB_BYTES + LINE * worker


@compiled
def _barrier(job: int, worker: int, n_workers: int) -> None:
    mine = _line(job, worker) + 8 * BARRIERS
    reached = load_int(mine) + 1
    release(mine, reached)
    for other in range(n_workers):
        spins = integer(0)
        while acquire(_line(job, other) + 8 * BARRIERS) < reached:
            spins += 1
            _wait(spins)


@compiled
def _run(job: int, program: int, size: int, worker: int, n_workers: int) -> None:
    """All steps of a generation."""
    n_rows, stride = word(job, N_ROWS), word(job, STRIDE)
    position, token = word(job, POSITION), integer(-1)
    for step in range(word(job, N_STEPS)):
        first = integer(0)
        for at in range(program, program + 8 * size, 8 * WORDS):
            code = load_int(at)
            if code == BARRIER:
                _barrier(job, worker, n_workers)
            elif code == PRODUCT:
                _multiply(at, first, n_rows, stride)
            elif code == ASKED:
                first = word(job, FIRST_ASKED)
            elif code == LARGEST:
                best = largest(word(at, 1) + first * stride, word(at, 2), word(at, 3))
                store_int(_line(job, worker) + 8 * BEST, best)
            elif code == CHOOSE:
                token = _choice(job, word(at, 1) + first * stride, n_workers)
                if worker == 0:
                    store_int(word(job, CHOSEN) + 8 * step, token)
            else:
                for row in range(first, n_rows):
                    _operate(code, at, job, row, stride, position, token)
        position += 1


@compiled
def _choice(job: int, logits: int, n_workers: int) -> int:
    """The best of what the threads found, the lowest of equals."""
    best = load_int(_line(job, integer(0)) + 8 * BEST)
    for other in range(1, n_workers):
        found = load_int(_line(job, other) + 8 * BEST)
        if load_float(logits + 4 * found) > load_float(logits + 4 * best):
            best = found
    return best


@compiled
def _multiply(at: int, from_row: int, n_rows: int, stride: int) -> None:
    """PRODUCT kind y w scales zeros x xq xs first end cols group."""
    kind, cols, no = word(at, 1), word(at, 11), integer(0)
    first, end = word(at, 9), word(at, 10)
    if kind != F32:
        step = CHUNK if n_rows - from_row > 1 else end - first
        for row in range(first, end, max(step, 1)):
            for i in range(from_row, n_rows):
                _multiply_packed(at, kind, i * stride, row, min(end, row + step), cols)
        return
    shift = from_row * stride
    y, w, x = word(at, 2) + shift, word(at, 3), word(at, 6) + shift
    if n_rows - from_row > 1:
        gemm_f32(y, w, x, stride, n_rows - from_row, first, end, cols)
    else:
        gemv_f32(y, w, no, no, x, no, no, first, end, cols, no)


@compiled
def _multiply_packed(at: int, kind: int, shift: int, first: int, end: int, cols: int) -> None:
    y, x, xq, xs = (
        word(at, 2) + shift,
        word(at, 6) + shift,
        word(at, 7) + shift,
        word(at, 8) + shift,
    )
    w, scales, zeros, group = word(at, 3), word(at, 4), word(at, 5), word(at, 12)
    if kind == Q8:
        gemv_q8(y, w, scales, zeros, x, xq, xs, first, end, cols, group)
    else:
        gemv_q4(y, w, scales, zeros, x, xq, xs, first, end, cols, group)


@compiled
def _operate(
    code: int, at: int, job: int, row: int, stride: int, position: int, token: int
) -> None:
    """One operation on one row."""
    shift = row * stride
    to = word(at, 1) + shift
    position += row * word(job, POSITION_STEP)
    if code == EMBED:
        if token < 0:
            token = load_int(word(job, TOKENS) + 8 * row)
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
