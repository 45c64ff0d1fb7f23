"""From the metrics of a run to what `minitf plot` draws: numbers on common axes."""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from minitf_tui.figure import Mark
from minitf_tui.history import Average
from minitf_tui.marks import marks_of

AXES = {"step": "step", "tokens": "tokens trained on", "time": "training time (s)"}
_FIELDS = {"step": "step", "tokens": "tokens", "time": "train_s"}
SMOOTHEST = 0.98
"""Largest share of the mean so far in the smoothed loss."""

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Curves:
    """One run. What is not a number is NaN, and leaves a gap."""

    run: str
    x: tuple[float, ...]
    """Of each optimiser step: its number, tokens, or seconds of training."""
    loss: tuple[float, ...]
    smoothed: tuple[float, ...]
    lr: tuple[float, ...]
    validation_x: tuple[float, ...]
    validation: tuple[float, ...]
    floor: float | None
    """The least loss that the text allows, where its source is known."""
    marks: tuple[Mark, ...] = ()
    """Where the run was controlled."""


def curves_of(
    run: str, events: Sequence[Event], *, x: str = "step", keep: float | None = None
) -> Curves:
    """The run called `run`, along one of `AXES`; `keep` as in `smoothed`."""
    steps = [e for e in events if e.get("event") == "StepCompleted"]
    scored = [e for e in events if e.get("event") == "ValidationCompleted"]
    floors = [e.get("floor_loss") for e in events if e.get("event") == "RunStarted"]
    losses = _column(steps, "loss")
    return Curves(
        run=run,
        x=_column(steps, _FIELDS[x]),
        loss=losses,
        smoothed=smoothed(losses, keep),
        lr=_column(steps, "lr"),
        validation_x=_places(steps, scored, x),
        validation=_column(scored, "loss"),
        floor=floors[-1] if floors else None,
        marks=_marks(steps, marks_of(events), x),
    )


def smoothed(values: Sequence[float], keep: float | None = None) -> tuple[float, ...]:
    """An exponential average; without `keep`, the share of the old in it, over about a
    twentieth of the run."""
    if keep is None:
        keep = min(max(1 - 20 / max(len(values), 1), 0.0), SMOOTHEST)
    average = Average(keep)
    return tuple(average.add(value) for value in values)


def _places(steps: Sequence[Event], scored: Sequence[Event], x: str) -> tuple[float, ...]:
    """Of the validations. They do not count tokens: that of their step do."""
    if x != "tokens":
        return _column(scored, _FIELDS[x])
    numbers, tokens = _column(steps, "step"), _column(steps, "tokens")
    found = [bisect.bisect_right(numbers, e["step"]) - 1 for e in scored]
    return tuple(tokens[i] if i >= 0 else 0.0 for i in found)


def _marks(steps: Sequence[Event], marks: Sequence[Mark], x: str) -> tuple[Mark, ...]:
    """They know their step alone: along another axis they are where that step is."""
    numbers, places = _column(steps, "step"), _column(steps, _FIELDS[x])
    found = [bisect.bisect_right(numbers, mark.x) - 1 for mark in marks]
    return tuple(
        replace(mark, x=places[i] if i >= 0 else 0.0) for i, mark in zip(found, marks, strict=True)
    )


def _column(events: Sequence[Event], name: str) -> tuple[float, ...]:
    values = (event.get(name) for event in events)
    return tuple(math.nan if value is None else float(value) for value in values)
