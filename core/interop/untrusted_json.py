"""JSON from a file that anybody may have written: bounded, and one sentence when it is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

from core.errors import FormatError

MOST_CONFIG_BYTES, MOST_TOKENIZER_BYTES = 10 << 20, 100 << 20


def read_text(path: Path, source: str, most_bytes: int) -> str:
    """What the file says.

    Raises:
        FormatError: it cannot be read, is longer than `most_bytes`, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            data = file.read(most_bytes + 1)
    except OSError as error:
        raise FormatError(
            f"{source}: {path.name} cannot be read: {error.strerror}.",
            hint="Fetch the folder again, with all of its files.",
        ) from error
    if len(data) > most_bytes:
        raise FormatError(
            f"{source}: {path.name} is longer than {most_bytes} bytes.",
            hint="No such file of a model is; this is another one.",
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise FormatError(
            f"{source}: {path.name} is not UTF-8.", hint="Fetch the file again."
        ) from error


def read_object(path: Path, source: str, most_bytes: int = MOST_CONFIG_BYTES) -> dict[str, Any]:
    """The JSON object that the file holds.

    Raises:
        FormatError: it is not one, or as `read_text`.
    """
    text = read_text(path, source, most_bytes)
    try:
        found = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise FormatError(
            f"{source}: {path.name} is not JSON that can be read: {error}.",
            hint="Fetch the file again.",
        ) from error
    if not isinstance(found, dict):
        raise FormatError(
            f"{source}: {path.name} holds no JSON object.", hint="Fetch the file again."
        )
    return found


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")
