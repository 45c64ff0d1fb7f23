"""Bands of a plot as the background of its cells: they cover no curve and cut no hole into one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from minitf_tui.figure import RGB, Curve, Palette

SHARE = 0.22
"""Of the curve's colour, in the background."""

Floats = NDArray[np.float64]


def extent(curve: Curve, log_y: bool) -> tuple[float, float] | None:
    """Least and greatest value of a band, on the scale that is drawn; None without one."""
    if curve.low is None or curve.high is None:
        return None
    values = np.concatenate([scaled(curve.low, log_y), scaled(curve.high, log_y)])
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if len(finite) else None


def scaled(values: Floats, log_y: bool) -> Floats:
    """Values as the kernel sees them; NaN where there is nothing to see."""
    values = np.asarray(values, float)
    if not log_y:
        return values
    return np.log10(np.where(values > 0, values, np.nan))


def shade(
    strips: list[Strip],
    curves: Sequence[Curve],
    limits: tuple[tuple[float, float], tuple[float, float]],
    palette: Palette,
    base: Style,
    *,
    log_y: bool,
) -> list[Strip]:
    """The rows of a plot with the bands of its curves behind them.

    Args:
        strips: as they were drawn, axes included.
        limits: of x and y, y on the scale that is drawn.
    """
    back = base.bgcolor.triplet if base.bgcolor else None
    bottom = next((i for i, s in enumerate(strips) if "└" in s.text), 0)
    if back is None or bottom < 2:
        return strips
    left = strips[bottom].text.index("└") + 1
    columns = strips[bottom].cell_length - left
    if columns < 2:
        return strips
    shaded = list(strips)
    for curve in curves:
        rows = _rows(curve, limits, columns, bottom, log_y=log_y)
        style = Style(bgcolor=_blended(palette[curve.colour], tuple(back)))
        for row, first, end in rows:
            shaded[row] = _painted(shaded[row], left + first, left + end, style)
    return shaded


def _rows(
    curve: Curve,
    limits: tuple[tuple[float, float], tuple[float, float]],
    columns: int,
    height: int,
    *,
    log_y: bool,
) -> list[tuple[int, int, int]]:
    """`(row, first column, column behind the last)` of each stretch of a band."""
    if curve.low is None or curve.high is None or len(curve.x) < 2:
        return []
    (x_low, x_high), (y_low, y_high) = limits
    places = x_low + (np.arange(columns) + 0.5) / columns * (x_high - x_low)
    x = np.asarray(curve.x, float)
    tops, bottoms = (np.interp(places, x, scaled(edge, log_y)) for edge in (curve.high, curve.low))
    is_there = (places >= x[0]) & (places <= x[-1]) & np.isfinite(tops) & np.isfinite(bottoms)
    scale = (height - 1) / (y_high - y_low)
    first, last = (
        np.clip(np.rint((y_high - np.where(is_there, y, y_low)) * scale), 0, height - 1)
        for y in (tops, bottoms)
    )
    found = []
    for row in range(height):
        hit = np.flatnonzero(np.diff(np.pad((is_there & (first <= row) & (row <= last)) * 1, 1)))
        found += [(row, int(a), int(b)) for a, b in zip(hit[::2], hit[1::2], strict=True)]
    return found


def _painted(strip: Strip, first: int, end: int, style: Style) -> Strip:
    inside = [
        Segment(part.text, (part.style or Style()) + style) for part in strip.crop(first, end)
    ]
    return Strip.join([strip.crop(0, first), Strip(inside, end - first), strip.crop(end)])


def _blended(colour: RGB, back: tuple[int, ...]) -> str:
    red, green, blue = (round(b + (c - b) * SHARE) for c, b in zip(colour, back, strict=True))
    return f"#{red:02x}{green:02x}{blue:02x}"
