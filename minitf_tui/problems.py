"""Exception -> words for a person. The one place where that happens.

An error that core raises on purpose is a sentence and a hint. Anything else is a fault of
ours: it gets one sentence, and its traceback goes to the log file, never to the screen.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from core import paths
from core.errors import MinitfError, StoreError

if TYPE_CHECKING:
    from core.events import CheckpointFailed, ReportFailed

LOG_NAME = "minitf.log"
LONGEST_MESSAGE = 300
LONGEST_SENTENCE = 1000
"""Of an error in core's own words, which may repeat a value of any length."""
LARGEST_LOG_BYTES = 1_000_000
_REFUSALS = {
    errno.ENOSPC: "There is no space left on the disk",
    errno.EDQUOT: "Your share of the disk is used up",
    errno.EFBIG: "The system allows no file of that size",
    errno.EROFS: "The disk is read-only",
    errno.EACCES: "The system denies access",
    errno.EPERM: "The system denies access",
}


def explain(error: BaseException) -> str:
    """What happened, and on a second line what to try; safe to print on a terminal.

    An error that nobody expected is also written to the log file.
    """
    known = recognised(error)
    if known is not None:
        parts = (escape(part) for part in (str(known), known.hint) if part)
        return "\n".join(shortened(part, LONGEST_SENTENCE) for part in parts)
    words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    where = record(error)
    report = f"the full report is in {where}" if where else "and the log file cannot be written"
    return f"This is a fault in minitf ({shortened(escape(words))}); {escape(report)}."


def recognised(error: BaseException) -> MinitfError | None:
    """The error in core's own words, if it is one that a person can do something about.

    That is every MinitfError, and what the machine refuses: memory, disk space, rights.
    """
    if isinstance(error, MinitfError):
        return error
    if _is_out_of_memory(error):
        return MinitfError(
            "This machine has not enough memory for that.",
            hint="Try a smaller model, batch_size or context.",
        )
    if isinstance(error, OSError) and error.errno in _REFUSALS:
        where = f": {quoted(str(error.filename))}" if error.filename else ""
        return MinitfError(f"{_REFUSALS[error.errno]}{where}.", hint=paths.ELSEWHERE)
    return None


def unsaved(event: CheckpointFailed | ReportFailed) -> StoreError:
    """What could not be kept while the work itself goes well."""
    from core.events import ReportFailed  # not needed for the words of an error

    if isinstance(event, ReportFailed):
        return StoreError(f"The {event.what} could not be kept with its run: {event.reason}.")
    kept = "none is kept" if event.kept_step is None else f"step {event.kept_step} is kept"
    return StoreError(
        f"The checkpoint of step {event.step} could not be written: {event.reason}.",
        hint=f"So far {kept}. Training goes on, and the next one is tried again: make room.",
    )


def _is_out_of_memory(error: BaseException) -> bool:
    # Named, not imported: torch.OutOfMemoryError, and what its CPU allocator raises.
    names = {kind.__name__ for kind in type(error).__mro__}
    words = str(error)
    return (
        isinstance(error, MemoryError)
        or "OutOfMemoryError" in names
        or (isinstance(error, RuntimeError) and "allocate memory" in words)
    )


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
