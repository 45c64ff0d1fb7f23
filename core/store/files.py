"""Writing so that a file or folder exists whole or not at all, and locks.

Readers in other processes see the old content or the new, whatever happens to the writer.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from core.errors import RunError

LOCK_TRIES, LOCK_PAUSE_S = 5, 0.01
PARTIAL_PREFIX = ".partial-"


def write_atomically(path: Path, data: bytes) -> None:
    """Replace `path` by `data`, synced to disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path)
    try:
        write_synced(partial, data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    _sync_folder(path.parent)


def write_synced(path: Path, data: bytes) -> None:
    """Write and wait until the disk has it."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def new_file(folder: Path, name: Callable[[], str]) -> Iterator[IO[bytes]]:
    """A file to fill, which is called `name()` and synced when the block ends well."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = _partial(folder / "new")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(folder / name())
    finally:
        partial.unlink(missing_ok=True)
    _sync_folder(folder)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `path` when the block ends well.

    Raises:
        OSError: `path` exists and is not empty.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path)
    partial.mkdir()
    try:
        yield partial
        _sync_folder(partial)
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    _sync_folder(path.parent)


def remove_folder(path: Path) -> None:
    """Take it away at once, then delete what it held."""
    doomed = _partial(path)
    path.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Delete what killed writers left half done. Only for a folder that nobody else writes."""
    for path in folder.glob(f"{PARTIAL_PREFIX}*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _partial(path: Path) -> Path:
    return path.with_name(f"{PARTIAL_PREFIX}{path.name}-{secrets.token_hex(4)}")


def _sync_folder(path: Path) -> None:
    if sys.platform == "win32":  # folders cannot be opened there
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class FileLock:
    """A lock of the operating system's: gone when its process is, however it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def acquire(self) -> bool:
        """Whether we hold it now. Never waits."""
        file = self._path.open("ab")
        try:
            _lock(file)
        except OSError:
            file.close()
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Give it back; without effect if we do not hold it."""
        if self._file is not None:
            self._file.close()
            self._file = None


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file `path`. Waits for a moment: a list of runs tries each lock, too.

    Raises:
        RunError: another process holds it.
    """
    lock = FileLock(path)
    for _ in range(LOCK_TRIES):
        if lock.acquire():
            break
        time.sleep(LOCK_PAUSE_S)
    else:
        raise RunError(
            f"{what} is in use by another minitf.", hint="Wait for it to end, or stop it there."
        )
    try:
        yield
    finally:
        lock.release()
