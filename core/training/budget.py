"""When a run is over: by steps, by training time, whichever is nearer.

Epochs and tokens are counted in steps once the text is known (`core/launch.py`). A run without
any limit is one that nobody wants to train: it is over before its first step.
"""

from __future__ import annotations

from core.config import TrainConfig


class Budget:
    """How much of a run's limits is spent."""

    def __init__(self, config: TrainConfig) -> None:
        self._steps, self._seconds = config.steps, config.seconds

    def share(self, step: int, train_s: float) -> float:
        """Spent after `step` steps and `train_s` seconds of training, in [0, 1]."""
        by_steps = step / self._steps if self._steps else 0.0
        by_time = train_s / self._seconds if self._seconds else 0.0
        has_end = bool(self._steps or self._seconds)
        return min(1.0, max(by_steps, by_time)) if has_end else 1.0
