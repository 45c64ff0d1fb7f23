"""Numbers with their names and units, in aligned columns; and the line that shows progress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

GUTTER = 3
LEAST_COLUMN, MOST_COLUMN = 22, 46
"""Cells of a group; wider, a number would stand far from its name."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One number, as it is to be read."""

    label: str
    value: str
    unit: str = ""
    style: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Readings under a heading."""

    heading: str
    readings: tuple[Reading, ...] = field(default=())


class Readout(Widget):
    """Groups of readings side by side, or one under the other where it is narrow."""

    DEFAULT_CSS = "Readout { width: 1fr; height: auto; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.groups: tuple[Group, ...] = ()

    def show(self, *groups: Group) -> None:
        """Replace the readings; nothing is painted when they are the same."""
        if groups != self.groups:
            shape = [len(group.readings) for group in self.groups]
            self.groups = groups
            self.refresh(layout=shape != [len(group.readings) for group in groups])

    def render(self) -> Content:
        """What is painted."""
        return table(self.groups, self.size.width)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Rows it needs at that width."""
        columns = column_count(self.groups, width)
        rows = _rows(self.groups, columns)
        return sum(1 + max(len(g.readings) for g in row) for row in rows) + len(rows[1:])


def column_count(groups: Sequence[Group], width: int) -> int:
    """How many groups fit side by side."""
    return max(1, min(len(groups), (width + GUTTER) // (LEAST_COLUMN + GUTTER)))


def table(groups: Sequence[Group], width: int) -> Content:
    """Labels left, values right, units left of a column of their own."""
    columns = column_count(groups, width)
    room = max(1, min(MOST_COLUMN, (width - GUTTER * (columns - 1)) // columns))
    blocks = []
    for row in _rows(groups, columns):
        drawn = [_column(group, room) for group in row]
        height = max(len(column) for column in drawn)
        blank = Content(" " * room)
        full = [column + [blank] * (height - len(column)) for column in drawn]
        lines = [Content(" " * GUTTER).join(cells) for cells in zip(*full, strict=True)]
        blocks.append(Content("\n").join(lines))
    return Content("\n\n").join(blocks)


def _rows(groups: Sequence[Group], columns: int) -> list[Sequence[Group]]:
    return [groups[i : i + columns] for i in range(0, len(groups), columns)]


def _column(group: Group, room: int) -> list[Content]:
    units = max((len(r.unit) for r in group.readings), default=0)
    rule = "─" * max(0, room - len(group.heading) - 1)
    heading = Content.assemble((group.heading, "$secondary"), " ", (rule, "$line"))
    return [heading, *(_cell(reading, room, units) for reading in group.readings)]


def _cell(reading: Reading, room: int, units: int) -> Content:
    unit = f" {reading.unit.ljust(units)}" if units else ""
    value_room = max(1, room - len(reading.label) - len(unit) - 1)
    value = reading.value
    if len(value) > value_room:
        value = value[: value_room - 1] + "…"
    return Content.assemble(
        (reading.label, "$quiet"),
        " ",
        (value.rjust(value_room), reading.style),
        (unit, "$quiet"),
    )


class Progress(Widget):
    """A bar between two texts."""

    DEFAULT_CSS = "Progress { width: 1fr; height: 1; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.left = ""
        self.right = ""
        self.share: float | None = None

    def show(self, left: str, share: float | None, right: str = "") -> None:
        """Show a share between 0 and 1; None leaves out the bar."""
        if (left, share, right) != (self.left, self.share, self.right):
            self.left, self.share, self.right = left, share, right
            self.refresh()

    def render(self) -> Content:
        """What is painted."""
        return bar_line(self.left, self.share, self.right, self.size.width)


def bar_line(left: str, share: float | None, right: str, width: int) -> Content:
    """`left ━━━━━──── right`, exactly `width` cells when there is room."""
    if share is None:
        gap = " " * max(1, width - len(left) - len(right))
        return Content.assemble(left, gap, (right, "$quiet"))
    room = width - len(left) - len(right) - 2 * bool(left) - 2 * bool(right)
    if room < 4:
        return Content.assemble(left, "  ", (right, "$quiet"))
    done = round(min(1.0, max(0.0, share)) * room)
    return Content.assemble(
        left,
        "  " if left else "",
        ("━" * done, "$accent"),
        ("─" * (room - done), "$ghost"),
        "  " if right else "",
        (right, "$quiet"),
    )
