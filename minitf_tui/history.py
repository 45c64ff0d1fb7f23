"""What a training run has told so far, as columns that the screen samples.

One thread appends (the worker), any thread reads. Columns grow by doubling; a reader gets a
view of the rows that were whole when it asked, and those never change. No locks, no messages.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.events import StepCompleted, ValidationCompleted
from minitf_tui.smoothing import Smoothed

Column = NDArray[np.float64]

SMOOTHING = 0.9
"""Share of the old in the speed that is shown: an average over about 10 steps."""


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

    def cut(self, length: int) -> None:
        """Forget the rows from there on; views that were given keep them."""
        if length < self._length:
            self._rows, self._length = self._rows.copy(), length

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
        self.steps = Table("step", "loss", "lr", "grad_norm", "tokens", "tokens_per_s", "train_s")
        names = ("step", "loss", "low", "high", "perplexity", "bits_per_byte", "accuracy")
        self.validations = Table(*names)
        self._speed = Average()
        self._smoothed, self._smoothed_returns = Smoothed(0.0), 0
        self.returns = 0
        """How often steps were taken again."""

    def add_step(self, event: StepCompleted) -> None:
        """Keep a step; in the worker."""
        self._keep_step(lambda name: float(getattr(event, name)))

    def _keep_step(self, of: Callable[[str], float]) -> None:
        self._undo_from(of("step"))
        values = {name: of(name) for name in self.steps.names}
        values["tokens_per_s"] = self._speed.add(values["tokens_per_s"])
        self.steps.append(*values.values())

    def _undo_from(self, step: float) -> None:
        """A run that returned to a checkpoint takes steps again; what they were is dropped."""
        if len(self.steps) and step <= self.steps.last("step"):
            for table in (self.steps, self.validations):
                table.cut(int(np.searchsorted(table["step"], step)))
            self.returns += 1

    def add_validation(self, event: ValidationCompleted) -> None:
        """Keep a validation; in the worker."""
        low, high = event.loss_ci95
        accuracy = math.nan if event.accuracy is None else event.accuracy
        scores = event.perplexity, event.bits_per_byte, accuracy
        self.validations.append(event.step, event.loss, low, high, *scores)

    def add_past(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Keep what a run had told before it was resumed, as `read_metrics` gives it; in the
        worker, before its first step. Null is a number that was not finite."""
        for event in events:

            def of(name: str, event: Mapping[str, Any] = event) -> float:
                value = event.get(name)
                return math.nan if value is None else float(value)

            if event["event"] == "StepCompleted":
                self._keep_step(of)
            elif event["event"] == "ValidationCompleted":
                low, high = event["loss_ci95"]
                scores = (of(name) for name in self.validations.names[4:])
                self.validations.append(of("step"), of("loss"), low, high, *scores)

    def smoothed(self, keep: float) -> Column:
        """The loss averaged with that share of the old; on the screen's thread alone."""
        if (self._smoothed.keep, self._smoothed_returns) != (keep, self.returns):
            self._smoothed, self._smoothed_returns = Smoothed(keep), self.returns
        return self._smoothed.of(self.steps["loss"])

    @property
    def best_loss(self) -> float | None:
        """Of the validations; None before there is one."""
        losses = self.validations["loss"]
        finite = losses[np.isfinite(losses)]
        return float(finite.min()) if len(finite) else None

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
        left = [seconds - self.steps.last("train_s")] if seconds else []
        pace = self.pace
        if steps and pace is not None:
            left.append((steps - self.steps.last("step")) * pace)
        return max(0.0, min(left)) if left else None

    def last_step(self, steps: int, seconds: float) -> float | None:
        """The step at which the budget will be spent, at the speed so far; None if unknown."""
        ends = [float(steps)] if steps else []
        pace = self.pace
        if seconds and pace:
            left = max(0.0, seconds - self.steps.last("train_s"))
            ends.append(self.steps.last("step") + left / pace)
        return min(ends) if ends else None

    @property
    def pace(self) -> float | None:
        """Training seconds a step, the median of the newest ones; None before there are two.

        Between two rows may lie the time of steps that were undone, which a mean would count.
        """
        train_s, done = self.steps["train_s"], self.steps["step"]
        n = min(len(train_s), len(done))
        if n < 2:
            return None
        recent = slice(max(0, n - 50), n)
        return float(np.median(np.diff(train_s[recent]) / np.diff(done[recent])))
