"""How often to redraw: as often as a share of the processor allows, not at a fixed rate.

Training loses what the screen burns, and about twice of it where its threads fill all cores: they
wait for one another. So everything the screen's thread does counts, from one drawing to the next,
the painting by the framework included.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

SHARE = 0.02
"""Of one processor, for the screen, unless somebody likes it another way."""
LEAST_INTERVAL_S = 0.2
LONGEST_INTERVAL_S = 5.0
"""A theme that was changed, a palette that was opened must not stop the plots for long."""


class Pace:
    """Says when the next drawing is due, from what the screen has cost since the last one."""

    def __init__(
        self,
        share: float = SHARE,
        least_interval_s: float = LEAST_INTERVAL_S,
        *,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.thread_time,
    ) -> None:
        """To be used in the screen's thread, whose time `cpu` is."""
        self.share, self.least_interval_s = share, least_interval_s
        self._clock, self._cpu = clock, cpu
        self._began = -float("inf")
        self._spent_before = 0.0

    @property
    def is_due(self) -> bool:
        """True when drawing again stays within the share."""
        earned = (self._cpu() - self._spent_before) / self.share
        interval = max(self.least_interval_s, min(earned, LONGEST_INTERVAL_S))
        return self._clock() >= self._began + interval

    @contextlib.contextmanager
    def measured(self) -> Iterator[None]:
        """Draw inside; what it costs, and what follows from it, moves the next time away."""
        self._began, self._spent_before = self._clock(), self._cpu()
        yield

    def hurry(self) -> None:
        """Draw at the next occasion: somebody pressed a key."""
        self._began = -float("inf")
