"""The health of a run as it is watched: what was measured, and what was said of it.

The worker adds; the screen's thread reads whole measurements, which never change.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from typing import Any

from core.events import AlertRaised, HealthMeasured
from minitf_tui import format as fmt
from minitf_tui.sanitize import clean_line

PER_LAYER = ("weight_norms", "grad_norms", "update_ratios")
TUPLES = (*PER_LAYER, "dead_shares", "attention_entropies")


class Vitals:
    """Of one run, oldest first."""

    def __init__(self) -> None:
        self.measured: list[HealthMeasured] = []
        self.alerts: list[AlertRaised] = []

    def undo_after(self, step: int) -> None:
        """The run returned to a checkpoint. Alerts stay: they say why."""
        self.measured = [event for event in self.measured if event.step <= step]

    def add_past(self, events: Iterable[Mapping[str, Any]]) -> None:
        """What a run had told before it was resumed, as `read_metrics` gives it; what is not as
        we write it is left out."""
        for event in events:
            with suppress(AttributeError, TypeError, ValueError):
                if event["event"] == "HealthMeasured":
                    self.measured.append(_measurement(event))
                elif event["event"] == "AlertRaised":
                    self.alerts.append(_alert(event))

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
        return sum(event.cost_s for event in self.measured)


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


def summary(last: HealthMeasured) -> str:
    """A measurement on one line: what is worst in it."""
    ratios = [(ratio, name) for ratio, name in zip(last.update_ratios, last.layers, strict=True)]
    largest, name = max(ratios)
    where = f"layer {name}" if name.isdigit() else f"the {name}"
    parts = [f"step {last.step:,}: largest update {100 * largest:.2g} % of {where}"]
    if last.dead_shares:
        parts.append(f"most dead units {fmt.percent(max(last.dead_shares))}")
    if last.attention_entropies:
        least, most = min(last.attention_entropies), max(last.attention_entropies)
        parts.append(f"attention {least:.2f} to {most:.2f}")
    parts.append(f"logits {last.logit_low:.1f} to {last.logit_high:.1f}")
    return ", ".join(parts)


def _measurement(event: Mapping[str, Any]) -> HealthMeasured:
    values = {item.name: event[item.name] for item in fields(HealthMeasured) if item.name in event}
    for name, value in values.items():
        if name == "layers":
            values[name] = tuple(clean_line(str(layer)) for layer in value)
        elif isinstance(value, list):
            values[name] = tuple(math.nan if v is None else float(v) for v in value)
        elif name in ("logit_low", "logit_high", "cost_s"):
            values[name] = math.nan if value is None else float(value)
    found = HealthMeasured(**values)
    if not all(isinstance(getattr(found, name), tuple) for name in TUPLES):
        raise ValueError("figures that are no lists")
    lengths = {len(found.layers), *(len(getattr(found, name)) for name in PER_LAYER)}
    if len(lengths) > 1 or not found.layers:
        raise ValueError("figures of other layers")
    return found


def _alert(event: Mapping[str, Any]) -> AlertRaised:
    words = {name: clean_line(event[name]) for name in ("kind", "sentence", "hint")}
    return AlertRaised(step=int(event["step"]), **words)
