"""What leaves the program: stdout for results, stderr for everything about them.

With `--json` stdout carries one object and nothing else. No text of a model and no value
that somebody typed reaches a terminal with its control characters.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from minitf_tui.cli.arguments import UsageError
from minitf_tui.problems import escape


def is_terminal(stream: TextIO | None) -> bool:
    """Somebody is looking at it."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


def write(stream: TextIO | None, text: str) -> None:
    """Write at once, with a question mark for what the stream's encoding lacks."""
    if stream is None:  # the descriptor was closed before we started
        return
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "replace").decode(encoding))
    stream.flush()


def say(text: str = "", end: str = "\n") -> None:
    """A result, on stdout."""
    write(sys.stdout, text + end)


def tell(text: str) -> None:
    """A remark, on stderr; that nobody listens is no reason to stop."""
    try:
        write(sys.stderr, text + "\n")
    except (OSError, ValueError):
        return


def safe(text: str) -> str:
    """Text of a model for stdout: made harmless where that is a terminal, else untouched."""
    if not is_terminal(sys.stdout):
        return text
    from minitf_tui.sanitize import clean

    return clean(text)


def say_json(result: Any) -> None:
    """One object on stdout: a dataclass or a mapping."""
    say(to_json(result))


def to_json(result: Any, *, indent: int | None = None) -> str:
    """Strict JSON: what is not a number becomes null."""
    return json.dumps(plain(result), allow_nan=False, indent=indent)


def plain(value: Any) -> Any:
    """`value` in the types JSON has."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)


def prepare_metrics(path: Path | None) -> None:
    """Find out before the work that a `--metrics` file can take its figures.

    Raises:
        UsageError: it cannot.
    """
    if path is None:
        return
    _read_metrics(path)
    import tempfile

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):  # there is room for a file, and a right to it
            pass
    except OSError as error:
        raise unwritable(path, error) from error


def _read_metrics(path: Path) -> dict[str, Any]:
    """What the file holds already; anything but our figures must not be overwritten."""
    shown = escape(str(path))
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not JSON"
        raise UsageError(
            f"{shown} cannot take the figures: {reason}.", hint="Name another file."
        ) from None
    if not isinstance(kept, dict):
        raise UsageError(
            f"{shown} cannot take the figures: it is not one JSON object.",
            hint="Name another file.",
        )
    return kept


def keep_metrics(path: Path | None, command: str, result: Any) -> None:
    """Put `result` under the command's name in a JSON file, and leave the rest there.

    Raises:
        UsageError: the file cannot be written.
    """
    if path is None:
        return
    figures = _read_metrics(path) | {command: plain(result)}
    try:
        replace_file(path, f"{to_json(figures, indent=2)}\n".encode())
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> UsageError:
    """The words for a file that cannot be made."""
    reason = error.strerror or type(error).__name__
    return UsageError(f"{escape(str(path))} cannot be written: {reason}.", hint="Name another.")


def replace_file(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: the one that was there stays until the new one is.

    Raises:
        OSError: it cannot be written.
    """
    import tempfile

    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
