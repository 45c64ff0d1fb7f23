"""How a line of a sheet is painted: a mark, the name, room for the value, its unit. Pure."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field

from textual.content import Content

from minitf_tui.sanitize import clean_line
from minitf_tui.widgets.form import Item

MARK = "• "
NAME_WIDTH = 15
UNIT_WIDTH = 8
LEAST_FIELD = 6


@dataclass(frozen=True, slots=True)
class Heading:
    """The line over a section."""

    name: str
    hidden: frozenset[str] = field(default=frozenset())
    """Names of the settings that unfolding would show."""
    is_open: bool = False


Line = Heading | Item


def field_of(item: Item, width: int) -> tuple[int, int]:
    """Where the value of a setting begins, and how wide it may be."""
    start = len(MARK) + max(NAME_WIDTH, len(item.name) + 1)
    unit = UNIT_WIDTH if item.unit and width - start - UNIT_WIDTH >= LEAST_FIELD - 1 else 0
    return start, max(1, width - start - unit)


def painted(line: Line, text: str, width: int, changed: Set[str], *, is_here: bool) -> Content:
    """One line, exactly `width` cells."""
    if isinstance(line, Heading):
        return _heading(line, width, changed, is_here)
    start, room = field_of(line, width)
    is_changed = line.name in changed
    name = Content.assemble(
        (MARK if is_changed else " " * len(MARK), "$warning"),
        (line.name.ljust(start - len(MARK)), "$accent" if is_here else "$quiet"),
    )
    unit = f" {line.unit}".ljust(UNIT_WIDTH)[: width - start - room]
    return Content.assemble(name, _value(line, text, room, is_here), (unit, "$quiet"))


def _value(item: Item, text: str, room: int, is_here: bool) -> Content:
    if item.choices:
        marks = "$accent" if is_here else "$quiet"
        used = len(text) + 4
        return Content.assemble(
            ("‹ ", marks), (text, "$foreground"), (" ›", marks), " " * max(0, room - used)
        )
    text = clean_line(text)
    if len(text) > room:
        text = text[: room - 1] + "…"
    return Content.assemble((text.ljust(room), "$foreground"))


def _heading(line: Heading, width: int, changed: Set[str], is_here: bool) -> Content:
    n_changed = len(line.hidden & changed)
    more = f" {len(line.hidden)} more" if line.hidden else ""
    told = f", {n_changed} changed" if n_changed else ""
    arrow = " ▾" if line.is_open else " ▸" if line.hidden else ""
    used = len(line.name) + 1 + len(more) + len(told) + len(arrow)
    return Content.assemble(
        (line.name, "bold $accent" if is_here else "$secondary"),
        " ",
        ("─" * max(0, width - used), "$line"),
        (more, "$quiet"),
        (told, "$warning"),
        (arrow, "$accent" if is_here else "$quiet"),
    )
