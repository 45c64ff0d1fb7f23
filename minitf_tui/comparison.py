"""Runs side by side: their curves on common axes, and what differs in their configs. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minitf_tui import format as fmt
from minitf_tui.figure import Curve, Figure, Mark
from minitf_tui.history import Average
from minitf_tui.marks import marks_of

if TYPE_CHECKING:
    from core.config import RunConfig

Floats = NDArray[np.float64]

X_AXES = ("step", "tokens", "train_s")
X_LABELS = {"step": "step", "tokens": "tokens", "train_s": "training seconds"}
_FIELDS = {"step": None, "tokens": 0.0, "train_s": 0.0, "loss": None}
"""Of an event, with what stands in for those that not every kind has."""
COLOURS = ("accent", "warning", "secondary", "error", "success")
"""Of the curves, in this order; a sixth run begins again."""


@dataclass(frozen=True, slots=True, eq=False)
class RunCurve:
    """What the metrics of one run tell about its loss."""

    name: str
    steps: Mapping[str, Floats]
    """Columns `step tokens train_s loss`, of every step; the loss is smoothed."""
    validations: Mapping[str, Floats]
    """Columns `step tokens train_s loss`, of every validation."""
    bytes_per_token: float
    """NaN where the run does not say."""
    vocab_size: int
    marks: tuple[Mark, ...] = ()
    """Where it was controlled, by step."""


def curve_of(name: str, events: Sequence[Mapping[str, Any]], smoothing: float) -> RunCurve:
    """The curve in the metrics of a run; lines that lack a number are left out."""
    started = [event for event in events if event["event"] == "RunStarted"]
    first = started[-1] if started else {}
    vocab_size = _number(first.get("vocab_size"))
    mean = Average(smoothing)
    steps = _columns(events, "StepCompleted")
    steps["loss"] = np.array([mean.add(float(loss)) for loss in steps["loss"]])
    validations = _columns(events, "ValidationCompleted")
    for axis in ("tokens", "train_s"):
        if len(steps["step"]):  # those of the step before which it was measured
            validations[axis] = np.interp(validations["step"], steps["step"], steps[axis])
    return RunCurve(
        name,
        steps,
        validations,
        bytes_per_token=_number(first.get("bytes_per_token")),
        vocab_size=int(vocab_size) if math.isfinite(vocab_size) else 0,
        marks=marks_of(events),
    )


def _columns(events: Sequence[Mapping[str, Any]], kind: str) -> dict[str, Floats]:
    rows = [
        [_number(event.get(name, absent)) for name, absent in _FIELDS.items()]
        for event in events
        if event["event"] == kind
    ]
    table = np.array(rows, float).reshape(len(rows), len(_FIELDS))
    table = table[np.isfinite(table).all(axis=1)]
    return dict(zip(_FIELDS, table.T, strict=True))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


def is_per_byte(curves: Sequence[RunCurve]) -> bool:
    """Whether the runs count different tokens, so that only their bytes can be compared."""
    kinds = {(curve.vocab_size, round(curve.bytes_per_token, 3)) for curve in curves}
    return len(kinds) > 1 and all(math.isfinite(curve.bytes_per_token) for curve in curves)


def comparison_figure(
    curves: Sequence[RunCurve], *, x_axis: str, dots: str, log_y: bool = False
) -> Figure:
    """The mean loss of each run as a line, its validations as marks of the same colour.

    Nats per token; bits per byte where the runs count different tokens (`is_per_byte`). Of a run
    that is alone it is marked where it was controlled.
    """
    per_byte = is_per_byte(curves)
    drawn: list[Curve] = []
    for colour, curve in zip(_colours(len(curves)), curves, strict=True):
        scale = 1 / (math.log(2) * curve.bytes_per_token) if per_byte else 1.0
        line, marks = curve.steps, curve.validations
        drawn.append(Curve("", line[x_axis], line["loss"] * scale, colour))
        seen = marks["loss"] * scale
        best = fmt.loss(float(seen.min())) if len(seen) else fmt.NONE
        drawn.append(Curve(curve.name, marks[x_axis], seen, colour, symbol="●", value=best))
    title = "bits/byte" if per_byte else "loss, nats/token"
    return Figure(
        title + (" (log)" if log_y else ""),
        tuple(drawn),
        x_label=X_LABELS[x_axis],
        log_y=log_y,
        dots=dots,
        marks=_marks(curves[0], x_axis) if len(curves) == 1 else (),
    )


def _marks(curve: RunCurve, x_axis: str) -> tuple[Mark, ...]:
    """Where they are along an axis: at what the run had seen or spent by that step."""
    steps, along = curve.steps["step"], curve.steps[x_axis]
    if not len(steps):
        return ()
    return tuple(replace(m, x=float(np.interp(m.x, steps, along))) for m in curve.marks)


def _colours(n: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(n)]


def config_differences(a: RunConfig, b: RunConfig) -> list[tuple[str, str, str]]:
    """`(setting, value in a, value in b)` of the settings that differ."""
    one, two = a.to_dict(), b.to_dict()
    return [
        (name, _shown(value), _shown(two[section][name]))
        for section, values in one.items()
        for name, value in values.items()
        if value != two[section][name]
    ]


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
