"""Threads that run their programs together.

The caller is worker 0. The others wait for the next generation of the job in compiled code for
less than a millisecond, then they sleep. They end with their owner, and with the interpreter.

Invariant: a call returns when every worker has done its part of what the caller reads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from core.infer.engines import interpreter as op

Work = Callable[[int, int, int, int, int, int], int]


class Workers:
    """One for each program."""

    def __init__(self, work: Work, programs: Sequence[NDArray[np.int64]]) -> None:
        self._work, self._programs = work, programs
        size = op.JOB_BYTES + (len(programs) + 1) * op.LINE
        memory = np.zeros(size // 8, np.int64)
        skipped = -memory.ctypes.data // 8 % (op.LINE // 8)
        self.job: NDArray[np.int64] = memory[skipped:]
        """What is to be done, see interpreter.py."""
        self._threads: list[threading.Thread] = []
        self._wakers = [threading.Event() for _ in programs[1:]]
        program = programs[0]
        address = int(self.job.ctypes.data)
        self._mine = (address, int(program.ctypes.data), program.size, 0, len(programs))

    def run(self) -> None:
        """Do what the job says."""
        if self._wakers and not (
            self._threads and all(map(threading.Thread.is_alive, self._threads))
        ):
            self._start()
        if self._work(*self._mine, 0):
            for waker in self._wakers:
                waker.set()
            self._work(*self._mine, 1)

    def close(self) -> None:
        """End the threads."""
        self.job[op.IS_STOPPING] = 1
        for waker in self._wakers:
            waker.set()

    def _start(self) -> None:
        """For the first time, or in a process that was forked off."""
        lines = self.job[op.JOB_BYTES // 8 :]
        lines[:] = 0
        step = op.LINE // 8
        lines[op.SEEN :: step] = self.job[op.GENERATION]
        self._threads = [
            threading.Thread(
                target=_serve,
                args=(self._work, self.job, program, i, len(self._programs), waker),
                name=f"minitf-decode-{i}",
                daemon=True,
            )
            for i, (program, waker) in enumerate(
                zip(self._programs[1:], self._wakers, strict=True), 1
            )
        ]
        for thread in self._threads:
            thread.start()


def _serve(
    work: Work,
    job: NDArray[np.int64],
    program: NDArray[np.int64],
    worker: int,
    n_workers: int,
    waker: threading.Event,
) -> None:
    """A thread's life. It keeps the job and its program alive, but not their owner."""
    address, place = int(job.ctypes.data), int(program.ctypes.data)
    while work(address, place, program.size, worker, n_workers, 0) == 0:
        waker.wait()
        waker.clear()
