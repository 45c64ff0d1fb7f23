"""Bytes to text, piece by piece: strict UTF-8, line ends kept, a byte-order mark dropped.

Invariant: the pieces put together are what decoding the whole would have given, whatever the
size of the file; and what is not text is refused with the place.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from core.errors import DataError

BLOCK_BYTES = 1 << 17
EMPTY = "empty"


class FileError(DataError):
    """A file that cannot be part of a text."""

    def __init__(self, message: str, *, hint: str, reason: str) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason
        """In two words, for counting: "not UTF-8"."""


def read_file(path: Path) -> Iterator[str]:
    """A file's text in pieces.

    Raises:
        FileError: it is missing, unreadable, empty, binary or not UTF-8.
    """
    try:
        with path.open("rb") as file:
            blocks = iter(partial(file.read, BLOCK_BYTES), b"")
            yield from decoded(
                blocks,
                f"The file {str(path)!r}",
                f"Convert it first: iconv -t utf-8 -f latin1 {path.name}",
            )
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error


def read_exactly(path: Path) -> Iterator[str]:
    """A file's text in pieces, every character of it: for copies that minitf wrote.

    Raises:
        FileError: it is missing, unreadable or not UTF-8.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as file:
            for block in _ended(iter(partial(file.read, BLOCK_BYTES), b"")):
                piece = decoder.decode(block, final=not block)
                if piece:
                    yield piece
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error


def read_python(path: Path) -> Iterator[str]:
    """A Python file's text, in the encoding it declares (PEP 263), line ends as newlines.

    Raises:
        FileError: it cannot be read, or not decoded, or it is empty.
    """
    import tokenize

    try:
        with tokenize.open(path) as file:
            text = file.read()
    except (OSError, ValueError, SyntaxError) as error:
        raise unreadable(path, error) from error
    if not text:
        raise _empty(f"The file {str(path)!r}")
    yield text


def decoded(blocks: Iterable[bytes], what: str, conversion: str) -> Iterator[str]:
    """The text that `blocks` are when they are put together, in pieces.

    Args:
        what: how errors call it: "The text on stdin".
        conversion: their hint when it is in another encoding.

    Raises:
        FileError: it is empty, binary or not UTF-8.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    place, is_empty = 0, True
    for block in _ended(blocks):
        zero = block.find(b"\0")
        if zero >= 0:
            raise FileError(
                f"{what} is not text: byte {place + zero} is NUL.",
                hint="Choose a plain text file in UTF-8.",
                reason="binary",
            )
        begun = len(decoder.getstate()[0])
        try:
            piece = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            at = place - begun + error.start
            raise FileError(
                f"{what} is not UTF-8: byte {at} is 0x{error.object[error.start]:02x}.",
                hint=conversion,
                reason="not UTF-8",
            ) from error
        if place == begun:
            piece = piece.removeprefix("\ufeff")
        place += len(block)
        if piece:
            is_empty = False
            yield piece
    if is_empty:
        raise _empty(what)


def gathered(pieces: Iterable[str]) -> Iterator[str]:
    """The same text in pieces that are worth the handling."""
    held: list[str] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= BLOCK_BYTES:
            yield "".join(held)
            held, size = [], 0
    if held:
        yield "".join(held)


def unreadable(path: Path, error: Exception) -> FileError:
    """The words for a file that cannot be read."""
    if isinstance(error, FileNotFoundError):
        return FileError(
            f"There is no file {str(path)!r}.",
            hint="Known without a file: python-docs, python-source, generated.",
            reason="unreadable",
        )
    words = error.strerror if isinstance(error, OSError) else str(error)
    return FileError(
        f"The file {str(path)!r} cannot be read: {words}.",
        hint="Check its permissions.",
        reason="unreadable",
    )


def _empty(what: str) -> FileError:
    return FileError(f"{what} is empty.", hint="Choose a text of a few KB.", reason=EMPTY)


def _ended(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """`blocks`, and an empty one that says there are no more."""
    yield from filter(None, blocks)
    yield b""
