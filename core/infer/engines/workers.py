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

from core.infer.engines import words as op

Work = Callable[[int, int, int, int, int, int], int]


class Workers:
    """One for each program."""

    def __init__(self, work: Work, programs: Sequence[NDArray[np.int64]], memory: object) -> None:
        """`memory` is what the programs read and write; it is kept until the last thread ends."""
        self._work, self._programs, self._memory = work, programs, memory
        size = op.JOB_BYTES + (len(programs) + 1) * op.LINE
        numbers = np.zeros(size // 8, np.int64)
        skipped = -numbers.ctypes.data // 8 % (op.LINE // 8)
        self.job: NDArray[np.int64] = numbers[skipped:]
        """What is to be done, see words.py."""
        self._threads: list[threading.Thread] = []
        self._wakers: list[threading.Event] = []
        program = programs[0]
        address = int(self.job.ctypes.data)
        self._mine = (address, int(program.ctypes.data), program.size, 0, len(programs))

    def run(self) -> None:
        """Do what the job says.

        Raises:
            RuntimeError: the threads were ended, or cannot be started.
        """
        if len(self._programs) == 1:
            self._work(*self._mine, 0)
            return
        if self.job[op.IS_STOPPING]:
            raise RuntimeError("The engine was closed.")
        if not (self._threads and all(map(threading.Thread.is_alive, self._threads))):
            self._start()
        before = self._begun, self._done
        try:
            if self._work(*self._mine, 0):
                self._join()
        except BaseException:  # Ctrl-C between the two: the others must not wait for ever
            if self._begun != before[0] and self._done == before[1]:
                self._join()
            raise

    @property
    def _begun(self) -> int:
        """Generations."""
        return int(self.job[op.GENERATION])

    @property
    def _done(self) -> int:
        """Barriers that the caller has reached, of which each generation has some."""
        return int(self.job[op.JOB_BYTES // 8 + op.BARRIERS])

    def _join(self) -> None:
        """Wake the others, and do our part of a generation that has begun."""
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
        others = self._programs[1:]
        # A fork may have come while a thread held the lock of its old one.
        self._wakers = [threading.Event() for _ in others]
        self._threads = [
            threading.Thread(
                target=_serve,
                args=(self._work, self.job, program, i, len(self._programs), waker, self._memory),
                name=f"minitf-decode-{i}",
                daemon=True,
            )
            for i, (program, waker) in enumerate(zip(others, self._wakers, strict=True), 1)
        ]
        try:
            for thread in self._threads:
                thread.start()
        except BaseException:  # no more threads, or Ctrl-C: those that run must not go on
            self._end()
            raise

    def _end(self) -> None:
        """End the threads and wait for that, so that others can be started."""
        self.close()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        self._threads = []
        self.job[op.IS_STOPPING] = 0


def _serve(
    work: Work,
    job: NDArray[np.int64],
    program: NDArray[np.int64],
    worker: int,
    n_workers: int,
    waker: threading.Event,
    _memory: object,
) -> None:
    """A thread's life. It keeps what its program reads alive, but not the owner of it all: when
    that goes, a thread may still be at the end of its last generation."""
    address, place = int(job.ctypes.data), int(program.ctypes.data)
    while work(address, place, program.size, worker, n_workers, 0) == 0:
        waker.wait()
        waker.clear()
