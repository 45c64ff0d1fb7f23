"""Every error that core raises on purpose.

    MinitfError
    ├── ConfigError       a setting is impossible, or two settings contradict
    ├── DataError         a text is missing, empty, too short or not UTF-8
    ├── TokenizerError    a tokenizer cannot be trained, read, or cannot encode a text
    ├── RunError          a run is missing, exists already, or is in use
    ├── CheckpointError   a checkpoint is missing, damaged or from another model
    ├── StoreError        a file or folder cannot be made or written
    ├── DeviceError       the requested device or dtype is not available
    ├── ExportError       a model cannot be written for another program
    ├── RivalError        another program is not installed, or ended while it was timed
    └── FormatError       a file of another program is damaged, or asks for what we lack

`str(error)` is one sentence for a person; `error.hint` says what to try next.
Anything else that escapes from core is a bug, and is shown with its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MinitfError(Exception):
    """Base class: a problem the user can act on."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(MinitfError):
    """A setting is impossible, or two settings contradict each other."""


class DataError(MinitfError):
    """A text is missing, empty, too short or not UTF-8."""


class TokenizerError(MinitfError):
    """A tokenizer cannot be trained or read, or cannot encode a text."""


class RunError(MinitfError):
    """A run is missing, exists already, or is in use by another process."""


class CheckpointError(MinitfError):
    """A checkpoint is missing, damaged or from another model."""


class StoreError(MinitfError):
    """A file or folder cannot be made or written: rights, a full disk, something in the way."""


class DeviceError(MinitfError):
    """The requested device or dtype is not available."""


class ExportError(MinitfError):
    """A model cannot be written for another program: a switch of it is unknown there."""


class RivalError(MinitfError):
    """Another program that was to decode the same weights is not installed, or has ended."""


class FormatError(MinitfError):
    """A file of another program is damaged, or holds a model that minitf cannot compute."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint: the closest known word, or the first few of them."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    if close:
        return f"Did you mean {close[0]}?"
    return f"Known: {', '.join(names[:12])}." if names else ""
