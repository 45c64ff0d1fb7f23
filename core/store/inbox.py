"""How one process asks another for something: a file a command in the run's folder.

    <run>/control/<nanoseconds>-<random>.json   {"format": 1, "words": ["lr", "0.5"]}

A file is written under another name and renamed, so it is there whole or not at all; names sort
in the order in which they were made. The trainer takes them away as it reads them. Whatever else
lies there goes, too: it is read by `core.config.read_command` as if a person had typed it, never
further than `LONGEST` bytes, and only where it is a plain file. Never imports torch.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import stat
import time
from contextlib import suppress
from pathlib import Path

from core.config import Command, read_command
from core.errors import ConfigError
from core.store.files import PARTIAL_PREFIX, make_folder, write_atomically

FORMAT = 1
FOLDER = "control"
LONGEST = 4096
"""Bytes of a file that is read."""
MOST_AT_ONCE = 100
"""Files that are taken at one look."""


def send(run_path: Path, command: Command) -> str:
    """Leave a command for whoever trains the run; its id.

    Raises:
        StoreError: the folder cannot be made.
        OSError: the file cannot be written.
    """
    id = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
    make_folder(run_path / FOLDER)
    data = json.dumps({"format": FORMAT, "words": command.words}).encode()
    write_atomically(_path(run_path, id), data)
    return id


def is_waiting(run_path: Path, id: str) -> bool:
    """Whether nobody has taken that command yet."""
    return _path(run_path, id).exists()


def take_back(run_path: Path, id: str) -> bool:
    """Whether the command had not been taken, and never will be now."""
    try:
        _path(run_path, id).unlink()
    except OSError:
        return False
    return True


def clear(run_path: Path) -> None:
    """Forget what was asked of an earlier trainer of the run."""
    folder = run_path / FOLDER
    if folder.is_symlink():
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)


def take(run_path: Path) -> list[Command]:
    """What was asked since the last look, oldest first. Cheap where nothing was."""
    folder = run_path / FOLDER
    try:
        if stat.S_ISLNK(folder.lstat().st_mode):  # what it leads to is not ours to take away
            return []
        with os.scandir(folder) as found:
            names = sorted(e.name for e in found if not e.name.startswith(PARTIAL_PREFIX))
    except OSError:  # nobody has asked anything yet
        return []
    taken = (_take(folder / name) for name in names[:MOST_AT_ONCE])
    return [command for command in taken if command is not None]


def _take(path: Path) -> Command | None:
    """The command in a file, which is gone then; None if it holds none."""
    command = None
    with suppress(OSError, ValueError, RecursionError, TypeError, KeyError, ConfigError):
        if stat.S_ISREG(path.lstat().st_mode):  # neither a link nor a pipe, which would not end
            with path.open("rb") as file:
                asked = json.loads(file.read(LONGEST + 1)[:LONGEST])
            words = asked["words"]
            if asked["format"] == FORMAT and all(isinstance(word, str) for word in words):
                command = read_command(words, id=path.stem)
    try:
        path.unlink()
    except OSError:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:  # it would be obeyed again and again
            return None
    return command


def _path(run_path: Path, id: str) -> Path:
    return run_path / FOLDER / f"{id}.json"
