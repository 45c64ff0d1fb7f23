"""Marks on a plot: where somebody controlled a run, as an upright line with a word on top.

They are drawn over the finished rows, in cells that are empty: no curve is covered. Words that
would run into another one are left out; the lines stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from core.config import read_command
from core.errors import ConfigError
from core.events import Controlled, ReturnedToCheckpoint
from minitf_tui.figure import Mark, Palette

LINE = "┊"
_EMPTY = (" ", "⠀")
PLAIN = ("pause", "save", "stop", "sample", "fork")
"""Actions that are their own words; to go on after a pause, and single steps, get none."""
_UNITS = {"steps": "", "seconds": " s", "tokens": " tok"}


def mark_of(event: Any) -> Mark | None:
    """What an event, or a line of the metrics, is on the plot; None if it is nothing there."""
    kind = event.get("event") if isinstance(event, Mapping) else type(event).__name__

    def of(name: str) -> Any:
        return event.get(name) if isinstance(event, Mapping) else getattr(event, name)

    if kind == Controlled.__name__:
        word = _word(str(of("action")), str(of("words")))
        return Mark(float(of("step")), word) if word else None
    if kind == ReturnedToCheckpoint.__name__:
        return Mark(float(of("to_step")), "back", "warning")
    return None


def marks_of(events: Iterable[Mapping[str, Any]]) -> tuple[Mark, ...]:
    """Those of the metrics of a run."""
    return tuple(mark for event in events if (mark := mark_of(event)) is not None)


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
        room = left + columns - len(mark.word)
        start = min(place + 1, room)
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


def _word(action: str, words: str) -> str:
    """At most a few letters: a plot has little room. Nothing for what is no command of ours."""
    if action in PLAIN:
        return action
    with suppress(ConfigError):
        command = read_command(words.split())
        if command.action == action == "lr":
            return f"lr ×{command.value:.3g}"
        if command.action == action == "budget":
            return f"{command.sign}{command.value:g}{_UNITS[command.unit]}"
    return ""
