r"""Texts with line breaks and tabs, as somebody types them on one line: `\n`, `\t`, `\x20`,
`\u00e9`, `\\` for a backslash itself. A backslash before anything else is one.

In a list the texts are parted by bars, `\n\n | END`; blanks around them do not count (`\x20`
does), and `\|` is a bar. `read_list(spell_list(texts)) == texts`, whatever the texts are, unless
one is empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|([ntr\\|]))")
_ITEM = re.compile(r"(?:\\.|[^|])+", re.DOTALL)
_SIGNS = {"n": "\n", "t": "\t", "r": "\r"}
BAR = " | "


def read(text: str) -> str:
    """What was meant."""
    return _ESCAPE.sub(_meant, text)


def read_list(text: str) -> tuple[str, ...]:
    """The texts between the bars; those that are empty are left out."""
    items = (item.strip() for item in _ITEM.findall(text))
    return tuple(read(item) for item in items if item)


def spell_list(texts: Iterable[str]) -> str:
    """How somebody would type these texts."""
    return BAR.join(_spelt(text) for text in texts)


def _meant(found: re.Match[str]) -> str:
    code, sign = found[1] or found[2], found[3]
    return chr(int(code, 16)) if code else _SIGNS.get(sign, sign)


def _spelt(text: str) -> str:
    signs = "".join(_sign(c) for c in text)
    inner = signs.strip(" ")
    before = len(signs) - len(signs.lstrip(" "))
    after = len(signs) - len(inner) - before
    return r"\x20" * before + inner + r"\x20" * after


def _sign(character: str) -> str:
    if character in "\\|":
        return "\\" + character
    if character.isprintable() or ord(character) > 0xFFFF:
        return character
    spelt = repr(character)[1:-1]
    return spelt if len(spelt) == 2 or ord(character) > 0xFF else f"\\x{ord(character):02x}"
