"""The only module that imports plotext: numbers in, strips of cells out.

plotext 6 draws in C++ and trusts its caller: a NaN in a line, or a point far outside the limits,
aborts the whole process, and its log scale ignores the ticks it is given. So it only ever sees
finite points, clipped to limits that are set here, already in log10 where the scale is; and few
of them, the least and the greatest of each column. To be called from one thread.
"""

from __future__ import annotations

import ctypes
import itertools
import math
import re
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from minitf_tui.bands import extent, shade
from minitf_tui.figure import RGB, Curve, Figure, Palette
from minitf_tui.mark_lines import draw_marks

# plotext's kernel is called some 4,000 times a frame. Letting go of the interpreter's lock at
# each call makes a frame take 40 times as long beside a busy thread.
_letting_go, ctypes.CDLL = ctypes.CDLL, ctypes.PyDLL  # type: ignore[misc]
try:
    import plotext
finally:
    ctypes.CDLL = _letting_go  # type: ignore[misc]

plotext.terminal.limit(False, False)
_PlotextFigure = type(plotext.figure)

Floats = NDArray[np.float64]
Limits = tuple[float, float]
Gaps = NDArray[np.intp]
"""Indices of the points before which the line is cut."""

LEAST_WIDTH, LEAST_HEIGHT = 20, 5
LARGEST = 1e30
"""Values beyond this are not drawn: their squares would overflow in the kernel."""
_DOTS = 2
"""Braille dots in a cell's width."""
_SGR = re.compile(r"\x1b\[([0-9;]*)m")


def draw(figure: Figure, width: int, height: int, palette: Palette, base: Style) -> list[Strip]:
    """The figure, `height` strips of `width` cells; a title line on top, then the plot."""
    if width < LEAST_WIDTH or height < LEAST_HEIGHT:
        return [Strip([Segment("(too small)"[:width].ljust(width), base)])]
    curves = [_prepared(curve, figure, width) for curve in figure.curves]
    drawn = [(curve, gaps) for curve, gaps in curves if len(curve.x)]
    strips = [_legend(figure, width, palette, base)]
    if drawn:
        seen = _limits(figure, [curve for curve, _ in drawn])
        ansi = _plotext(figure, drawn, seen, width, height - 1, palette)
        rows = [_strip(line, width, base) for line in ansi.split("\n")[: height - 1]]
        rows = draw_marks(rows, figure.marks, seen[0], palette, base)
        strips += shade(rows, figure.curves, seen, palette, base, log_y=figure.log_y)
    return strips + [Strip.blank(width, base)] * (height - len(strips))


def decimate(x: Floats, y: Floats, columns: int) -> tuple[Floats, Floats]:
    """Finite points, at most the least and greatest of each of `columns` stretches, in order."""
    is_drawable = np.isfinite(x) & np.isfinite(y) & (np.abs(y) < LARGEST) & (np.abs(x) < LARGEST)
    if not is_drawable.all():
        x, y = x[is_drawable], y[is_drawable]
    stretch = len(y) // columns if columns else 0
    if stretch <= 2:
        return x, y
    whole = stretch * columns
    folded = y[:whole].reshape(columns, stretch)
    start = np.arange(columns) * stretch
    picked = np.stack([start + folded.argmin(1), start + folded.argmax(1)], 1)
    index = np.unique(np.append(np.sort(picked, axis=1).ravel(), [0, len(y) - 1]))
    return x[index], y[index]


def nice_ticks(low: float, high: float, about: int) -> list[float]:
    """Round values within the limits, `about` that many or a few less."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low]
    raw = (high - low) / max(1, about)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [k * step for k in range(first, last + 1)]


def tick_labels(ticks: list[float]) -> list[str]:
    """Short, and as different as the ticks are."""
    largest = max((abs(t) for t in ticks), default=0.0)
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if largest >= 10 * size:
            return [f"{t / size:.4g}{suffix}" if t else "0" for t in ticks]
    if 0 < largest < 1e-2:
        return [f"{t:.1e}".replace("e-0", "e-") if t else "0" for t in ticks]
    step = min((b - a for a, b in itertools.pairwise(ticks)), default=largest or 1.0)
    decimals = max(0, math.ceil(-math.log10(step) - 1e-9)) if step > 0 else 0
    if decimals and any(abs(t * 10**decimals - round(t * 10**decimals)) > 1e-6 for t in ticks):
        decimals += 1
    return [f"{t:.{min(decimals, 9)}f}" for t in ticks]


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Values (not logarithms) at round places between 10**low and 10**high."""
    powers = range(math.floor(low), math.ceil(high) + 1)
    for digits in ((1, 1.5, 2, 3, 4, 5, 6, 7, 8), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        ticks = [d * 10.0**p for p in powers for d in digits]
        inside = [t for t in ticks if low - 1e-9 <= math.log10(t) <= high + 1e-9]
        if len(inside) <= most:
            break
    if not inside:
        return [10.0**low, 10.0**high]
    return inside[:: math.ceil(len(inside) / most)]


def limits(curves: list[Curve], figure: Figure) -> tuple[Limits, Limits]:
    """The least rectangle that holds the curves, outliers of a ghost left out; never empty."""
    x_low = min(float(c.x[0]) for c in curves)
    x_high = max(float(c.x[-1]) for c in curves)
    ranges = [_range(c) for c in curves]
    y_low, y_high = min(low for low, _ in ranges), max(high for _, high in ranges)
    if figure.y_from_zero and not figure.log_y:
        y_low, y_high = min(0.0, y_low), y_high * 1.04
    if y_high - y_low <= 1e-9 * max(1.0, abs(y_high)):
        margin = 0.5 * max(1.0, 1e-6 * abs(y_high))
        y_low, y_high = y_low - margin, y_high + margin
    if x_high <= x_low:
        x_high = x_low + max(1.0, 1e-6 * abs(x_low))
    return (x_low, x_high), (y_low, y_high)


def _limits(figure: Figure, drawn: list[Curve]) -> tuple[Limits, Limits]:
    """Those of the curves, wide enough for their bands."""
    x, (low, high) = limits(drawn, figure)
    bands = [found for curve in figure.curves if (found := extent(curve, figure.log_y))]
    low = min([low, *(a for a, _ in bands)])
    high = max([high, *(b for _, b in bands)])
    return x, (low, high)


def _range(curve: Curve) -> Limits:
    if not curve.is_ghost:
        return float(curve.y.min()), float(curve.y.max())
    low, high = np.quantile(curve.y, (0.03, 0.97))
    return float(low), float(high)


def _prepared(curve: Curve, figure: Figure, width: int) -> tuple[Curve, Gaps]:
    """Few points, and where among them the line is cut: at values that are no numbers."""
    x, y = np.asarray(curve.x, float), np.asarray(curve.y, float)
    lost = x[~np.isfinite(y)]
    if figure.log_y:
        is_positive = y > 0
        x, y = x[is_positive], np.log10(y[is_positive])
    x, y = decimate(x, y, max(8, (width - 8) * _DOTS // 2))
    gaps = np.unique(np.searchsorted(x, lost))
    return replace(curve, x=x, y=y), gaps[(gaps > 0) & (gaps < len(x))]


def _plotext(
    figure: Figure,
    curves: list[tuple[Curve, Gaps]],
    seen: tuple[Limits, Limits],
    width: int,
    height: int,
    p: Palette,
) -> str:
    canvas = _PlotextFigure(parent=plotext.terminal)
    canvas.plot_size(width, height)
    # A theme of ours, because axes(pixel=...) would bring a white background along.
    plotext.add_theme("minitf", text=(p.quiet,))
    canvas.theme("minitf")
    canvas.canvas("default")
    canvas.axes(active=False, axis="x", side="upper")
    canvas.axes(active=False, axis="y", side="right")
    (x_low, x_high), (y_low, y_high) = seen
    for curve, gaps in curves:
        marker = plotext.marker(curve.symbol or figure.dots, pixel=(p[curve.colour],))
        # A spike of a ghost, which may lie outside, is drawn up to the edge.
        inside = np.clip(curve.y, y_low, y_high)
        for x, y in zip(np.split(curve.x, gaps), np.split(inside, gaps), strict=True):
            signal = canvas.signal(x.tolist(), y.tolist(), marker=marker)
            if not curve.symbol and len(x) > 1:
                signal.lines()
            canvas.draw(signal)
    x_ticks = nice_ticks(x_low, x_high, max(2, width // 10))
    if all(bool(np.all(curve.x == np.round(curve.x))) for curve, _ in curves):
        x_ticks = [tick for tick in x_ticks if tick == round(tick)]  # no step 1.5
    canvas.ruler("x").lim(x_low, x_high)
    canvas.ruler("x").ticks(x_ticks, labels=tick_labels(x_ticks))
    if figure.log_y:
        values = log_ticks(y_low, y_high, max(2, height // 3))
        places, labels = [math.log10(v) for v in values], [f"{v:.3g}" for v in values]
    else:
        places = nice_ticks(y_low, y_high, max(2, height // 3))
        labels = tick_labels(places)
    canvas.ruler("y").lim(y_low, y_high)
    canvas.ruler("y").ticks(places, labels=labels)
    return str(canvas.build().string())


def _legend(figure: Figure, width: int, palette: Palette, base: Style) -> Strip:
    """Title, then a coloured mark, name and newest value of each curve that fits."""
    quiet = base + Style(color=_hex(palette.quiet))
    title = figure.title
    needed = sum(len(c.name) + len(c.value) + 5 for c in figure.curves if c.value)
    if len(title) + 3 + needed > width:
        title = re.sub(r",[^(]*", " ", title).strip()  # the unit is the first to go
    segments = [Segment(f" {title}  ", base)]
    used = sum(len(s.text) for s in segments)
    for curve in sorted(figure.curves, key=lambda curve: curve.is_ghost):
        if not curve.name:
            continue
        mark = f"{curve.symbol or '━'} "
        words = f"{curve.name} "
        if used + len(mark) + len(words) + len(curve.value) + 2 > width:
            break
        segments.append(Segment(mark, base + Style(color=_hex(palette[curve.colour]))))
        segments.append(Segment(words, quiet))
        segments.append(Segment(f"{curve.value}  ", base))
        used += len(mark) + len(words) + len(curve.value) + 2
    label = f"{figure.x_label} "
    if used + len(label) <= width:
        segments += [Segment(" " * (width - used - len(label)), base), Segment(label, quiet)]
    return Strip(segments).adjust_cell_length(width, base)


def _strip(line: str, width: int, base: Style) -> Strip:
    """One line of plotext: only colour codes, and glyphs one cell wide."""
    segments, style, used = [], base, 0
    for index, part in enumerate(_SGR.split(line)):
        if index % 2:
            style = base if part in ("0", "") else style + _style(part)
        elif part:
            segments.append(Segment(part, style))
            used += len(part)
    segments.append(Segment(" " * max(0, width - used), base))
    return Strip(segments, max(used, width)).crop(0, width)


@lru_cache(maxsize=256)
def _style(code: str) -> Style:
    numbers = [int(n or 0) for n in code.split(";")]
    if len(numbers) == 5 and numbers[0] == 38 and numbers[1] == 2:
        return Style(color=_hex((numbers[2], numbers[3], numbers[4])))
    return Style()


def _hex(colour: RGB) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
