"""Writing so that a file or folder exists whole or not at all, and locks.

Readers in other processes see the old content or the new, whatever happens to the writer.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from core import paths
from core.errors import RunError, StoreError

LOCK_TRIES, LOCK_PAUSE_S = 5, 0.01
PARTIAL_PREFIX = ".partial-"


def make_folder(path: Path) -> None:
    """With those above it; one that exists is fine.

    Raises:
        StoreError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"The folder {str(path)!r} cannot be made: {error.strerror}.", hint=paths.ELSEWHERE
        ) from error


def check_writable(folder: Path) -> None:
    """Find out before the work that something can be put into `folder`, or into the nearest one
    above it that exists. It leaves nothing behind.

    Raises:
        StoreError: it cannot.
    """
    import tempfile

    nearest = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    try:
        with tempfile.TemporaryFile(dir=nearest):  # rights do not tell: root has them all
            return
    except OSError as error:
        raise StoreError(
            f"Nothing can be written to {str(folder)!r}: {error.strerror}.", hint=paths.ELSEWHERE
        ) from error


def write_atomically(path: Path, data: bytes) -> None:
    """Replace `path` by `data`, synced to disk."""
    make_folder(path.parent)
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
    make_folder(folder)
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
    make_folder(path.parent)
    partial = _partial(path)
    partial.mkdir()
    try:
        yield partial
        _sync_all(partial)
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    _sync_folder(path.parent)


@contextmanager
def new_place(path: Path) -> Iterator[Path]:
    """A name beside `path` under which to make a file or a folder, which becomes `path` when the
    block ends well. What was at `path` goes then, and not before.

    Raises:
        StoreError: the folder that is to hold it cannot be made.
    """
    make_folder(path.parent)
    partial, old = _partial(path), _partial(path)
    try:
        yield partial
        _sync_all(partial)
        is_there = path.exists() or path.is_symlink()
        if is_there and (path.is_dir() or partial.is_dir()):  # which cannot be replaced at once
            path.rename(old)
        try:
            partial.replace(path)
        except BaseException:  # also of a Ctrl-C: what was there must not go for nothing
            if old.exists() and not path.exists():
                old.rename(path)
            raise
    finally:
        for left in (partial, old):
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
    _sync_folder(path.parent)


def link(path: Path, other: Path) -> None:
    """One file under two names, where the disk can do that.

    Raises:
        OSError: there is no room for a copy.
    """
    try:
        os.link(path, other)
    except OSError:  # a disk that knows no links
        shutil.copyfile(path, other)


def remove_folder(path: Path) -> None:
    """Take it away at once, then delete what it held."""
    doomed = _partial(path)
    path.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def sweep(
    folder: Path, pattern: str = f"{PARTIAL_PREFIX}*", *, untouched_s: float | None = None
) -> None:
    """Delete what killed writers left half written or half deleted.

    Args:
        pattern: of the names of what may go.
        untouched_s: only what has not changed for so many seconds; for a folder to which
            others may be writing.
    """
    for path in folder.glob(pattern):
        with suppress(OSError):
            if untouched_s is not None and time.time() - path.stat().st_mtime < untouched_s:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()


def _partial(path: Path) -> Path:
    return path.with_name(f"{PARTIAL_PREFIX}{path.name}-{secrets.token_hex(4)}")


def _sync_all(path: Path) -> None:
    """A file, or a folder and all that is in it."""
    for found in (path, *path.rglob("*")):
        if found.is_dir():
            _sync_folder(found)
        elif found.is_file():
            with found.open("r+b") as file:
                os.fsync(file.fileno())


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
        """Whether we hold it now. Never waits.

        Raises:
            FileNotFoundError: its folder is gone, perhaps since a moment.
        """
        file = self._path.open("ab")
        try:
            _lock(file)
        except OSError:
            file.close()
            return False
        if not _is_at(self._path, file):  # we hold the lock of a folder that was removed
            file.close()
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self._path))
        self._file = file
        return True

    def release(self) -> None:
        """Give it back; without effect if we do not hold it."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _is_at(path: Path, file: IO[bytes]) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


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
        RunError: another process holds it, or has removed it with its folder.
        StoreError: a folder is in its place.
    """
    lock = FileLock(path)
    for _ in range(LOCK_TRIES):
        try:
            if lock.acquire():
                break
        except FileNotFoundError as error:
            raise RunError(
                f"{what} is not there any more.", hint="minitf runs lists those that are."
            ) from error
        except IsADirectoryError as error:
            raise StoreError(
                f"{what} cannot be locked: {path} is a folder.", hint="Remove it, or rename it."
            ) from error
        time.sleep(LOCK_PAUSE_S)
    else:
        raise RunError(
            f"{what} is in use by another minitf.", hint="Wait for it to end, or stop it there."
        )
    try:
        yield
    finally:
        lock.release()
