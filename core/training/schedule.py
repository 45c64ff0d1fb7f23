"""The learning rate, as a pure function.

Sources: linear warm-up, arXiv:1706.02677 §2.2; cosine, arXiv:1608.03983.
"""

from __future__ import annotations

import math

from core.config import TrainConfig


def learning_rate(config: TrainConfig, step: int, progress: float) -> float:
    """The rate for taking a step.

    Args:
        step: the first one is 1.
        progress: share of the budget that is spent before this step, in [0, 1].
    """
    if step <= config.warmup_steps:
        return config.lr * step / config.warmup_steps
    if config.schedule == "constant":
        return config.lr
    lowest = config.lr * config.min_lr
    return lowest + (config.lr - lowest) * (1 + math.cos(math.pi * progress)) / 2
