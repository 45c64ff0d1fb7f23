"""Texts that can be read only once, kept so that a run can be resumed and evaluated.

<cache dir>/texts/<sha256>.txt    what came from stdin or another pipe
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import BinaryIO

from core.errors import DataError
from core.store.files import new_file
from core.text.corpus import Fingerprint
from core.text.reading import BLOCK_BYTES, decoded, unreadable
from core.text.sources import STDIN, kept_stdin


def keep_stream(name: str) -> Generator[None, None, str]:
    """Copy the stream `name` to its end; returns the name of the copy.

    Raises:
        DataError: nobody pipes a text in, or it is empty, binary or not UTF-8.
    """
    print_ = Fingerprint()
    folder = kept_stdin("")[1].parent
    with (
        _opened(name) as stream,
        new_file(folder, lambda: kept_stdin(print_.sha256)[1].name) as copy,
    ):
        what = "The text on stdin" if name == STDIN else f"The file {name!r}"
        for piece in decoded(_blocks(stream), what, "Pipe it through iconv -t utf-8 -f latin1."):
            print_.add(piece)
            copy.write(piece.encode())
            yield
    return kept_stdin(print_.sha256)[0]


def _opened(name: str) -> AbstractContextManager[BinaryIO]:
    if name != STDIN:
        try:
            return Path(name).open("rb")
        except OSError as error:
            raise unreadable(Path(name), error) from error
    if sys.stdin is None or sys.stdin.isatty():
        raise DataError(
            "There is no text on stdin.",
            hint="Pipe one in: cat book.txt | minitf train --corpus -",
        )
    return nullcontext(sys.stdin.buffer)


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    return iter(partial(stream.read, BLOCK_BYTES), b"")
