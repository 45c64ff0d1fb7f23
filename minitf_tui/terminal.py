"""Keep the terminal for the app alone.

Compiled code (torch, OpenMP, drivers) prints to file descriptors 1 and 2 behind Python's back,
and Textual draws on the very same ones. Inside `private_terminal` Textual has its own copies of
them, and 1 and 2 lead to a log file.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from core import paths

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

LOG_NAME = "native.log"
LARGEST_LOG_BYTES = 1_000_000


@contextlib.contextmanager
def private_terminal(log: Path | None = None) -> Iterator[None]:
    """Lead native prints to `log` (default: in the log folder); everything is put back after.

    Without a place for the log they are dropped.
    """
    _flush()
    streams = {name: getattr(sys, name) for name in _STREAMS}
    kept = os.dup(1), os.dup(2)
    sink = _open_log(log or paths.log_dir() / LOG_NAME)
    try:
        for name, fd in (("stdout", kept[0]), ("stderr", kept[1])):
            own = io.TextIOWrapper(_Kept(fd), encoding="utf-8", write_through=True)  # type: ignore[type-var]
            setattr(sys, name, own)
            setattr(sys, f"__{name}__", own)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        yield
    finally:
        _flush()
        for name, stream in streams.items():
            setattr(sys, name, stream)
        for fd, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, fd)
            os.close(copy)
        os.close(sink)


class _Kept(io.RawIOBase):
    """A terminal that may be closed under us: then what is written is dropped.

    An error here would end Textual's writing thread, and the app would wait for it for ever
    instead of saving and leaving.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return os.isatty(self._fd)

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer) -> int:
        left = memoryview(data).cast("B")
        with contextlib.suppress(OSError):
            while left:
                left = left[os.write(self._fd, left) :]
        return memoryview(data).nbytes


_STREAMS = ("stdout", "stderr", "__stdout__", "__stderr__")


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()


def _open_log(path: Path) -> int:
    mode = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > LARGEST_LOG_BYTES:
            mode |= os.O_TRUNC
        return os.open(path, mode, 0o600)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)
