"""Bars with an interval at their end: mean ± σ, growing as repetitions come in."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content
from textual.widget import Widget

from minitf_tui import format as fmt

EIGHTHS = " ▏▎▍▌▋▊▉"


@dataclass(frozen=True, slots=True)
class Bar:
    """Repeated measurements of one thing, in milliseconds."""

    label: str
    samples_ms: tuple[float, ...]
    tokens: int
    """Processed in one sample."""
    style: str

    @property
    def mean(self) -> float:
        """Of the samples; NaN without any."""
        return statistics.fmean(self.samples_ms) if self.samples_ms else math.nan

    @property
    def sd(self) -> float:
        """With n - 1; 0 with one sample."""
        return statistics.stdev(self.samples_ms) if len(self.samples_ms) > 1 else 0.0


class Bars(Widget):
    """Bars on one scale, under a heading."""

    DEFAULT_CSS = "Bars { width: 1fr; height: auto; }"

    def __init__(self, heading: str, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.heading = heading
        self.bars: tuple[Bar, ...] = ()

    def show(self, heading: str, *bars: Bar) -> None:
        """Replace what is shown."""
        self.heading, self.bars = heading, bars
        self.refresh(layout=True)

    def render(self) -> Content:
        """What is painted."""
        return drawn(self.heading, self.bars, self.size.width)

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        """Rows it needs at that width."""
        return 1 + len(self.bars)


def drawn(heading: str, bars: Sequence[Bar], width: int) -> Content:
    """The heading, and a line for each bar: label, bar with σ, mean ± σ, speed."""
    rule = "─" * max(0, width - len(heading) - 1)
    lines = [Content.assemble((heading, "$secondary"), " ", (rule, "$line"))]
    labels = max((len(bar.label) for bar in bars), default=0)
    texts = [(fmt.mean_sd(bar.mean, bar.sd), _speed(bar)) for bar in bars]
    means = max((len(mean) for mean, _ in texts), default=0)
    speeds = max((len(speed) for _, speed in texts), default=0)
    room = max(4, width - labels - means - speeds - 10)
    largest = max((b.mean + b.sd for b in bars if b.samples_ms), default=0.0)
    for bar, (mean, speed) in zip(bars, texts, strict=True):
        lines.append(
            Content.assemble(
                (bar.label.ljust(labels), "$quiet"),
                "  ",
                *_shape(bar, largest, room),
                "  ",
                (mean.rjust(means), "bold"),
                (" ms  ", "$quiet"),
                (speed.rjust(speeds), "$quiet"),
            )
        )
    return Content("\n").join(lines)


def _speed(bar: Bar) -> str:
    return f"{fmt.count(1000 * bar.tokens / bar.mean)} tok/s" if bar.samples_ms and bar.mean else ""


def _shape(bar: Bar, largest: float, room: int) -> list[tuple[str, str]]:
    """A solid bar up to mean - σ, then a lighter one up to mean + σ."""
    if not bar.samples_ms or largest <= 0:
        return [("·" + " " * (room - 1), "$ghost")]
    scale = room / largest
    solid = max(0.0, bar.mean - bar.sd) * scale
    end = min(room, math.ceil((bar.mean + bar.sd) * scale - 1e-9))
    whole = int(solid)
    part = EIGHTHS[int((solid - whole) * 8)] if bar.sd == 0 or end <= whole + 1 else ""
    body = ("█" * whole + part.strip())[:room]
    band = "▒" * max(0, end - len(body)) if bar.sd else ""
    return [(body, bar.style), (band, bar.style), (" " * (room - len(body) - len(band)), "")]
