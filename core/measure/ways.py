"""Ways to take a training step, timed in turns on a copy of a run's model.

Other programs can only make a turn longer, and they meet all ways alike: so it is the ratios
within a round that count, and how many rounds are won.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

from core.events import WayTimed
from core.measure.trial import Trial, Way

LEAST_ROUNDS, MOST_ROUNDS = 5, 40
MARGIN, WINS = 0.97, 0.8
"""Share of the time of default that must be undercut, and of the rounds that must be won."""
HOPELESS = 1.3
"""Times the first step of default: after it a way is not tried again."""
N_NEAR, NEAR = 3, 1.05
"""Turns of a way that must be within this factor of its shortest, else nothing has settled."""


def time_ways(
    trial: Trial,
    ways: Sequence[Way],
    until: float,
    is_stopping: Callable[[], bool],
    *,
    compile_s: Sequence[float] = (),
) -> tuple[list[WayTimed], bool]:
    """Time them in turns, in an order that turns too, until no more is to be learned or the
    clock (`time.perf_counter`) says `until`.

    Args:
        compile_s: of each way, what its first step took.

    Returns:
        The ways, none if it was stopped or there was no time for a sound answer, and whether the
        times settled.
    """
    times: list[list[float]] = [[] for _ in ways]
    rounds, still = 0, list(range(len(ways)))
    while rounds < MOST_ROUNDS and (rounds < LEAST_ROUNDS or _is_open(times, still)):
        if rounds >= LEAST_ROUNDS and time.perf_counter() > until:
            break
        for i in still if rounds % 2 == 0 else reversed(still):
            is_late = rounds < LEAST_ROUNDS and time.perf_counter() > until
            if is_late or is_stopping():
                return [], False
            times[i].append(trial.turn_s(ways[i]))
        rounds += 1
        if rounds == 1:
            still = [i for i in still if times[i][0] <= HOPELESS * times[0][0]]
    timed = [
        _timed(way, mine, times[0], compile_s[i] if compile_s else 0.0)
        for i, (way, mine) in enumerate(zip(ways, times, strict=True))
    ]
    return timed, all(_is_settled(times[i]) for i in still)


def _timed(way: Way, mine: Sequence[float], default: Sequence[float], compile_s: float) -> WayTimed:
    ratios = [a / b for a, b in zip(mine, default, strict=False)]
    wins = sum(ratio < 1 for ratio in ratios) / len(ratios)
    ratio = statistics.median(ratios)
    return WayTimed(
        threads=way.threads,
        dtype=way.dtype,
        is_compiled=way.is_compiled,
        step_ms=round(1000 * statistics.median(mine), 3),
        ratio=round(ratio, 4),
        is_clear=len(ratios) >= LEAST_ROUNDS and ratio <= MARGIN and wins >= WINS,
        compile_s=round(compile_s, 1),
    )


def _is_settled(times: Sequence[float]) -> bool:
    ranked = sorted(times)
    return len(ranked) >= N_NEAR and ranked[N_NEAR - 1] <= NEAR * ranked[0]


def _is_open(times: Sequence[Sequence[float]], still: Sequence[int]) -> bool:
    """Whether more rounds may tell who is best: somebody is near default, or ahead of it and
    near somebody else."""
    medians = sorted(statistics.median(times[i]) for i in still)
    return len(medians) > 1 and medians[1] < 1.1 * medians[0]
