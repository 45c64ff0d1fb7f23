"""What a training run has told so far, as columns that the screen samples.

One thread appends (the worker), any thread reads. Columns grow by doubling; a reader gets a
view of the rows that were whole when it asked, and those never change. No locks, no messages.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from core.events import StepCompleted, ValidationCompleted

Column = NDArray[np.float64]

SMOOTHING = 0.9
"""Share of the old in the smoothed loss: an average over about 10 steps."""


class Table:
    """Columns of floats, appended row by row."""

    def __init__(self, *names: str, capacity: int = 1024) -> None:
        self.names = names
        self._rows = np.empty((len(names), capacity))
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def append(self, *values: float) -> None:
        """Add a row; its length is published last, so that no reader sees half of it."""
        if self._length == self._rows.shape[1]:
            grown = np.empty((len(self.names), 2 * self._length))
            grown[:, : self._length] = self._rows
            self._rows = grown
        self._rows[:, self._length] = values
        self._length += 1

    def __getitem__(self, name: str) -> Column:
        """The column, as far as it is written; a view that nobody may write to."""
        length, rows = self._length, self._rows
        view = rows[self.names.index(name), :length]
        view.flags.writeable = False
        return view

    def last(self, name: str) -> float:
        """The newest value, or NaN."""
        column = self[name]
        return float(column[-1]) if len(column) else math.nan


class Average:
    """An exponential moving average without the pull of its start (Adam, arXiv:1412.6980 §3)."""

    def __init__(self, keep: float = SMOOTHING) -> None:
        self.keep = keep
        self._sum = 0.0
        self._weight = 0.0

    def add(self, value: float) -> float:
        """The average with `value` in it; what is not finite leaves it as it was."""
        if math.isfinite(value):
            self._sum = self.keep * self._sum + (1 - self.keep) * value
            self._weight = self.keep * self._weight + (1 - self.keep)
        return self._sum / self._weight if self._weight else math.nan


class History:
    """One training run: a row a step, a row a validation."""

    def __init__(self) -> None:
        self.steps = Table(
            "step", "loss", "smooth", "lr", "grad_norm", "tokens", "tokens_per_s", "train_s"
        )
        self.validations = Table("step", "loss", "low", "high", "perplexity", "bits_per_byte")
        self._loss = Average()
        self._speed = Average()

    def add_step(self, event: StepCompleted) -> None:
        """Keep a step; in the worker."""
        self.steps.append(
            event.step,
            event.loss,
            self._loss.add(event.loss),
            event.lr,
            event.grad_norm,
            event.tokens,
            self._speed.add(event.tokens_per_s),
            event.train_s,
        )

    def add_validation(self, event: ValidationCompleted) -> None:
        """Keep a validation; in the worker."""
        low, high = event.loss_ci95
        self.validations.append(
            event.step, event.loss, low, high, event.perplexity, event.bits_per_byte
        )

    def share_done(self, steps: int, seconds: float) -> float:
        """How much of the budget is used, 0 to 1; whichever limit is nearer."""
        if not len(self.steps):
            return 0.0
        by_steps = self.steps.last("step") / steps if steps else 0.0
        by_time = self.steps.last("train_s") / seconds if seconds else 0.0
        return min(1.0, max(by_steps, by_time))

    def seconds_left(self, steps: int, seconds: float) -> float | None:
        """Training time left of the budget at the speed so far; None without a budget."""
        if not len(self.steps):
            return seconds or None
        train_s, done = self.steps["train_s"], self.steps["step"]
        left = [seconds - float(train_s[-1])] if seconds else []
        if steps and len(done) > 1:
            recent = slice(-min(50, len(done)), None)
            span = float(np.ptp(train_s[recent]))
            pace = span / max(1.0, float(np.ptp(done[recent])))
            left.append((steps - float(done[-1])) * pace)
        return max(0.0, min(left)) if left else None
