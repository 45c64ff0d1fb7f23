"""What stands before the weights of a GGUF: settings, and where each tensor is.

The file is taken for hostile: nothing is believed about a size before the bytes that it would
need are known to be there. No weight is read here.

Source: the GGUF specification (github.com/ggml-org/ggml, docs/gguf.md).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from gguf import GGUF_DEFAULT_ALIGNMENT, GGUF_MAGIC, GGUFValueType

from core.errors import FormatError
from core.interop.gguf.number_types import READ, NumberType, count_bytes, row_fits

VERSIONS = (2, 3)
MAX_HEADER_BYTES = 100_000_000
MAX_ITEMS = 1 << 22
"""Keys, items of lists and tensors, all together: each is a Python object."""
MAX_DIMS = 4
_SCALARS: dict[int, str] = {
    GGUFValueType.UINT8: "B",
    GGUFValueType.INT8: "b",
    GGUFValueType.UINT16: "H",
    GGUFValueType.INT16: "h",
    GGUFValueType.UINT32: "I",
    GGUFValueType.INT32: "i",
    GGUFValueType.FLOAT32: "f",
    GGUFValueType.UINT64: "Q",
    GGUFValueType.INT64: "q",
    GGUFValueType.FLOAT64: "d",
    GGUFValueType.BOOL: "?",
}
_LEAST_TEXT, _LEAST_PAIR, _LEAST_TENSOR = 8, 13, 24
"""Bytes that one takes at least."""


@dataclass(frozen=True, slots=True)
class TensorPlace:
    """A tensor in the file."""

    shape: tuple[int, ...]
    """As torch has it: rows first."""
    kind: NumberType
    start: int
    """Of its first byte in the file."""

    @property
    def n_bytes(self) -> int:
        """How many it takes."""
        return count_bytes(self.shape, self.kind)


@dataclass(frozen=True, slots=True)
class Header:
    """All of a file but its weights."""

    settings: Mapping[str, Any]
    tensors: Mapping[str, TensorPlace]


def read_header(path: Path, source: str) -> Header:
    """Read it.

    Args:
        source: what to call the file in messages.

    Raises:
        FormatError: it is no GGUF, damaged, or holds a type of numbers that minitf lacks.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return _Cursor(file, path.stat().st_size, source).header()


class _Cursor:
    """A place in the file that never goes past its end."""

    def __init__(self, file: BinaryIO, size: int, source: str) -> None:
        self._file, self._size, self._source = file, size, source
        self._left, self._items_left = min(size, MAX_HEADER_BYTES), MAX_ITEMS

    def header(self) -> Header:
        """All of it."""
        n_tensors, n_pairs = self._counts()
        settings: dict[str, Any] = {}
        for _ in range(n_pairs):
            key = self._text()
            if key in settings:
                raise self._damaged(f"it says {key!r} twice")
            settings[key] = self._value(self._number("I"))
        described = [self._described() for _ in range(n_tensors)]
        alignment = settings.get("general.alignment", GGUF_DEFAULT_ALIGNMENT)
        is_power = type(alignment) is int and alignment > 0 and not alignment & (alignment - 1)
        if not is_power:
            raise self._damaged(f"its alignment is {alignment!r}")
        start = -(-self._file.tell() // alignment) * alignment
        return Header(settings, self._placed(described, start))

    def _counts(self) -> tuple[int, int]:
        if self._size < 4 or self._number("I") != GGUF_MAGIC:
            raise FormatError(
                f"{self._source} is no GGUF: its first four bytes are others.",
                hint="Name a .gguf file, or the folder that it was made from.",
            )
        version = self._number("I")
        if version not in VERSIONS:
            of = "a big-endian machine" if version & 0xFFFF == 0 else f"version {version}"
            raise FormatError(
                f"{self._source} is a GGUF of {of}, and minitf reads versions 2 and 3 of"
                " little-endian ones.",
                hint="Convert the model again with a current llama.cpp.",
            )
        n_tensors, n_pairs = self._number("Q"), self._number("Q")
        self._check_there(n_tensors * _LEAST_TENSOR + n_pairs * _LEAST_PAIR)
        self._count_items(n_tensors + n_pairs)
        return n_tensors, n_pairs

    def _value(self, kind: int, *, is_item: bool = False) -> Any:
        if kind == GGUFValueType.STRING:
            return self._text()
        if kind == GGUFValueType.ARRAY and not is_item:
            return self._array()
        if kind not in _SCALARS:
            raise self._damaged(f"it holds a value of type {kind}")
        return self._number(_SCALARS[kind])

    def _array(self) -> list[Any]:
        kind, n = self._number("I"), self._number("Q")
        letter = _SCALARS.get(kind)
        self._check_there(n * (struct.calcsize(letter) if letter else _LEAST_TEXT))
        self._count_items(n)
        if letter:
            size = struct.calcsize(letter)
            return list(struct.unpack(f"<{n}{letter}", self._take(n * size)))
        return [self._value(kind, is_item=True) for _ in range(n)]

    def _described(self) -> tuple[str, tuple[int, ...], int, int]:
        name, n_dims = self._text(), self._number("I")
        if not 1 <= n_dims <= MAX_DIMS:
            raise self._damaged(f"{name!r} has {n_dims} dimensions")
        dims = tuple(self._number("Q") for _ in range(n_dims))
        return name, dims[::-1], self._number("I"), self._number("Q")

    def _placed(
        self, described: list[tuple[str, tuple[int, ...], int, int]], start: int
    ) -> dict[str, TensorPlace]:
        places: dict[str, TensorPlace] = {}
        for name, shape, kind, offset in described:
            if name in places:
                raise self._damaged(f"{name!r} is there twice")
            place = TensorPlace(shape, self._known_kind(name, kind), start + offset)
            is_whole = min(shape) > 0 and row_fits(shape, place.kind)
            if not is_whole or place.start + place.n_bytes > self._size:
                raise self._damaged(f"{name!r} goes past its end")
            places[name] = place
        # Tensors that share bytes would be a small file that needs any amount of memory.
        if sum(place.n_bytes for place in places.values()) > self._size - start:
            raise self._damaged("its tensors take more bytes than it has")
        return places

    def _known_kind(self, name: str, kind: int) -> NumberType:
        if kind in READ:
            return NumberType(kind)
        called = NumberType(kind).name if kind in list(NumberType) else f"type {kind}"
        raise FormatError(
            f"{self._source}: {name} is kept as {called.lower()}, which minitf does not read.",
            hint="It reads f32, f16, bf16, q8_0 and q4_0: fetch one of those.",
        )

    def _text(self) -> str:
        data = self._take(self._number("Q"))
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise self._damaged("it holds a text that is not UTF-8") from error

    def _number(self, letter: str) -> Any:
        return struct.unpack(f"<{letter}", self._take(struct.calcsize(letter)))[0]

    def _take(self, n: int) -> bytes:
        self._check_there(n)
        self._left -= n
        data = self._file.read(n)
        if len(data) < n:
            raise self._damaged("it ends too early")
        return data

    def _check_there(self, n: int) -> None:
        if n > self._left:
            raise self._damaged("it ends too early")

    def _count_items(self, n: int) -> None:
        self._items_left -= n
        if self._items_left < 0:
            raise self._damaged(f"it holds more than {MAX_ITEMS} values")

    def _damaged(self, why: str) -> FormatError:
        return FormatError(
            f"{self._source} is a damaged GGUF: {why}.", hint="Fetch or export it again."
        )
