"""The learning rate, as pure functions. Never imports torch or numpy.

Sources: linear warm-up, arXiv:1706.02677 §2.2; cosine, arXiv:1608.03983; warm-up, stable,
decay, arXiv:2404.06395 §4, its decay as 1 - sqrt, arXiv:2405.18392 §4; as a straight line,
arXiv:2106.04560 §3.5.
"""

from __future__ import annotations

import math

from core.config import TrainConfig

ASSUMED_STEPS = 1000
"""Length of a run whose budget does not say it, when only its course is to be drawn."""


def learning_rate(config: TrainConfig, step: int, progress: float) -> float:
    """The rate for taking a step.

    Args:
        step: the first one is 1.
        progress: share of the budget that is spent before this step, in [0, 1].
    """
    if step <= config.warmup_steps:
        return config.lr * step / config.warmup_steps
    lowest = config.lr * config.min_lr
    return lowest + (config.lr - lowest) * _height(config, progress)


def _height(config: TrainConfig, progress: float) -> float:
    """Where the rate is between its lowest, 0, and its highest, 1."""
    match config.schedule:
        case "constant":
            return 1.0
        case "linear":
            return 1 - progress
        case "wsd":
            start = 1 - config.decay_share
            fallen = max(0.0, progress - start) / config.decay_share
            return 1 - math.sqrt(min(1.0, fallen))
        case "flat_linear":
            return min(1.0, (1 - progress) / config.decay_share)
        case _:
            return (1 + math.cos(math.pi * progress)) / 2


def planned_course(
    config: TrainConfig, points: int, steps: int | None = None
) -> tuple[tuple[float, float], ...]:
    """The rate over a whole run, at `points` equal distances: (share of the budget, rate).

    Args:
        steps: how many the run will have, where the budget does not say it; that decides how
            much of the run is warm-up. `ASSUMED_STEPS` when left out.
    """
    length = config.planned_steps or steps or ASSUMED_STEPS
    shares = [i / max(1, points - 1) for i in range(points)]
    return tuple(
        (share, learning_rate(config, math.floor(share * length) + 1, share)) for share in shares
    )
