"""The health of a run as it is watched: what was measured, and what was said of it.

The worker adds; the screen's thread reads whole measurements, which never change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from core.events import AlertRaised, HealthMeasured


class Vitals:
    """Of one run, oldest first."""

    def __init__(self) -> None:
        self.measured: list[HealthMeasured] = []
        self.alerts: list[AlertRaised] = []

    def undo_after(self, step: int) -> None:
        """The run returned to a checkpoint. Alerts stay: they say why."""
        self.measured = [event for event in self.measured if event.step <= step]

    def add_past(self, events: Iterable[Mapping[str, Any]]) -> None:
        """What a run had told before it was resumed, as `read_metrics` gives it."""
        for event in events:
            if event["event"] == "HealthMeasured":
                self.measured.append(_read(HealthMeasured, event))
            elif event["event"] == "AlertRaised":
                self.alerts.append(_read(AlertRaised, event))

    @property
    def last(self) -> HealthMeasured | None:
        """The newest measurement."""
        return self.measured[-1] if self.measured else None

    @property
    def interval(self) -> int | None:
        """Steps between the newest two."""
        if len(self.measured) < 2:
            return None
        return self.measured[-1].step - self.measured[-2].step

    @property
    def cost_s(self) -> float:
        """Of all of them."""
        return sum(event.cost_s or 0.0 for event in self.measured)


def course(
    measured: Sequence[HealthMeasured], figure: str, place: int, n: int
) -> list[float | None]:
    """At most `n` values of one layer's figure, evenly spaced over the run; None where there
    is none."""
    count = min(n, len(measured))
    last = len(measured) - 1
    chosen = [round(i * last / max(1, count - 1)) for i in range(count)]
    found = []
    for i in chosen if count > 1 else [last] * count:
        values = getattr(measured[i], figure)
        found.append(values[place] if 0 <= place < len(values) else None)
    return found


def _read(kind: type[Any], event: Mapping[str, Any]) -> Any:
    """Lists of JSON become the tuples that they were."""
    known = {item.name for item in fields(kind)}
    values = {name: value for name, value in event.items() if name in known}
    return kind(**{n: tuple(v) if isinstance(v, list) else v for n, v in values.items()})
