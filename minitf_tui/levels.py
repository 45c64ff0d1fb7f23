"""Levels of a plot: dotted lines from edge to edge with their name, behind all curves.

They take empty cells only, so they cover no curve; of levels that would share a row the more
important one is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from minitf_tui.figure import Level

DOT = "·"
ROWS_EACH = 3
"""Rows of a plot for one level, so that they stay few."""
_EMPTY = " \u2800"

Limits = tuple[tuple[float, float], tuple[float, float]]


def goals(levels: Sequence[Level], log_y: bool) -> Iterable[float]:
    """Where the scale has to reach to, as it is drawn."""
    return (height for level in levels if level.is_goal and (height := _height(level, log_y)))


def lined(
    strips: list[Strip],
    levels: Sequence[Level],
    limits: Limits,
    style: Style,
    *,
    log_y: bool,
) -> list[Strip]:
    """The rows of a plot with the levels that lie within its limits.

    Args:
        strips: as they were drawn, axes included.
        levels: the most important one first.
        limits: of x and y, y on the scale that is drawn.
    """
    bottom = next((i for i, s in enumerate(strips) if "└" in s.text), 0)
    if bottom < 2:
        return strips
    left = strips[bottom].text.index("└") + 1
    low, high = limits[1]
    found, taken = list(strips), set[int]()
    for level in levels:
        height = _height(level, log_y)
        if height is None or not low <= height <= high or len(taken) * ROWS_EACH >= bottom:
            continue
        row = round((high - height) * (bottom - 1) / (high - low))
        if row not in taken and (strip := _named(found[row], left, level.name, style)):
            found[row] = strip
            taken.add(row)
    return found


def _height(level: Level, log_y: bool) -> float | None:
    if not log_y:
        return level.y
    return math.log10(level.y) if level.y > 0 else None


def _named(strip: Strip, left: int, name: str, style: Style) -> Strip | None:
    """The row with dots in its empty cells and the name in the first stretch that holds it; None
    where none does."""
    text = "".join(" " if cell in _EMPTY else cell for cell in strip.text)
    words = f" {name} "
    place = text.find(" " * len(words), left)
    if place < 0:
        return None
    dotted = [DOT if cell == " " and i >= left else cell for i, cell in enumerate(text)]
    dotted[place : place + len(words)] = words
    return _replaced(strip, "".join(dotted), text, style)


def _replaced(strip: Strip, new: str, old: str, style: Style) -> Strip:
    """`new` in place of the text, in `style` where the old one was empty and it is not."""
    segments, at = [], 0
    for part in strip:
        own = part.style or Style()
        for i in range(at, at + len(part.text)):
            is_new = old[i] == " " and new[i] != " "
            segments.append(Segment(new[i], own + style if is_new else own))
        at += len(part.text)
    return Strip(Segment.simplify(segments), strip.cell_length)
