"""Tokens as a person sees where each begins and ends: in colours, or between bars.

Invariant: nothing of a token acts on the terminal. A line break is shown by a mark, and then
made, so that the text keeps its lines; the marks and bars are no part of the text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from core.events import ShownToken
from minitf_tui.cli.screen import Screen
from minitf_tui.sanitize import HIDDEN, clean

BACKGROUNDS = (153, 223, 151, 217, 183)
"""Of the 256 colours: light blue, sand, green, pink, violet; black is read well on them."""
FEW_BACKGROUNDS = (46, 43, 42)
RESET, DIM = "\x1b[0m", "\x1b[2m"


class Painter:
    """Shows tokens on one kind of screen."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._bar, self._break = ("│", "↵") if screen.has_unicode else ("|", "$")

    def running(self, tokens: Sequence[ShownToken]) -> str:
        """The text as it runs, each token in a colour other than its neighbours'."""
        between = "" if self._screen.colours else self._bar
        shown: list[str] = []
        for i, token in enumerate(tokens):
            *lines, last = self._visible(token.text).split("\n")
            ended = [self._painted(line + self._break, i) + "\n" for line in lines]
            shown.append("".join(ended) + (self._painted(last, i) if last else ""))
        return between.join(shown).rstrip("\n")

    def with_ids(self, tokens: Sequence[ShownToken]) -> str:
        """Tokens in cells, and below each its id; a new line after each line break."""
        gap = " " if self._screen.colours else self._bar
        rows: list[str] = []
        for cells in self._rows(tokens, len(gap)):
            upper = (self._painted(text, i) + pad for i, text, pad, _ in cells)
            lower = gap.join(number for *_, number in cells)
            ids = f"{DIM}{lower}{RESET}" if self._screen.colours else lower
            rows += [gap.join(upper).rstrip(), ids.rstrip(), ""]
        return "\n".join(rows).rstrip("\n")

    def _rows(
        self, tokens: Sequence[ShownToken], gap: int
    ) -> Iterable[list[tuple[int, str, str, str]]]:
        """Cells that fit side by side: place, text, padding, id."""
        row: list[tuple[int, str, str, str]] = []
        used = 0
        for i, token in enumerate(tokens):
            text = self._visible(token.text)
            mark = text.replace("\n", self._break)
            size = max(width(mark), len(str(token.id)))
            if row and used + size > self._screen.columns - 1:
                yield row
                row, used = [], 0
            row.append((i, mark, " " * (size - width(mark)), f"{token.id:<{size}}"))
            used += size + gap
            if "\n" in text:
                yield row
                row, used = [], 0
        if row:
            yield row

    def _painted(self, text: str, i: int) -> str:
        if not self._screen.colours:
            return text
        if self._screen.colours < 256:
            return f"\x1b[30;{FEW_BACKGROUNDS[i % len(FEW_BACKGROUNDS)]}m{text}{RESET}"
        return f"\x1b[38;5;16;48;5;{BACKGROUNDS[i % len(BACKGROUNDS)]}m{text}{RESET}"

    @staticmethod
    def _visible(text: str) -> str:
        return clean(text.replace("\r", HIDDEN))


def width(text: str) -> int:
    """Columns of a cleaned text on a terminal."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )
