"""The numbers that programs and jobs are made of, for those who write them and who read them.

What threads tell each other is the *job*: the numbers below, then a line of memory for each
thread, `LINE` bytes long so that no two threads write to the same one.
"""

from __future__ import annotations

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
    IDS,
    LINES,
) = range(16)
"""Of a job. Each generation is N_STEPS runs of the program over N_ROWS rows: the first at
POSITION, the next ones POSITION_STEP after the one before; caches of the first at
CACHE_SHIFT numbers from KEYS and VALUES, of the next ones CACHE_STEP after the one before.
At IDS are the tokens of each sequence, for programs that look at those before."""
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
    NGRAMS,
) = range(16)

F32, Q8, Q4 = range(3)
"""Kinds of matrices in a PRODUCT."""
