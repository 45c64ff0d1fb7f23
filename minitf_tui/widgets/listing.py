"""Rows of words and bars in aligned columns, one of them highlighted; scrolls with it.

A column that does not fit is left out, the least important first. One column may hold gauges,
which share the room that is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from textual.content import Content
from textual.events import Click
from textual.geometry import Size
from textual.message import Message
from textual.widget import Widget

EIGHTHS = " ▏▎▍▌▋▊▉"
LEAST_GAUGE, MOST_GAUGE = 8, 60
GUTTER = 2


@dataclass(frozen=True, slots=True)
class Gauge:
    """A bar up to a share of its room, then a lighter one, up to another share."""

    share: float
    until: float = 0.0
    style: str = "$accent"


@dataclass(frozen=True, slots=True)
class Span:
    """An interval on a scale from 0 to 1, and a place that is marked by a line."""

    low: float
    high: float
    mark: float
    style: str = "$accent"


@dataclass(frozen=True, slots=True)
class Column:
    """A heading, and how the words below it stand."""

    heading: str
    is_left: bool = False
    is_gauge: bool = False
    rank: int = 0
    """Where there is little room, the column with the greatest goes first; 0 stays."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A word in a row."""

    text: str
    style: str = ""


Word = Cell | Gauge | Span
Row = Sequence[Word]


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a listing shows."""

    columns: tuple[Column, ...] = ()
    rows: tuple[Row, ...] = ()
    notes: tuple[Content, ...] = field(default=())
    """Below the rows, one line each."""


class Listing(Widget):
    """Shows a sheet; somebody may click a row."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "Listing { width: 1fr; height: auto; min-height: 2; }"

    class Clicked(Message):
        """A row was clicked."""

        def __init__(self, place: int) -> None:
            super().__init__()
            self.place = place

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.sheet = Sheet()
        self.here: int | None = None
        """The row that is highlighted."""
        self._top = 0

    def show(self, sheet: Sheet, here: int | None = None) -> None:
        """Replace what is shown; nothing is painted when it is the same."""
        if (sheet, here) == (self.sheet, self.here):
            return
        grew = self._height(self.sheet) != self._height(sheet)
        self.sheet, self.here = sheet, here
        self.refresh(layout=grew)

    @staticmethod
    def _height(sheet: Sheet) -> int:
        return 1 + len(sheet.rows) + len(sheet.notes)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Rows it needs."""
        return self._height(self.sheet)

    def render(self) -> Content:
        # Scrolls no further than keeps the highlight in sight and the last page full.
        """What is painted."""
        head, *rows = drawn(self.sheet, self.size.width, self.here)
        room = max(1, self.size.height - 1)
        notes = list(self.sheet.notes)[: max(0, room - min(len(rows), 3))]
        page = max(1, room - len(notes))
        here = self.here or 0
        self._top = max(min(self._top, here, max(0, len(rows) - page)), here - page + 1, 0)
        lines = [head, *rows[self._top : self._top + page], *notes]
        return Content("\n").join(line.truncate(self.size.width, ellipsis=True) for line in lines)

    def on_click(self, event: Click) -> None:
        """Answer a click."""
        place = self._top + event.y - 1
        if 0 <= place < len(self.sheet.rows) and event.y:
            self.post_message(self.Clicked(place))


def drawn(sheet: Sheet, width: int, here: int | None = None) -> list[Content]:
    """The headings, and a line for each row, as wide as there is room."""
    kept = _fitting(sheet, width)
    widths = {i: _width(sheet, i) for i in kept}
    gauges = [i for i in kept if sheet.columns[i].is_gauge]
    used = sum(widths[i] for i in kept if i not in gauges) + GUTTER * (len(kept) - 1)
    for i in gauges:
        share = (width - used) // len(gauges)
        widths[i] = max(LEAST_GAUGE, min(MOST_GAUGE, share))
    headings = [
        _aligned(sheet.columns[i].heading, widths[i], sheet.columns[i].is_left or i in gauges)[
            : widths[i]
        ]
        for i in kept
    ]
    lines = [Content.styled((" " * GUTTER).join(headings), "$quiet")]
    for place, row in enumerate(sheet.rows):
        back = "on $panel" if place == here else ""
        parts: list[tuple[str, str]] = []
        for n, i in enumerate(kept):
            parts += [(" " * GUTTER, "")] if n else []
            parts += _painted(row[i], widths[i], is_left=sheet.columns[i].is_left or i in gauges)
        used = sum(len(text) for text, _ in parts)
        parts.append((" " * max(0, width - used), ""))
        lines.append(
            Content.assemble(*((text, f"{style} {back}".strip()) for text, style in parts))
        )
    return lines


def _fitting(sheet: Sheet, width: int) -> list[int]:
    kept = list(range(len(sheet.columns)))
    while len(kept) > 1:
        needed = sum(
            LEAST_GAUGE if sheet.columns[i].is_gauge else _width(sheet, i) for i in kept
        ) + GUTTER * (len(kept) - 1)
        least = max(kept, key=lambda i: sheet.columns[i].rank)
        if needed <= width or not sheet.columns[least].rank:
            break
        kept.remove(least)
    return kept


def _width(sheet: Sheet, i: int) -> int:
    words = [row[i] for row in sheet.rows]
    lengths = [len(word.text) for word in words if isinstance(word, Cell)]
    return max([len(sheet.columns[i].heading), *lengths])


def _aligned(text: str, width: int, is_left: bool) -> str:
    return text.ljust(width) if is_left else text.rjust(width)


def _painted(word: Word, width: int, *, is_left: bool) -> list[tuple[str, str]]:
    if isinstance(word, Cell):
        text = word.text if len(word.text) <= width else word.text[: width - 1] + "…"
        return [(_aligned(text, width, is_left), word.style)]
    return gauge(word, width) if isinstance(word, Gauge) else span(word, width)


def gauge(bar: Gauge, width: int) -> list[tuple[str, str]]:
    """Solid up to its share, lighter up to where it may end, then nothing."""
    solid = max(0.0, min(1.0, bar.share)) * width
    end = min(width, round(max(bar.share, bar.until) * width))
    whole = int(solid)
    part = EIGHTHS[int((solid - whole) * 8)].strip() if end <= whole + 1 else ""
    text = ("█" * whole + part)[:width]
    text += "▒" * (end - len(text))
    return [(text, bar.style), (" " * (width - len(text)), "")]


def span(interval: Span, width: int) -> list[tuple[str, str]]:
    """At least one cell wide; the line is behind it."""
    low, high, mark = (
        round(max(0.0, min(1.0, share)) * (width - 1))
        for share in (interval.low, interval.high, interval.mark)
    )
    words = []
    for place in range(width):
        if low <= place <= high:
            words.append(("█", interval.style))
        else:
            words.append(("│" if place == mark else " ", "$quiet"))
    return words
