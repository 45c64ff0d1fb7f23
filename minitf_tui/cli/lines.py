"""Where the lines of a conversation come from: a keyboard, or a pipe.

At a keyboard they can be edited and recalled where Python has `readline`; what was typed is
kept for the next conversation, in a file that only its owner can read. A history that cannot
be read or written is no reason to stop.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Protocol

from core import paths
from minitf_tui.cli import output

PROMPT = "> "
HISTORY_NAME = "conversation_history"
LONGEST_HISTORY = 1000
"""Lines."""


class Source(Protocol):
    """Gives lines, one after another; a context that is left when no more are wanted."""

    is_live: bool
    """A person is typing."""

    def read(self) -> str:
        """The next line, without its end.

        Raises:
            EOFError: there are no more.
            KeyboardInterrupt: the person wants another line than this one.
        """
        ...

    def __enter__(self) -> Source: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def source() -> Source:
    """The keyboard if stdin is one, else what comes out of the pipe."""
    return Keyboard() if output.is_terminal(sys.stdin) else Pipe()


class Pipe:
    """Lines of stdin, without a prompt. Bytes that are no UTF-8 are kept as they are."""

    is_live = False

    def __enter__(self) -> Pipe:
        _keep_bytes(encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        return

    def read(self) -> str:
        """The next line; EOFError after the last."""
        line = sys.stdin.readline() if sys.stdin is not None else ""
        if not line:
            raise EOFError
        return line.rstrip("\r\n")


class Keyboard:
    """Lines that are typed at a prompt. Bytes that are no text there are kept as they are."""

    is_live = True

    def __init__(self) -> None:
        self._readline = _readline()
        self._n_before = 0

    def __enter__(self) -> Keyboard:
        _keep_bytes()
        if self._readline is not None:
            self._readline.clear_history()
            self._readline.set_history_length(LONGEST_HISTORY)
            with suppress(OSError):
                self._readline.read_history_file(str(_history_file()))
            self._n_before = self._readline.get_current_history_length()
        return self

    def __exit__(self, *_: object) -> None:
        if self._readline is not None:
            with suppress(OSError):
                self._keep(self._readline)

    def read(self) -> str:
        """The next line; EOFError after the last."""
        if output.is_terminal(sys.stdout):
            return input(PROMPT)
        # The prompt must not get into the file that stdout is.
        output.write(sys.stderr, PROMPT)
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.rstrip("\r\n")

    def _keep(self, readline: ModuleType) -> None:
        """Add the new lines only: another conversation may be adding its own."""
        path = _history_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        path.chmod(0o600)
        if hasattr(readline, "append_history_file"):
            n_new = readline.get_current_history_length() - self._n_before
            readline.append_history_file(n_new, str(path))
        else:
            readline.write_history_file(str(path))


def _keep_bytes(**changes: str) -> None:
    """Let stdin pass on what it cannot decode, instead of ending."""
    reconfigure = getattr(sys.stdin, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="surrogateescape", **changes)


def _history_file() -> Path:
    return paths.data_dir() / HISTORY_NAME


def _readline() -> ModuleType | None:
    try:
        import readline
    except ImportError:  # Windows, and some builds of Python
        return None
    return readline
