"""Model text -> text that is safe on a terminal.

A byte-level model can write ESC, CSI, NUL or bidi controls, and every widget passes them on.
Here each character is judged alone, so cleaning a stream chunk by chunk gives the same as
cleaning it whole. What comes out is printable or a line break, and cleaning it again changes
nothing.
"""

from __future__ import annotations

HIDDEN = "·"
"""Shown for a character that a terminal would act on instead of showing."""

TAB = "    "

_ALLOWED = {"\n": "\n", "\t": TAB, "\r": "", "\u2028": "\n", "\u2029": "\n"}


def clean(text: str) -> str:
    """`text` with nothing left that a terminal could act on, line breaks apart."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _shown(c) for c in text)


def clean_line(text: str) -> str:
    """`text` cleaned and on one line."""
    return clean(text).replace("\n", " ")


def _shown(character: str) -> str:
    # Spaces of other widths are the only unprintable characters that are harmless.
    return _ALLOWED.get(character, " " if character.isspace() and character > "\x9f" else HIDDEN)
