"""How fast a processor reads, at the size that it has to: a matrix times a vector, the work of
decoding, by all threads at once.

Each thread goes over its own rows again and again inside one compiled call, so that neither
calls nor waiting for one another are timed.

Axis letters: R rows, C columns.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from threading import Barrier, Thread
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.device import Device
from core.measure.machine import FLOAT_BYTES, seconds_of

COLUMNS = 1024
LEAST_TRIES = 5
TRYING_S = 0.3
TRY_BYTES = 1 << 27
"""Read by a try: so many that starting threads costs little beside it, and so few that on a busy
machine some tries are left alone."""

Kernel = Callable[[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], int], None]


def bytes_per_second(device: Device, n_bytes: int) -> float:
    """The best of several tries at reading `n_bytes` of float32 over and over."""
    rows = max(1, n_bytes // (FLOAT_BYTES * COLUMNS))
    if device.type == "cpu":
        return _by_threads(rows, device.threads)
    return _by_torch(rows, device)


def _by_threads(rows: int, n_threads: int) -> float:
    multiply = _kernel()
    n_threads = min(n_threads, rows)
    matrix_RC = np.ones((rows // n_threads * n_threads, COLUMNS), np.float32)
    vector_C, out_R = np.ones(COLUMNS, np.float32), np.empty(len(matrix_RC), np.float32)
    parts = list(zip(np.split(matrix_RC, n_threads), np.split(out_R, n_threads), strict=True))
    passes = max(1, TRY_BYTES // matrix_RC.nbytes)
    multiply(matrix_RC[:1], vector_C, out_R[:1], 1)  # compiles
    tried: list[float] = []
    while len(tried) < LEAST_TRIES or sum(tried) < TRYING_S:
        tried.append(_try(multiply, parts, vector_C, passes))
    return passes * matrix_RC.nbytes / min(tried)


def _try(multiply: Kernel, parts: Any, vector_C: NDArray[np.float32], passes: int) -> float:
    """Seconds from when all threads are ready until the last one has done its part."""
    ready = Barrier(len(parts) + 1)

    def work(rows_RC: NDArray[np.float32], out_R: NDArray[np.float32]) -> None:
        ready.wait()
        multiply(rows_RC, vector_C, out_R, passes)

    threads = [Thread(target=work, args=part, daemon=True) for part in parts]
    for thread in threads:
        thread.start()
    ready.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


@lru_cache(maxsize=1)
def _kernel() -> Kernel:
    from numba import njit

    def multiply(
        matrix_RC: NDArray[np.float32],
        vector_C: NDArray[np.float32],
        out_R: NDArray[np.float32],
        passes: int,
    ) -> None:
        for _ in range(passes):
            for row in range(matrix_RC.shape[0]):
                total = np.float32(0)
                for column in range(matrix_RC.shape[1]):
                    total += matrix_RC[row, column] * vector_C[column]
                out_R[row] = total

    compiled: Kernel = njit(nogil=True, fastmath=True)(multiply)
    return compiled


@torch.inference_mode()
def _by_torch(rows: int, device: Device) -> float:
    matrix_RC = torch.ones(rows, COLUMNS, device=device.type)
    vector_C = torch.ones(COLUMNS, device=device.type)
    out_R = torch.empty(rows, device=device.type)
    seconds = seconds_of(lambda: torch.mv(matrix_RC, vector_C, out=out_R), device)
    return FLOAT_BYTES * matrix_RC.numel() / min(seconds)
