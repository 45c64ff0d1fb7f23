"""How often to redraw: as often as a share of the processor allows, not at a fixed rate.

Training loses what the screen burns; a plot that costs more is drawn less often.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

SHARE = 0.04
"""Of one processor, for plots."""
LEAST_INTERVAL_S = 0.2


class Pace:
    """Says when the next drawing is due, from what the last one cost."""

    def __init__(
        self,
        share: float = SHARE,
        least_interval_s: float = LEAST_INTERVAL_S,
        *,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.thread_time,
    ) -> None:
        self.share, self.least_interval_s = share, least_interval_s
        self._clock, self._cpu = clock, cpu
        self._due = -float("inf")

    @property
    def is_due(self) -> bool:
        """True when drawing again stays within the share."""
        return self._clock() >= self._due

    @contextlib.contextmanager
    def measured(self) -> Iterator[None]:
        """Draw inside; what it costs moves the next time away."""
        began, spent = self._clock(), self._cpu()
        try:
            yield
        finally:
            cost = self._cpu() - spent
            self._due = began + max(self.least_interval_s, cost / self.share)

    def hurry(self) -> None:
        """Draw at the next occasion: somebody pressed a key."""
        self._due = -float("inf")
