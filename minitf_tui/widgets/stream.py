"""Text that arrives token by token.

What is complete is frozen in widgets that are never touched again; only a short tail is laid
out anew, because one growing widget costs more with each character it holds.
"""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from minitf_tui.sanitize import clean

FREEZE_AT = 600
"""Characters in the tail from which a line break ends it."""
LONGEST_TAIL = 3000
"""Characters from which any space ends it."""

Piece = tuple[str, str]
"""Text and its style."""


class TextStream(VerticalScroll, can_focus=False):
    """A text that grows at its end and follows it."""

    DEFAULT_CSS = """
    TextStream { height: 1fr; scrollbar-size-vertical: 1; }
    TextStream > Static { height: auto; width: 1fr; }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._pieces: list[Piece] = []
        self._tail = Static("", markup=False)

    def compose(self) -> ComposeResult:
        """Its parts, from top to bottom."""
        yield self._tail

    def restart(self) -> None:
        """Forget everything."""
        for child in list(self.children):
            if child is not self._tail:
                child.remove()
        self._pieces = []
        self._tail.update("")

    def write(self, text: str, style: str = "") -> None:
        """Add text at the end, made safe for the terminal."""
        if not text:
            return
        is_at_end = self.is_vertical_scroll_end
        self._pieces.append((clean(text), style))
        if sum(len(t) for t, _ in self._pieces) > FREEZE_AT:
            self._freeze()
        self._tail.update(Content.assemble(*self._pieces))
        if is_at_end:  # somebody who scrolled up is reading
            self.scroll_end(animate=False)

    def _freeze(self) -> None:
        whole = Content.assemble(*self._pieces)
        plain = whole.plain
        cut = plain.rfind("\n")
        if cut < 0 and len(plain) > LONGEST_TAIL:
            cut = plain.rfind(" ")
        if cut < 0:
            return
        self.mount(Static(whole[:cut], markup=False), before=self._tail)
        self._pieces = _after(self._pieces, cut + 1)


def _after(pieces: list[Piece], start: int) -> list[Piece]:
    """What is left of the pieces after `start` characters."""
    left = []
    for text, style in pieces:
        if start < len(text):
            left.append((text[start:], style))
        start = max(0, start - len(text))
    return left
