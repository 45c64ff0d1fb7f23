"""Files that anybody may have written: bounded, and one sentence when something is wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NoReturn

from core.errors import FormatError

MOST_CONFIG_BYTES, MOST_TOKENIZER_BYTES = 10 << 20, 100 << 20


def file_in(folder: Path, name: str, source: str) -> Path:
    """The file `name` of a folder.

    Raises:
        FormatError: it is missing, no file, or a link to elsewhere; the hub's cache links each
            file to a folder of blobs of its own.
    """
    path, home = folder / name, folder.resolve()
    real = Path(os.path.realpath(path))  # unlike resolve() it takes links that go in a circle
    if not os.path.isfile(real):  # noqa: PTH113 - a name may be longer than any file's
        raise FormatError(
            f"{source} lacks {name}.", hint="Fetch the folder again, with all of its files."
        )
    if real.parent not in (home, home.parent.parent / "blobs"):
        raise FormatError(
            f"{source}: {name} is a link to a file elsewhere.",
            hint="Put the file itself into the folder.",
        )
    return path


def read_text(folder: Path, name: str, source: str, most_bytes: int) -> str:
    """What the file `name` of a folder says.

    Raises:
        FormatError: it cannot be read, is longer than `most_bytes`, or is not UTF-8.
    """
    path = file_in(folder, name, source)
    try:
        with path.open("rb") as file:
            data = file.read(most_bytes + 1)
    except OSError as error:
        raise FormatError(
            f"{source}: {name} cannot be read: {error.strerror}.",
            hint="Fetch the folder again, with all of its files.",
        ) from error
    if len(data) > most_bytes:
        raise FormatError(
            f"{source}: {name} is longer than {most_bytes} bytes.",
            hint="No such file of a model is; this is another one.",
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise FormatError(
            f"{source}: {name} is not UTF-8.", hint="Fetch the file again."
        ) from error


def read_object(
    folder: Path, name: str, source: str, most_bytes: int = MOST_CONFIG_BYTES
) -> dict[str, Any]:
    """The JSON object that the file `name` of a folder holds.

    Raises:
        FormatError: it is not one, or as `read_text`.
    """
    text = read_text(folder, name, source, most_bytes)
    try:
        found = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise FormatError(
            f"{source}: {name} is not JSON that can be read: {error}.",
            hint="Fetch the file again.",
        ) from error
    if not isinstance(found, dict):
        raise FormatError(f"{source}: {name} holds no JSON object.", hint="Fetch the file again.")
    return found


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")
