"""The tensors of a folder: one safetensors file, or several with an index.

Only headers are read at first. The library checks a header before it believes it: its length,
the offsets of all tensors, and that the file is as long as they say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from core.errors import FormatError
from core.interop.untrusted_files import file_in, read_object

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
FLOATING = ("F64", "F32", "F16", "BF16")
MOST_SHARDS = 1000
MOST_HEADER_BYTES = 8 << 20
"""Names and places of some 80,000 tensors; each is a Python object."""


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor that is still on disk."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    """As safetensors calls it: "F32", "BF16", ..."""
    _file: Any
    _source: str

    def read(self) -> Tensor:
        """The numbers.

        Raises:
            FormatError: they are of a type that minitf does not read, or the file broke off.
        """
        if self.dtype not in FLOATING:
            raise FormatError(
                f"{self._source}: {self.name} is of the type {self.dtype}.",
                hint="minitf reads f32, f16 and bf16; fetch the model unquantised.",
            )
        try:
            return self._file.get_tensor(self.name)
        except (SafetensorError, OSError) as error:
            raise _damaged(self._source, self.name, error) from error


def stored_tensors(folder: Path, source: str) -> dict[str, StoredTensor]:
    """All tensors of the folder by name, none of them read.

    Raises:
        FormatError: there are none, or a file is missing or damaged.
    """
    if (folder / SINGLE).exists():
        return _tensors_of(file_in(folder, SINGLE, source), source)
    if not (folder / INDEX).exists():
        raise FormatError(
            f"{source} holds no {SINGLE}.",
            hint="minitf reads safetensors only: a pickle can run code.",
        )
    places = _places(read_object(folder, INDEX, source), source)
    found: dict[str, StoredTensor] = {}
    for file_name in sorted(set(places.values())):
        for name, tensor in _tensors_of(file_in(folder, file_name, source), source).items():
            if places.get(name) == file_name:
                found[name] = tensor
    if missing := places.keys() - found.keys():
        raise FormatError(
            f"{source}: {places[min(missing)]} lacks {min(missing)}, which {INDEX} places there.",
            hint="Fetch the folder again, with all of its files.",
        )
    return found


def _places(index: Mapping[str, Any], source: str) -> dict[str, str]:
    """Name of the file of each tensor."""
    places = index.get("weight_map")
    if not isinstance(places, dict) or not places:
        raise FormatError(f"{source}: {INDEX} has no weight_map.", hint="Fetch the file again.")
    for name in places.values():
        if not isinstance(name, str) or not _is_plain(name):
            raise FormatError(
                f"{source}: {INDEX} names a file that is none of the folder's: {str(name)[:60]!r}.",
                hint="Take models from those whom you trust.",
            )
    if len(set(places.values())) > MOST_SHARDS:
        raise FormatError(
            f"{source}: {INDEX} names more than {MOST_SHARDS} files.",
            hint="No model that minitf can hold has so many.",
        )
    return places


def _is_plain(name: str) -> bool:
    is_name = name not in ("", ".", "..") and not any(c in name for c in "/\\:\0")
    return is_name and name.endswith(".safetensors")


def _tensors_of(path: Path, source: str) -> dict[str, StoredTensor]:
    try:
        _check_header(path)
        file = safe_open(path, "pt")
        tensors = {}
        for name in file.keys():  # noqa: SIM118 - it is no mapping
            part = file.get_slice(name)
            shape = tuple(part.get_shape())
            tensors[name] = StoredTensor(name, shape, part.get_dtype(), file, source)
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(source, path.name, error) from error
    return tensors


def _check_header(path: Path) -> None:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if MOST_HEADER_BYTES < length <= path.stat().st_size:  # the library knows of longer ones
        raise ValueError(f"its header has {length} bytes, and {MOST_HEADER_BYTES} are allowed")


def _damaged(source: str, what: str, error: Exception) -> FormatError:
    return FormatError(
        f"{source}: {what} cannot be read: {str(error)[:100]}.",
        hint="It is damaged, or not whole; fetch it again.",
    )
