"""A question before something that cannot be undone."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Horizontal
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Static


class Answer(Static):
    """A key and its word, to be clicked, too."""

    class Chosen(Message):
        """It was clicked."""

        def __init__(self, answer: bool) -> None:
            super().__init__()
            self.answer = answer

    def __init__(self, key: str, words: str, answer: bool) -> None:
        super().__init__(Content.assemble((key, "bold $accent"), "  ", words))
        self._answer = answer

    def on_click(self) -> None:
        """Answer a click."""
        self.post_message(self.Chosen(self._answer))


class Confirm(ModalScreen[bool]):
    """True for y alone; everything else that leaves is a no."""

    DEFAULT_CSS = """
    Confirm {
        align: center middle;
        & > Container {
            width: 64; max-width: 96%; height: auto; padding: 1 2;
            background: $surface; border: round $warning;
        }
        & Static { height: auto; }
        & Horizontal { height: 1; margin-top: 1; }
        & Answer { width: auto; margin-right: 4; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("y", "answer(True)", "Yes"),
        ("n,escape,q,enter", "answer(False)", "No"),
    ]

    def __init__(self, question: str, *, yes: str, no: str) -> None:
        super().__init__()
        self._question, self._yes, self._no = question, yes, no

    def compose(self) -> ComposeResult:
        """Its parts, from top to bottom."""
        with Container():
            yield Static(self._question, markup=False)
            with Horizontal():
                yield Answer("y", self._yes, True)
                yield Answer("n", self._no, False)

    def on_answer_chosen(self, event: Answer.Chosen) -> None:
        """Close with the answer."""
        self.dismiss(event.answer)

    def action_answer(self, answer: bool) -> None:
        """Leave with it."""
        self.dismiss(answer)
