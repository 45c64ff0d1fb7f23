"""What a run's time went into.

One activity at a time: training time is what is left when evaluation, sampling, saving and
waiting for the listener are taken out, and all of them sum to the wall time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

ACTIVITIES = ("setup", "train", "eval", "sample", "save", "idle")


class Clock:
    """Adds up seconds by activity."""

    def __init__(
        self,
        spent: Mapping[str, float] | None = None,
        *,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`spent` goes on from an earlier clock's `spent()`."""
        self._spent = dict.fromkeys(ACTIVITIES, 0.0) | dict(spent or {})
        self._now = now
        self._since = now()
        self._activity = "setup"

    def switch(self, activity: str) -> str:
        """Begin `activity`; returns the one that ends."""
        now, ended = self._now(), self._activity
        self._spent[ended] += now - self._since
        self._since, self._activity = now, activity
        return ended

    @contextmanager
    def during(self, activity: str) -> Iterator[None]:
        """Count the block as `activity`, then go back to the one before."""
        before = self.switch(activity)
        try:
            yield
        finally:
            self.switch(before)

    def seconds(self, activity: str) -> float:
        """Spent on `activity` so far."""
        self.switch(self._activity)
        return self._spent[activity]

    def spent(self) -> dict[str, float]:
        """Seconds of every activity so far."""
        self.switch(self._activity)
        return dict(self._spent)
