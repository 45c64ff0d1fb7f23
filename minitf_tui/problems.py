"""Exception -> words for a person. The one place where that happens.

An error that core raises on purpose is a sentence and a hint. Anything else is a fault of
ours: it gets one sentence, and its traceback goes to the log file, never to the screen.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from core import paths
from core.errors import MinitfError

LOG_NAME = "minitf.log"
LONGEST_MESSAGE = 300
LARGEST_LOG_BYTES = 1_000_000


def explain(error: BaseException) -> str:
    """What happened, and on a second line what to try; safe to print on a terminal.

    An error that nobody expected is also written to the log file.
    """
    if isinstance(error, MinitfError):
        return "\n".join(escape(part) for part in (str(error), error.hint) if part)
    words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    where = record(error)
    report = f"the full report is in {where}" if where else "and the log file cannot be written"
    return f"This is a fault in minitf ({shortened(escape(words))}); {escape(report)}."


def escape(text: str) -> str:
    """`text` on one line, with every character that a terminal might act on spelt out."""
    return "".join(c if c.isprintable() else _spelt(c) for c in text)


def quoted(value: object) -> str:
    """A value that somebody typed, as it is shown in a message: escaped, quoted, not endless."""
    return shortened(repr(value), 60)


def shortened(text: str, longest: int = LONGEST_MESSAGE) -> str:
    """`text`, with its middle left out when it is too long to read."""
    if len(text) <= longest:
        return text
    tail = longest // 4
    return f"{text[: longest - tail - 3]}...{text[-tail:]}"


def log_file() -> Path:
    """Where reports of unexpected errors are written."""
    return paths.log_dir() / LOG_NAME


def record(error: BaseException) -> Path | None:
    """Append the traceback to the log file; None when that cannot be done."""
    import traceback  # not needed by a program that works

    path = log_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > LARGEST_LOG_BYTES:
            path.replace(path.with_suffix(".old.log"))
        with path.open("a", encoding="utf-8", errors="backslashreplace") as log:
            moment = time.strftime("%Y-%m-%d %H:%M:%S")
            log.write(f"--- {moment}, process {os.getpid()}, Python {sys.version.split()[0]}\n")
            log.write("".join(traceback.format_exception(error)))
    except OSError:
        return None
    return path


def _spelt(character: str) -> str:
    return repr(character)[1:-1]
