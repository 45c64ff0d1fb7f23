"""Texts to learn from, and their split.

A text is split in characters, before it is tokenised: the end is held out, and nothing of
it, not even a merge of the tokenizer, is learned from. (With `max_tokens` the split is made
in tokens, so the tokenizer comes first; it is made from the training share of the whole
text, of which the first tokens are kept. An alphabet is always that of the whole text.)

Invariant: no text is ever in memory as a whole. It is read in pieces, as often as needed.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from core.errors import DataError
from core.text.reading import EMPTY, FileError
from core.text.sources import Part, Source, find_source, full_name, is_kept_stdin

BETWEEN = "\n\n"
"""Two texts of a corpus."""
BLOCK_CHARS = 1 << 16
SAMPLE_BLOCKS = 512
SAMPLE_CHARS = SAMPLE_BLOCKS * BLOCK_CHARS
"""A tokenizer is trained on no more than these 33.5 M characters."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """A text with a name and a fingerprint."""

    name: str
    """What a run keeps; see `core.text.sources.full_name`."""
    parts: tuple[Part, ...]
    sha256: str
    """Of the text in UTF-8."""
    n_chars: int
    left_out: Counter[str] = field(default_factory=Counter)
    """Files that are no text, by reason."""

    @property
    def title(self) -> str:
        """The name as a person reads it."""
        return self.name[:14] if is_kept_stdin(self.name) else self.name

    def pieces(self) -> Iterator[str]:
        """The text, in the order it stands.

        Raises:
            DataError: it cannot be read any more.
        """
        for i, part in enumerate(self.parts):
            if i:
                yield BETWEEN
            yield from part.read()


class TextStream:
    """The pieces of a text, to be taken by numbers of characters."""

    def __init__(self, pieces: Iterable[str]) -> None:
        self._pieces = iter(pieces)
        self._rest = ""
        self.taken = 0
        """Characters so far."""

    def take(self, n_chars: int) -> Iterator[str]:
        """The next `n_chars` characters, fewer at the end of the text."""
        end = self.taken + n_chars
        while self.taken < end:
            piece = self._rest or next(self._pieces, "")
            if not piece:
                return
            wanted = end - self.taken
            piece, self._rest = piece[:wanted], piece[wanted:]
            self.taken += len(piece)
            yield piece


class Fingerprint:
    """Length and hash of a text that comes in pieces."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.n_chars = 0

    def add(self, piece: str) -> None:
        """The text goes on with `piece`."""
        self._hash.update(piece.encode())
        self.n_chars += len(piece)

    def copy(self) -> Fingerprint:
        """One that can go on in another way."""
        twin = Fingerprint()
        twin._hash, twin.n_chars = self._hash.copy(), self.n_chars
        return twin

    @property
    def sha256(self) -> str:
        """Of the text in UTF-8, in hexadecimal."""
        return self._hash.hexdigest()


def scan(source: Source) -> Generator[float | None, None, Corpus]:
    """Read all of a source once. Tells which share of it is read, if that can be known.

    Raises:
        DataError: a file that was asked for is not text, or none of them is.
    """
    total = sum(part.size for part in source.parts)
    left_out = source.left_out.copy()
    good: list[Part] = []
    print_, passed = Fingerprint(), 0
    for part in source.parts:
        before, start = print_.copy(), print_.n_chars
        try:
            if good:
                print_.add(BETWEEN)
            for piece in part.read():
                print_.add(piece)
                done = passed + print_.n_chars - start
                yield min(done / total, 1.0) if total else None
            good.append(part)
        except FileError as error:
            if not source.is_choosy:
                raise
            left_out[error.reason] += error.reason != EMPTY  # nothing is missing without it
            print_ = before
        passed += part.size
    if not good:
        raise _without_text(source.name, left_out)
    return Corpus(source.name, tuple(good), print_.sha256, print_.n_chars, +left_out)


def load_corpus(name: str) -> Corpus:
    """The text of that name, read once from end to end.

    Raises:
        DataError: see `find_source` and `scan`.
    """
    reading = scan(find_source(full_name(name)))
    while True:
        try:
            next(reading)
        except StopIteration as end:
            return end.value


def split_place(n_chars: int, validation_fraction: float) -> int:
    """How many characters are trained on; the others, at the end, are held out.

    Raises:
        DataError: one of the two would be empty.
    """
    cut = round(n_chars * (1 - validation_fraction))
    if not 0 < cut < n_chars:
        raise DataError(
            f"The text is too short to split: {n_chars} characters,"
            f" of which {validation_fraction:g} are to be held out.",
            hint="Choose a longer text.",
        )
    return cut


def sample(stream: TextStream, n_chars: int) -> Generator[float, None, list[str]]:
    """What a tokenizer is trained on: the next `n_chars` characters if they are few, else
    blocks of whole lines, one drawn from each of 512 equal shares; always the same ones.
    Tells the share of the way."""
    if n_chars <= SAMPLE_CHARS:
        return ["".join(stream.take(n_chars))]
    n_blocks = -(-n_chars // BLOCK_CHARS)
    edges = np.arange(SAMPLE_BLOCKS + 1) * n_blocks // SAMPLE_BLOCKS
    chosen = set(np.random.default_rng(0).integers(edges[:-1], edges[1:]).tolist())
    blocks = []
    for i in range(n_blocks):
        block = "".join(stream.take(min(BLOCK_CHARS, n_chars - i * BLOCK_CHARS)))
        if i in chosen:
            blocks.append(_whole_lines(block))
        yield (i + 1) / n_blocks
    return blocks


def alphabet(corpus: Corpus) -> Generator[float, None, str]:
    """Every character of the text once, in code point order. Tells the share of the way."""
    is_there = np.zeros(0x110000, bool)
    stream = TextStream(corpus.pieces())
    for piece in stream.take(corpus.n_chars):
        is_there[np.frombuffer(piece.encode("utf-32-le"), np.uint32)] = True
        yield stream.taken / corpus.n_chars
    return "".join(map(chr, np.flatnonzero(is_there)))


def told(left_out: Counter[str]) -> str:
    """What was left out, for a person: "3 files left out: 2 binary, 1 hidden"; else ""."""
    n = left_out.total()
    if not n:
        return ""
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items()))
    return f"{n} {'file' if n == 1 else 'files'} left out: {reasons}"


def _whole_lines(block: str) -> str:
    """From the first line that begins in it to the last one that ends in it, if there are."""
    first, last = block.find("\n") + 1, block.rfind("\n") + 1
    return block[first:last] if first < last else block


def _without_text(name: str, left_out: Counter[str]) -> DataError:
    why = told(+left_out)
    return DataError(
        f"There is no text in {name!r}{': ' + why if why else ''}.",
        hint="Name a folder or pattern with text files in UTF-8.",
    )
