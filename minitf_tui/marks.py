"""Where somebody controlled a run, or something happened to it: marks for its plots. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from core.config import read_command
from core.errors import ConfigError
from core.events import AlertRaised, Controlled, ReturnedToCheckpoint
from minitf_tui.figure import Mark
from minitf_tui.sanitize import clean_line

PLAIN = ("pause", "save", "stop", "sample", "fork")
"""Actions that are their own words; to go on after a pause, and single steps, get none."""
_UNITS = {"": "", "steps": "", "seconds": " s", "tokens": " tok"}


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
    if kind == AlertRaised.__name__:
        return Mark(float(of("step")), clean_line(str(of("kind"))), "error")
    return None


def marks_of(events: Iterable[Mapping[str, Any]]) -> tuple[Mark, ...]:
    """Those of the metrics of a run."""
    return tuple(mark for event in events if (mark := mark_of(event)) is not None)


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
