"""What a form is made of: fields to type in, fields to choose from, and moving between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.events import Key
from textual.message import Message
from textual.reactive import reactive
from textual.suggester import Suggester
from textual.widget import Widget
from textual.widgets import Input

START = Binding(
    "enter", "submit", "start", key_display="Enter", tooltip="start with these settings"
)


class Moves:
    """Moves to another field, and what was typed before they were made.

    A key for which there is a binding comes round by the app, one that types does not: letters
    right after Down would land in the field that is being left.
    """

    def __init__(self) -> None:
        self._typed: list[list[Key]] = []
        """What belongs behind each move that is under way."""
        self._sent: list[Key] = []
        """Sent to the field where they belong, and not heard there yet."""

    def keep(self, key: Key, field: Widget) -> bool:
        """Hear of a key that has come to a field; True if it belongs to another one."""
        focused = field.screen.focused
        if key in self._sent:
            self._sent.remove(key)
            return False
        if key.key in ("up", "down"):
            self._typed.append([])
        if not key.is_printable:
            return False
        if self._typed:
            self._typed[-1].append(key)
        elif focused is not field and isinstance(focused, Field | Choice):
            self._send(key, focused)
        else:
            return False
        key.stop()
        key.prevent_default()
        return True

    def go(self, field: Field | Choice) -> None:
        """Make the next move, to that field."""
        field.screen.set_focus(field)  # at once: `focus` would come behind the next key
        for key in self._typed.pop(0) if self._typed else ():
            self._send(key, field)

    def forget(self) -> None:
        """Somebody has left the form."""
        self._typed.clear()

    def _send(self, key: Key, field: Widget) -> None:
        again = Key(key.key, key.character)
        again._set_forwarded()  # otherwise the app would hand it out once more
        self._sent.append(again)
        field.post_message(again)


class Completer(Suggester):
    """Completes the last word of a list with commas by one that is not in it yet."""

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__(case_sensitive=True)
        self.words = tuple(words)

    async def get_suggestion(self, value: str) -> str | None:
        """The whole text with its last word completed; None where nothing fits."""
        done, _, last = value.rpartition(",")
        used = [word.strip() for word in done.split(",")]
        start = last.lstrip()
        fitting = (w for w in self.words if w.startswith(start) and w not in (*used, start))
        word = next(fitting, None)
        return None if word is None else value[: len(value) - len(start)] + word


class Field(Input):
    """One line of text."""

    BINDINGS: ClassVar[list[BindingType]] = [START]

    def __init__(self, value: str, moves: Moves, suggestions: Sequence[str] = ()) -> None:
        suggester = Completer(suggestions) if suggestions else None
        super().__init__(value, compact=True, select_on_focus=False, suggester=suggester)
        self._moves = moves

    def write(self, value: str) -> None:
        """Another text; whoever comes to it goes on behind it."""
        self.value = value
        self.cursor_position = len(value)

    def on_key(self, event: Key) -> None:
        """Letters that belong to another field."""
        self._moves.keep(event, self)


class Choice(Widget, can_focus=True):
    """One of a few words; left and right, space, a click or a first letter change it."""

    DEFAULT_CSS = "Choice { height: 1; width: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "turn(-1)", show=False, tooltip="another choice"),
        Binding("right,space", "turn(1)", show=False, tooltip="another choice"),
        START,
    ]
    value: reactive[str] = reactive("")

    class Changed(Message):
        """Another word was chosen."""

        def __init__(self, choice: Choice) -> None:
            super().__init__()
            self.choice = choice

    class Submitted(Message):
        """Enter was pressed."""

    def __init__(self, value: str, choices: Sequence[str], moves: Moves) -> None:
        super().__init__()
        self.choices = tuple(choices)
        self._moves = moves
        self.set_reactive(Choice.value, value)

    def write(self, value: str) -> None:
        """Another word, also one that is none of the choices."""
        self.value = value

    def render(self) -> Content:
        """What is painted."""
        marks = "$accent" if self.has_focus else "$quiet"
        return Content.assemble(("‹ ", marks), self.value, (" ›", marks))

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """Printable keys are typed here, not bound."""
        return character is not None and character.isprintable()

    def on_key(self, event: Key) -> None:
        """Keys that are no bindings."""
        if self._moves.keep(event, self):
            return
        if event.character is None or not event.is_printable:
            return
        event.stop()
        if event.key == "space":  # not by its binding, which would come behind a move
            self.action_turn(1)
        start = [c for c in self.choices if c.startswith(event.character.lower())]
        if start:
            self.value = start[
                (start.index(self.value) + 1) % len(start) if self.value in start else 0
            ]

    def on_click(self) -> None:
        """Answer a click."""
        self.action_turn(1)

    def action_turn(self, by: int) -> None:
        """Go round the choices."""
        here = self.choices.index(self.value) if self.value in self.choices else -by
        self.value = self.choices[(here + by) % len(self.choices)]

    def action_submit(self) -> None:
        """Enter, as in a text field."""
        self.post_message(self.Submitted())

    def watch_value(self) -> None:
        """Tell of another word."""
        self.post_message(self.Changed(self))
