"""The bottom line: the keys that do something now. One widget, painted anew when they change.

Textual's own footer makes a widget of every key, anew at every change, and keeps the old ones
for ever (8.2: the watchers of its data binding are never taken away): some 20 ms a key press, and a
collector that had more to search each time.
"""

from __future__ import annotations

from dataclasses import dataclass

from textual.content import Content
from textual.events import Click
from textual.screen import Screen
from textual.widget import Widget

ALWAYS = 2
"""Keys at the end that stay where there is no room for all: help and quit."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the line."""

    key: str
    """What a click on it presses."""
    shown: str
    words: str

    @property
    def width(self) -> int:
        """Cells, the gap before it included."""
        return len(self.shown) + len(self.words) + 3


class KeyLine(Widget, can_focus=False):
    """Keys and their words, in the order of the bindings."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "KeyLine { dock: bottom; height: 1; width: 1fr; }"

    def __init__(self) -> None:
        super().__init__()
        self.keys: tuple[Key, ...] = ()

    def on_mount(self) -> None:
        """What can be done only once it is on the screen."""
        self.screen.bindings_updated_signal.subscribe(self, self._look)
        self._look(self.screen)

    def render(self) -> Content:
        """What is painted."""
        parts: list[str | tuple[str, str]] = []
        for key in fitting(self.keys, self.size.width):
            parts += [
                "  " if parts else " ",
                (key.shown, "bold $accent"),
                (f" {key.words}", "$quiet"),
            ]
        return Content.assemble(*parts)

    def on_click(self, event: Click) -> None:
        """Answer a click."""
        end = 1
        for key in fitting(self.keys, self.size.width):
            begin, end = end, end + key.width
            if begin <= event.x < end - 2:
                self.app.simulate_key(key.key)

    def _look(self, screen: Screen[object]) -> None:
        if not self.is_attached or screen is not self.screen:
            return
        shown = {}
        for _, binding, is_enabled, _ in screen.active_bindings.values():
            if binding.show and is_enabled and binding.action not in shown:
                name = self.app.get_key_display(binding)
                shown[binding.action] = Key(binding.key, name, binding.description)
        keys = tuple(shown.values())
        if keys != self.keys:
            self.keys = keys
            self.refresh()


def fitting(keys: tuple[Key, ...], width: int) -> tuple[Key, ...]:
    """All keys, or the first ones and the last two, as many as the line has room for."""
    first, last = list(keys[:-ALWAYS]), keys[-ALWAYS:]
    while first and sum(key.width for key in (*first, *last)) - 1 > width:
        first.pop()
    return (*first, *last)
