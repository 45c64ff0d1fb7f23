"""The one compiled function of the fast engine: runs a program of operations.

A program is a sequence of records of `WORDS` int64 numbers: what to do, and addresses, bounds
and sizes. It knows nothing of models (see program.py), so that it is compiled once for a
machine. Each of the threads that work together runs a program of its own: the same operations,
with its share of the rows; at a BARRIER they wait for each other.

Several rows (sequences, or positions of one) go through an operation before the next one; a
row's buffers lie `STRIDE` bytes after those of the row before.
"""

from __future__ import annotations

from core.infer.engines.compiled import compiled
from core.infer.engines.kernels import gemm_f32, gemv_f32
from core.infer.engines.memory import (
    acquire,
    give_way,
    integer,
    load_float,
    load_int,
    release,
    spin_hint,
    store_int,
    word,
)
from core.infer.engines.operations import largest
from core.infer.engines.packed_kernels import gemv_q4, gemv_q8
from core.infer.engines.row_operations import operate
from core.infer.engines.words import (
    ASKED,
    BARRIER,
    BARRIERS,
    BEST,
    CHOOSE,
    CHOSEN,
    F32,
    FIRST_ASKED,
    GENERATION,
    IS_PARKED,
    IS_STOPPING,
    JOB_BYTES,
    LARGEST,
    LINE,
    N_ROWS,
    N_STEPS,
    POSITION,
    PRODUCT,
    Q8,
    SEEN,
    STRIDE,
    WORDS,
)

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
                    operate(code, at, job, row, stride, position, token)
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
