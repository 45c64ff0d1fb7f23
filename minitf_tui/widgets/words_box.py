"""A line to type words in, over everything else: for what no single key can say."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from core.errors import MinitfError
from minitf_tui.problems import explain


class WordsBox(ModalScreen[None]):
    """Closes when the words were understood; until then it says what is wrong with them."""

    DEFAULT_CSS = """
    WordsBox {
        align: center middle;
        & > Container {
            width: 72; max-width: 100%; height: auto; padding: 0 1;
            background: $surface; border: round $accent; border-title-color: $foreground;
        }
        & Input { background: $background; margin: 1 0; }
        & Input, & Input:focus { height: 1; border: none; padding: 0; }
        & Static { height: auto; color: $quiet; }
        & Static.-problem { color: $error; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [("escape", "dismiss", "Close")]

    def __init__(self, title: str, words: str, help: str, use: Callable[[str], None]) -> None:
        """`use` does what the words say; what it raises is shown."""
        super().__init__()
        self._title, self._words, self._help, self._use = title, words, help, use
        self._told = Static(help, markup=False)

    def compose(self) -> ComposeResult:
        """Its parts, from top to bottom."""
        with Container() as box:
            box.border_title = Content(self._title)
            yield Input(self._words, select_on_focus=False)
            yield self._told

    def on_mount(self) -> None:
        """What can be done only once it is on the screen."""
        self.query_one(Input).focus()

    def on_input_changed(self) -> None:
        """What was wrong was wrong with what stood there before."""
        self._told.update(self._help)
        self._told.remove_class("-problem")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Do it, or say why not."""
        event.stop()
        try:
            self._use(event.value)
        except MinitfError as error:
            self._told.update(explain(error))
            self._told.add_class("-problem")
        else:
            self.dismiss()
