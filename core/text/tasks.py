"""Texts of problems with exact answers: one a line, QUESTION=ANSWER.

    task:copy        acb=acb
    task:reverse     acb=bca
    task:brackets    ([<=>])      what closes all that is open
    task:addition    7+85=92
    task:modular     3+4=2        modulo a prime number; one character a residue

The whole name is `task:NAME:SIZE:CHARS:SEED`. Each line occurs once, so that whatever is held out
from the end of the text does not occur in the rest; what is drawn depends on the name alone. A text
ends after CHARS characters, or when there are no more problems.

Source of the modular one: arXiv:2201.02177 (grokking), appendix A.1.2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import product

from core.config.written import RESIDUES
from core.text.generated import random_bits
from core.text.grammar import Bits

EQUALS, END = "=", "\n"
_NAME = re.compile(r"task:([a-z]+):([1-9]\d*):(\d+):(\d+)")
_LETTERS = "abcdefgh"
_PAIRS = ("()", "[]", "<>")
_TRIES = 1000
"""Draws in a row of problems that were there already: then there are no more."""


def is_task(name: str) -> bool:
    """`name` is that of a text of problems."""
    return _NAME.fullmatch(name) is not None


def task_pieces(name: str) -> Iterator[str]:
    """The text `name`, line by line."""
    found = _NAME.fullmatch(name)
    assert found is not None
    size, n_chars, seed = (int(number) for number in found.groups()[1:])
    written = 0
    for problem in _PROBLEMS[found[1]](size, random_bits(seed)):
        line = problem + END
        written += len(line)
        yield line
        if written >= n_chars:
            return


def _distinct(draw: Callable[[int, Bits], str]) -> Callable[[int, Bits], Iterator[str]]:
    """Problems as they are drawn, each once."""

    def problems(size: int, bits: Bits) -> Iterator[str]:
        seen: set[str] = set()
        tries = 0
        while tries < _TRIES:
            problem = draw(size, bits)
            tries = tries + 1 if problem in seen else 0
            if not tries:
                seen.add(problem)
                yield problem

    return problems


def _copy(size: int, bits: Bits) -> str:
    text = _letters(size, bits)
    return f"{text}{EQUALS}{text}"


def _reverse(size: int, bits: Bits) -> str:
    text = _letters(size, bits)
    return f"{text}{EQUALS}{text[::-1]}"


def _letters(size: int, bits: Bits) -> str:
    """1 to `size` of them."""
    return "".join(_LETTERS[bits() % len(_LETTERS)] for _ in range(1 + bits() % size))


def _brackets(size: int, bits: Bits) -> str:
    """1 to `size` of them, of which some are closed already; one at least is open."""
    written, still_open = "", ""
    for _ in range(1 + bits() % size):
        if len(still_open) > 1 and bits() % 3 == 0:
            written, still_open = written + still_open[-1], still_open[:-1]
        else:
            pair = _PAIRS[bits() % len(_PAIRS)]
            written, still_open = written + pair[0], still_open + pair[1]
    return f"{written}{EQUALS}{still_open[::-1]}"


def _addition(size: int, bits: Bits) -> str:
    """Of two numbers of at most `size` digits, each length as likely as another."""
    a, b = (bits() % 10 ** (1 + bits() % size) for _ in range(2))
    return f"{a}+{b}{EQUALS}{a + b}"


def _modular(size: int, bits: Bits) -> Iterator[str]:
    """All sums modulo `size`, in random order (Fisher and Yates)."""
    pairs = list(product(range(size), repeat=2))
    for i in range(len(pairs) - 1, -1, -1):
        j = bits() % (i + 1)
        a, b = pairs[j]
        pairs[j] = pairs[i]
        yield f"{RESIDUES[a]}+{RESIDUES[b]}{EQUALS}{RESIDUES[(a + b) % size]}"


_PROBLEMS: dict[str, Callable[[int, Bits], Iterator[str]]] = {
    "copy": _distinct(_copy),
    "reverse": _distinct(_reverse),
    "brackets": _distinct(_brackets),
    "addition": _distinct(_addition),
    "modular": _modular,
}
