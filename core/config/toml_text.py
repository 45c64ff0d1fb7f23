"""TOML that somebody else may have written. Never imports torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

MOST_CHARACTERS = 1_000_000
MOST_DOTS = 1000
"""In a key: the parser takes the square of it, so that a file of 200 kB fills any memory."""


def read_file(path: Path) -> str:
    """The text of a file, which may be a pipe or have no end: of more than settings can be, only so
    much is read that `read_tables` refuses it.

    Raises:
        OSError: it cannot be read.
        UnicodeDecodeError: it is not UTF-8.
    """
    with path.open(encoding="utf-8") as file:
        return file.read(MOST_CHARACTERS + 1)


def read_tables(text: str) -> dict[str, Any]:
    """The tables of a file of settings.

    Raises:
        ValueError: it is no TOML, or larger or deeper nested than settings can be.
    """
    import tomllib

    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"it has {len(text):,} characters, and at most {MOST_CHARACTERS:,} may be")
    if any(part.count(".") > MOST_DOTS for line in text.splitlines() for part in line.split("=")):
        raise ValueError(f"a key has more than {MOST_DOTS:,} dots")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
