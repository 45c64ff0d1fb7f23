"""What the terminal at a stream can show, as far as its variables and its encoding tell."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

from minitf_tui.cli.output import is_terminal

USUAL_SIZE = (80, 24)
TRUE_COLOUR = 1 << 24


@dataclass(frozen=True, slots=True)
class Screen:
    """A terminal, or whatever else stdout is."""

    is_terminal: bool
    columns: int
    rows: int
    colours: int
    """0, 16, 256 or 16,777,216."""
    has_unicode: bool
    """Its encoding has block and line characters."""
    has_braille: bool
    """And its font has braille, of which plots are made."""


def look(stream: TextIO | None = None, environ: Mapping[str, str] | None = None) -> Screen:
    """The screen at `stream` (default: stdout)."""
    stream = sys.stdout if stream is None else stream
    environ = os.environ if environ is None else environ
    is_one = is_terminal(stream)
    columns, rows = size(stream)
    has_unicode = can_encode("█─⣿", stream)
    return Screen(
        is_terminal=is_one,
        columns=columns,
        rows=rows,
        colours=colours(environ) if is_one else 0,
        has_unicode=has_unicode,
        has_braille=has_unicode and environ.get("TERM") != "linux",
    )


def colours(environ: Mapping[str, str]) -> int:
    """How many colours a terminal with these variables has, and may show (no-color.org)."""
    term = environ.get("TERM", "")
    if environ.get("NO_COLOR") or term in ("", "dumb"):
        return 0
    if environ.get("COLORTERM") in ("truecolor", "24bit") or "direct" in term:
        return TRUE_COLOUR
    return 256 if "256color" in term else 16


def size(stream: TextIO | None) -> tuple[int, int]:
    """Columns and rows; 80 × 24 where there is no terminal."""
    try:
        assert stream is not None
        columns, rows = os.get_terminal_size(stream.fileno())
    except (AssertionError, OSError, ValueError, AttributeError):
        columns, rows = 0, 0
    return columns or USUAL_SIZE[0], rows or USUAL_SIZE[1]


def can_encode(text: str, stream: TextIO | None) -> bool:
    """The stream's encoding has every character of `text`."""
    try:
        text.encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
