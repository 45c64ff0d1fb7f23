"""One text that arrives token by token, or several side by side.

They stand in as many columns as there is room for, one under the other where it is narrow.
"""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import VerticalScroll

from minitf_tui.widgets.stream import TextStream

LEAST_WIDTH = 36
LEAST_HEIGHT = 5
"""Cells of a text, with its border."""


class Texts(VerticalScroll, can_focus=False):
    """Boxes with a text in each."""

    DEFAULT_CSS = "Texts { layout: grid; scrollbar-size-vertical: 1; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._streams = [_stream("text")]

    def compose(self) -> ComposeResult:
        """Its parts, from top to bottom."""
        yield self._streams[0]

    def restart(self, titles: list[str]) -> None:
        """Empty boxes with these titles, at least one."""
        for stream in self._streams[len(titles) :]:
            stream.remove()
        del self._streams[len(titles) :]
        for stream in self._streams:
            stream.restart()
        new = [_stream(title) for title in titles[len(self._streams) :]]
        self._streams += new
        self.mount(*new)
        for stream, title in zip(self._streams, titles, strict=True):
            stream.border_title = title
        self._arrange()

    @property
    def is_ready(self) -> bool:
        """The boxes are there and can be written to."""
        return all(stream.is_mounted for stream in self._streams)

    def write(self, text: str, style: str = "", *, row: int = 0) -> None:
        """Add text to a box, made safe for the terminal."""
        self._streams[row].write(text, style)

    def on_resize(self) -> None:
        """Fit what is shown to the new size."""
        self._arrange()

    def _arrange(self) -> None:
        n = len(self._streams)
        n_rows = -(-n // max(1, min(n, self.size.width // LEAST_WIDTH)))
        height = max(LEAST_HEIGHT, self.size.height // n_rows)
        self.styles.grid_size_columns = -(-n // n_rows)  # as even as can be
        self.styles.grid_rows = str(height) if n_rows > 1 else "1fr"


def _stream(title: str) -> TextStream:
    stream = TextStream(classes="box")
    stream.border_title = title
    return stream
