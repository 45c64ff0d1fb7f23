"""Threads that wait politely. To be called before PyTorch is imported."""

from __future__ import annotations

import os

SPIN_COUNT = "1000"


def tame_openmp() -> None:
    """Let idle OpenMP threads sleep soon instead of spinning for their next piece of work.

    By default GNU OpenMP spins 300,000 rounds at each barrier. On a machine that has other
    things to do, and a screen to draw is enough, a thread that spins takes the core of the
    one it waits for, and a training step becomes 5 to 20 times slower. The library's own
    choice for a crowded machine is 1,000 rounds. A value that the user has set stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
