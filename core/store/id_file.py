"""Token ids of a text in one memory-mapped file, training share first.

    bytes 0-31     sha256 of the ids and of their split
    bytes 32-39    how many ids are trained on, little-endian
    the rest       ids, uint16, or uint32 past 65,535

Invariant: a file that `open_ids` opens is the one that was written. It is hashed each time; a
large one (64 MB: a quarter of a second) once, and is then known by its size and time of change.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from core.store.files import new_file, write_atomically

DIGEST_BYTES, HEADER_BYTES = 32, 40
ALWAYS_HASHED_BYTES = 1 << 26
BLOCK_BYTES = 1 << 20
Ids = NDArray[Any]


class IdWriter:
    """Takes the ids of a text in order."""

    def __init__(self, file: IO[bytes], vocab_size: int) -> None:
        self._file, self._type = file, id_type(vocab_size)
        self._hash = hashlib.sha256()
        self.count = 0
        self.n_train = 0
        """To be set before the end: how many of the ids are trained on."""
        file.write(bytes(HEADER_BYTES))

    def append(self, ids: Ids) -> None:
        """The next ones."""
        data = ids.astype(self._type).tobytes()
        self._file.write(data)
        self._hash.update(data)
        self.count += len(ids)

    def seal(self) -> None:
        """Write the header."""
        split = self.n_train.to_bytes(8, "little")
        self._hash.update(split)
        self._file.seek(0)
        self._file.write(self._hash.digest() + split)


@contextmanager
def new_ids(path: Path, vocab_size: int) -> Iterator[IdWriter]:
    """Ids to append; the file exists, whole, when the block ends well."""
    with new_file(path.parent, lambda: path.name) as file:
        writer = IdWriter(file, vocab_size)
        yield writer
        writer.seal()
    _note(path)


def open_ids(path: Path, vocab_size: int) -> tuple[Ids, Ids] | None:
    """The two shares, memory-mapped; None if there is no file, or not as it was written."""
    try:
        with path.open("rb") as file:
            digest, split = file.read(DIGEST_BYTES), file.read(HEADER_BYTES - DIGEST_BYTES)
            if not _is_noted(path) and _hash_of(file, split) != digest:
                return None
        _note(path)
        ids = np.memmap(path, dtype=id_type(vocab_size), mode="r", offset=HEADER_BYTES)
    except (OSError, ValueError):  # missing, without ids, or of an odd size
        return None
    n_train = int.from_bytes(split, "little")
    return ids[:n_train], ids[n_train:]


def id_type(vocab_size: int) -> type[np.unsignedinteger[Any]]:
    """The smallest that holds all ids of a vocabulary."""
    return np.uint16 if vocab_size <= 1 << 16 else np.uint32


def _hash_of(file: IO[bytes], split: bytes) -> bytes:
    """By reading: pages of a map would count as memory."""
    found = hashlib.sha256()
    for block in iter(partial(file.read, BLOCK_BYTES), b""):
        found.update(block)
    found.update(split)
    return found.digest()


def _note(path: Path) -> None:
    """Remember a large file that is as it was written; a full disk only costs time later."""
    if path.stat().st_size >= ALWAYS_HASHED_BYTES and not _is_noted(path):
        with suppress(OSError):
            write_atomically(_notes(path), _looks(path))


def _is_noted(path: Path) -> bool:
    if path.stat().st_size < ALWAYS_HASHED_BYTES:
        return False
    try:
        return _notes(path).read_bytes() == _looks(path)
    except OSError:
        return False


def _looks(path: Path) -> bytes:
    status = os.stat(path)  # noqa: PTH116
    return f"{status.st_size} {status.st_mtime_ns}".encode()


def _notes(path: Path) -> Path:
    return path.with_suffix(".checked")
