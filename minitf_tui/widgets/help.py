"""All keys on one page."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

PAGE = (
    (
        "anywhere",
        (
            ("1 2 3 4", "Train, Evaluate, Benchmark, Generate"),
            ("i or Enter", "into the settings of the pane; Escape leaves them"),
            ("s", "stop the job of this pane; training saves first"),
            ("t", "dark or light"),
            ("q", "quit; a running job is saved"),
            ("Ctrl+C", "copies selected text; it does not quit"),
            ("Ctrl+P", "command palette, with more themes"),
        ),
    ),
    (
        "Train",
        (
            ("r", "start a run with the settings"),
            ("p", "pause and resume; the device is free while paused"),
            ("y", "logarithmic loss"),
        ),
    ),
    ("Evaluate", (("e", "score a text"),)),
    ("Benchmark", (("b", "cache against no cache"),)),
    (
        "Generate",
        (
            ("g", "write"),
            ("a", "again, with the next seed"),
            ("c", "cache on or off, for the next text"),
        ),
    ),
)


class HelpScreen(ModalScreen[None]):
    """Closes with any of the keys that open or close things."""

    DEFAULT_CSS = """
    HelpScreen {
        align: center middle;
        & > Container {
            width: 72; height: auto; max-height: 100%; padding: 0 2;
            background: $surface; border: round $accent; border-title-color: $foreground;
        }
        & Static { height: auto; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [("escape,question_mark,q,enter", "close", "Close")]

    def compose(self) -> ComposeResult:
        with Container() as box:
            box.border_title = "keys"
            box.border_subtitle = "Escape closes"
            yield Static(page())

    def on_click(self) -> None:
        self.action_close()

    def action_close(self) -> None:
        """Back to the pane."""
        self.dismiss(None)


def page() -> Content:
    """The keys, in groups."""
    lines = []
    for heading, keys in PAGE:
        lines.append(Content.assemble((heading, "$secondary")))
        for key, what in keys:
            lines.append(Content.assemble("  ", (f"{key:<12}", "bold $accent"), what))
    return Content("\n").join(lines)
