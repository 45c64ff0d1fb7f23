"""Marks of a plot as upright lines, each with a word on top.

They are drawn over the finished rows, in cells that are empty: no curve is covered. Words that
would run into another one are left out; the lines stay.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from minitf_tui.figure import Mark, Palette

LINE = "┊"
_EMPTY = (" ", "⠀")


def draw_marks(
    strips: list[Strip],
    marks: Sequence[Mark],
    limits: tuple[float, float],
    palette: Palette,
    base: Style,
) -> list[Strip]:
    """The rows of a plot with the marks between its curves.

    Args:
        strips: as they were drawn, axes included.
        limits: of x.
    """
    bottom = next((i for i, strip in enumerate(strips) if "└" in strip.text), 0)
    seen = [mark for mark in marks if limits[0] <= mark.x <= limits[1]]
    if not seen or bottom < 2:
        return strips
    left = strips[bottom].text.index("└") + 1
    columns = strips[bottom].cell_length - left
    drawn, free_from = list(strips), left
    for mark in sorted(seen, key=lambda mark: mark.x):
        share = (mark.x - limits[0]) / (limits[1] - limits[0])
        place = left + round(share * (columns - 1))
        style = base + Style(color="#{:02x}{:02x}{:02x}".format(*palette[mark.colour]))
        for row in range(bottom):
            drawn[row] = _put(drawn[row], place, LINE, style)
        has_room = place + 1 + len(mark.word) <= left + columns
        start = place + 1 if has_room else place - len(mark.word)
        if start >= free_from and drawn[0].text[start : start + len(mark.word)].strip() == "":
            drawn[0] = _put(drawn[0], start, mark.word, style)
            free_from = start + len(mark.word) + 1
    return drawn


def _put(strip: Strip, place: int, text: str, style: Style) -> Strip:
    """`text` on a row, unless something is drawn there."""
    end = place + len(text)
    if any(cell not in _EMPTY for cell in strip.text[place:end]) or end > strip.cell_length:
        return strip
    parts = [strip.crop(0, place), Strip([Segment(text, style)]), strip.crop(end)]
    return Strip.join(parts)
