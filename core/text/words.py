"""Byte-level BPE of texts of any length, one distinct word at a time.

BPE never merges across pre-tokens, and a text has far fewer distinct ones than it has words.
So the text is cut into words, each new word is encoded by the `tokenizers` library once, and
the ids of a text are gathered from a table.

Invariant: every end of a word is an end of a pre-token of GPT-2's pattern

    's|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+

so the ids of the words, one after another, are those of the whole text. In ASCII a word *is* a
pre-token. Where other characters come in, it is all that stands between two blanks, because
what is a letter depends on the version of Unicode, while what is blank does not; inside of it
the library decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.errors import TokenizerError

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Engine

Ids = NDArray[Any]

PIECE_CHARS = 1 << 17
"""Cut at once: little enough that other threads get their turn within milliseconds."""
LONG_WORD = 1 << 16
"""From here on a word is cut where the library's own pattern allows."""
LONGEST_WORD = 1 << 20
"""Of one pre-token; the library takes a second and 100 MB for it."""
MOST_WORDS, MOST_CHARS = 1 << 19, 1 << 24
"""Of the table; when one is reached it is begun again, so memory stays bounded."""

_BLANK = "\\t-\\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""The library's \\s, which is Unicode's White_Space; Python's has U+001C to U+001F too."""
_OTHER = r"\x00-\x08\x0e-\x1f!-/:-@\[-`{-\x7f"
_ALONE = r"(?![^\x00-\x7f])"
_WORD = re.compile(
    rf"[A-Za-z]++{_ALONE}| [A-Za-z]++{_ALONE}"
    rf"|'(?:[stmd]|re|ve|ll)"
    rf"|[{_OTHER}]++{_ALONE}| [{_OTHER}]++{_ALONE}"
    rf"| ?[0-9]++{_ALONE}"
    rf"| ?[^{_BLANK}]+"
    rf"|[{_BLANK}]+(?![^{_BLANK}])|[{_BLANK}]+"
)


def cut_words(pieces: Iterable[str]) -> Iterator[list[str]]:
    """The words of the text that `pieces` are when they are put together, in lists.

    The last two words of what was read wait for what comes next: it may make the last one
    longer, or join both to a contraction ('r and e).

    Raises:
        TokenizerError: a single pre-token is longer than memory should have to hold.
    """
    begun, place = "", 0
    for piece in _short(pieces):
        words = _WORD.findall(begun + piece)
        if sum(map(len, words[-2:])) > LONG_WORD:
            words[-2:] = [part for word in words[-2:] for part in _pre_tokens(word)]
        begun = "".join(words[-2:])
        place += len(piece)
        if len(begun) > LONGEST_WORD:
            raise _endless(place - len(words[-1]))
        if len(words) > 2:
            yield words[:-2]
    if begun:
        yield _WORD.findall(begun)


class WordEncoder:
    """Ids of texts, by a table of the words seen so far. For one thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._table = _Table(engine)

    def encode(self, pieces: Iterable[str]) -> Iterator[Ids]:
        """Ids of the text that `pieces` are when they are put together, in parts.

        Raises:
            TokenizerError: see `cut_words`.
        """
        for words in cut_words(pieces):
            if self._table.is_full:
                self._table = _Table(self._engine)
            yield self._table.ids(words)


class _Places(dict[str, int]):
    """Numbers words in the order they are asked for."""

    def __init__(self) -> None:
        self.fresh: list[str] = []

    def __missing__(self, word: str) -> int:
        self.fresh.append(word)
        self[word] = place = len(self)
        return place


class _Table:
    """The ids of each known word, one after another in one array."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._places = _Places()
        self._chars = 0
        self._starts, self._lengths = (np.empty(MOST_WORDS, np.int64) for _ in range(2))
        self._ids = np.empty(1 << 12, np.uint32)
        self._used = 0

    @property
    def is_full(self) -> bool:
        """It has been kept long enough."""
        return len(self._places) >= MOST_WORDS or self._chars >= MOST_CHARS

    def ids(self, words: list[str]) -> Ids:
        """Those of `words`, one after another, uint32."""
        found = np.fromiter(map(self._places.__getitem__, words), np.int64, len(words))
        if self._places.fresh:
            self._learn(self._places.fresh)
            self._places.fresh.clear()
        lengths = self._lengths[found]
        ends = np.cumsum(lengths)
        shifts = np.repeat(self._starts[found] - ends + lengths, lengths)
        return self._ids[shifts + np.arange(len(shifts))]

    def _learn(self, fresh: list[str]) -> None:
        first = len(self._places) - len(fresh)
        encoded = [e.ids for e in self._engine.encode_batch_fast(fresh, add_special_tokens=False)]
        lengths = np.fromiter(map(len, encoded), np.int64, len(fresh))
        ends = self._used + np.cumsum(lengths)
        self._lengths = _with_room(self._lengths, len(self._places))
        self._starts = _with_room(self._starts, len(self._places))
        self._ids = _with_room(self._ids, int(ends[-1]))
        self._lengths[first : len(self._places)] = lengths
        self._starts[first : len(self._places)] = ends - lengths
        self._ids[self._used : ends[-1]] = [i for ids in encoded for i in ids]
        self._used = int(ends[-1])
        self._chars += sum(map(len, fresh))


def _with_room(array: Ids, size: int) -> Ids:
    """`array`, or a copy of at least twice its length that holds `size` items."""
    if size <= len(array):
        return array
    grown = np.empty(max(size, 2 * len(array)), array.dtype)
    grown[: len(array)] = array
    return grown


def _short(pieces: Iterable[str]) -> Iterator[str]:
    for piece in pieces:
        for start in range(0, len(piece), PIECE_CHARS):
            yield piece[start : start + PIECE_CHARS]


def _pre_tokens(word: str) -> list[str]:
    from tokenizers import pre_tokenizers

    level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return [word[begin:end] for _, (begin, end) in level.pre_tokenize_str(word)]


def _endless(place: int) -> TokenizerError:
    return TokenizerError(
        f"The word at character {place} is longer than {LONGEST_WORD} characters, and bpe needs"
        " a whole word in memory.",
        hint="Use tokenizer=byte or char, or put line breaks into the text.",
    )
