"""Pictures for files, drawn by matplotlib without a screen. Numbers in, a figure out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMOOTHEST = 0.98
"""Largest share of the mean so far in the smoothed loss."""
DPI = 150
# Okabe and Ito's colours, told apart by most colour-blind readers.
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#8a8a8a"
CACHES = {"none": ("no cache", ORANGE), "static": ("KV cache", BLUE)}

Events = Sequence[dict[str, Any]]


def save(figure: Figure, path: Path) -> None:
    """Write the picture in the format that the name asks for."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=DPI)


def loss(events: Events, title: str) -> Figure:
    """Training loss, raw and smoothed, validation loss, and the learning rate below."""
    from matplotlib.figure import Figure

    steps = [e for e in events if e.get("event") == "StepCompleted"]
    scored = [e for e in events if e.get("event") == "ValidationCompleted"]
    figure = Figure(figsize=(7.5, 5.5), layout="constrained")
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    x, losses = _series(steps, "loss")
    top.plot(x, losses, color=GREY, alpha=0.35, linewidth=0.8, label="training, each step")
    top.plot(x, smoothed(losses), color=BLUE, linewidth=1.6, label="training, smoothed")
    if scored:
        x, losses = _series(scored, "loss")
        top.plot(x, losses, color=ORANGE, marker="o", markersize=4, label="validation")
    _draw_floor(top, events)
    _dress(top, title=title, ylabel="loss (nats per token)")
    top.legend(frameon=False)
    below.plot(*_series(steps, "lr"), color=GREEN, linewidth=1.4)
    _dress(below, xlabel="step", ylabel="learning rate")
    below.set_ylim(bottom=0)
    return figure


def _draw_floor(axes: Axes, events: Events) -> None:
    """The least loss there is, where the run knows it."""
    started = [e for e in events if e.get("event") == "RunStarted"]
    floor = started[-1].get("floor_loss") if started else None
    if floor is not None:
        axes.axhline(floor, color=GREEN, linestyle="--", linewidth=1.2, label=f"floor {floor:.3f}")


def latency(cells: Events, title: str) -> Figure:
    """Prefill and decode, with and without the cache: mean, ± one standard deviation."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    for axes, phase in zip(figure.subplots(1, 2), ("prefill", "decode"), strict=True):
        found = [c for cache in CACHES for c in cells if (c["cache"], c["phase"]) == (cache, phase)]
        _bars(axes, found)
        tokens = found[0]["tokens"] if found else 0
        _dress(axes, title=f"{phase}, {tokens} tokens", ylabel="time (ms)")
    repetitions = max((len(cell["samples_ms"]) for cell in cells), default=0)
    figure.suptitle(f"{title}: mean ± sd of {repetitions} repetitions")
    return figure


def smoothed(values: Sequence[float]) -> list[float]:
    """An exponential mean over about a twentieth of the run.

    Its start is not pulled to zero: the bias correction of Adam (arXiv:1412.6980 §3).
    """
    keep = min(max(1 - 20 / max(len(values), 1), 0.0), SMOOTHEST)
    mean, weight, result = 0.0, 0.0, []
    for value in values:
        if math.isfinite(value):
            mean = keep * mean + (1 - keep) * value
            weight = keep * weight + (1 - keep)
        result.append(mean / weight if weight else math.nan)
    return result


def _bars(axes: Axes, cells: Events) -> None:
    for place, cell in enumerate(cells):
        colour = CACHES[cell["cache"]][1]
        mean, sd = cell["mean_ms"], cell["sd_ms"]
        axes.bar(place, mean, width=0.6, color=colour, yerr=sd, capsize=5)
        digits = 0 if mean >= 100 else 1 if mean >= 10 else 2
        axes.annotate(
            f"{mean:,.{digits}f} ms",
            (place, mean + sd),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            fontsize="small",
        )
    axes.set_xticks(range(len(cells)), [CACHES[cell["cache"]][0] for cell in cells])
    axes.set_xlim(-0.6, max(len(cells), 1) - 0.4)
    axes.margins(y=0.15)


def _series(events: Events, name: str) -> tuple[list[int], list[float]]:
    """Steps and values; NaN leaves a gap."""
    steps = [int(event["step"]) for event in events]
    values = [event[name] if event[name] is not None else float("nan") for event in events]
    return steps, values


def _dress(axes: Axes, *, title: str = "", xlabel: str = "", ylabel: str = "") -> None:
    axes.set_title(title, fontsize="medium")
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
