"""The top line: which panes there are, which one is shown, and what the device does."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widgets import Static


class Tab(Static):
    """The key and the name of a pane."""

    class Chosen(Message):
        """Somebody clicked it."""

        def __init__(self, pane: str) -> None:
            super().__init__()
            self.pane = pane

    def __init__(self, key: str, pane: str) -> None:
        self._words = Content.assemble((key, "$accent"), " ", pane.capitalize())
        super().__init__(self._words, id=f"tab-{pane}")
        self.pane = pane
        self.has_problem = False

    def warn(self, has_problem: bool) -> None:
        """Mark that the pane has a problem, which may be out of sight."""
        if has_problem != self.has_problem:
            self.has_problem = has_problem
            mark = Content.assemble(self._words, (" !", "bold $error"))
            self.update(mark if has_problem else self._words)

    def on_click(self) -> None:
        """Answer a click."""
        self.post_message(self.Chosen(self.pane))


class TabStrip(Horizontal):
    """All tabs, and the device's line at the right end."""

    DEFAULT_CSS = """
    TabStrip {
        height: 1; width: 1fr;
        & > Tab { width: auto; padding: 0 1; margin-right: 1; color: $quiet; }
        & > Tab:hover { color: $foreground; }
        & > Tab.-shown { color: $foreground; background: $panel; text-style: bold; }
        & > #name { width: auto; padding: 0 1; color: $quiet; display: none; }
        & > #device { width: 1fr; text-align: right; padding-right: 1; color: $quiet; }
    }
    """

    def __init__(self, panes: Sequence[str]) -> None:
        super().__init__()
        self._panes = panes
        self._status: tuple[str, str] = ("", "")

    def compose(self) -> ComposeResult:
        """Its parts, from top to bottom."""
        yield Static("minitf", id="name", markup=False)
        for key, pane in enumerate(self._panes, 1):
            yield Tab(str(key), pane)
        yield Static("", id="device", markup=False)

    def show(self, pane: str) -> None:
        """Mark the tab of the pane that is shown."""
        for tab in self.query(Tab):
            tab.set_class(tab.pane == pane, "-shown")

    def warn(self, panes: Collection[str]) -> None:
        """Mark the tabs of the panes that have a problem."""
        for tab in self.query(Tab):
            tab.warn(tab.pane in panes)

    def tell(self, text: str, style: str = "") -> None:
        """What the device does."""
        if (text, style) != self._status and self.children:  # a tick may outlive the screen
            self._status = (text, style)
            # Its room is fixed: a new layout for every percent would cost more than the plots.
            self.query_one("#device", Static).update(Content.assemble((text, style)), layout=False)
