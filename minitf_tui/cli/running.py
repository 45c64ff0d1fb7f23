"""Pull a session to its end, and let signals end it early but well.

The first SIGINT, SIGTERM or SIGHUP asks the session to stop: it saves and finishes. A
second one goes at once. SIGUSR1 asks it to save and go on.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

from core.events import Event, MatrixQuantized, SetupProgressed
from minitf_tui.cli.exit_codes import FAULT as FAULT
from minitf_tui.cli.exit_codes import MISTAKE as MISTAKE
from minitf_tui.cli.exit_codes import SUCCESS as SUCCESS
from minitf_tui.cli.output import is_terminal
from minitf_tui.cli.progress import ProgressLine

if TYPE_CHECKING:
    from core.recipes import Session

STOPPED_BY = 128
"""Added to a signal's number, as shells do."""


class Interruption:
    """Whether and by what a session was asked to stop."""

    def __init__(self, stop: Callable[[], None], *, is_quiet: bool = False) -> None:
        self._stop = stop
        self._is_quiet = is_quiet
        self.signal: int | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        if self.signal is not None:
            signal.signal(number, signal.SIG_DFL)  # a third one needs no Python at all
            raise KeyboardInterrupt
        self.signal = number
        self._stop()
        if not self._is_quiet:
            _acknowledge("Stopping; once more to leave at once.")

    @property
    def exit_code(self) -> int:
        """What the program ends with."""
        return SUCCESS if self.signal is None else STOPPED_BY + self.signal


def drive(session: Session, listen: Callable[[Any], None]) -> Interruption:
    """Hand every event of `session` to `listen`; how it was interrupted, if it was.

    SIGUSR1, where there is one, asks for a checkpoint meanwhile.
    """
    with _saving(session):
        return pull(session.run(), session.stop, listen)


def conclude(session: Session, completed: type[Any], tell: Callable[[Any], None]) -> int:
    """Drive a session that prepares and then has its result: progress on stderr, the result to
    `tell` when the line is clear; the exit code.

    Args:
        completed: the event that carries the result.
    """
    line = ProgressLine()
    done: list[Any] = []

    def listen(event: Event) -> None:
        if isinstance(event, SetupProgressed):
            line.setup(event)
        elif isinstance(event, MatrixQuantized):
            line.setup(SetupProgressed(stage="rounding", share=event.index / event.of))
        elif isinstance(event, completed):
            done.append(event.result)

    try:
        interruption = drive(session, listen)
    finally:
        line.clear()
    for result in done:
        tell(result)
    return interruption.exit_code


def pull(
    events: Generator[Any, None, None],
    stop: Callable[[], None],
    listen: Callable[[Any], None],
    *,
    is_quiet: bool = False,
) -> Interruption:
    """The same for any events that `stop` can end; `is_quiet` does not acknowledge a signal."""
    interruption = Interruption(stop, is_quiet=is_quiet)
    with _handling(interruption), closing(events):
        try:
            for event in events:
                listen(event)
        except KeyboardInterrupt:
            interruption.signal = interruption.signal or signal.SIGINT
    return interruption


def _acknowledge(words: str) -> None:
    """Past Python's buffers, which a signal handler must not touch."""
    if is_terminal(sys.stderr):
        with suppress(OSError, ValueError):
            os.write(sys.stderr.fileno(), b"\r\x1b[K" + words.encode("ascii") + b"\n")


@contextmanager
def _saving(session: Session) -> Iterator[None]:
    number = getattr(signal, "SIGUSR1", None)
    if number is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def save(_number: int, _frame: FrameType | None) -> None:
        if session.save():
            _acknowledge("Saving after this step.")

    before = signal.signal(number, save)
    try:
        yield
    finally:
        signal.signal(number, before if before is not None else signal.SIG_DFL)


@contextmanager
def _handling(interruption: Interruption) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:  # else: nohup
        numbers.append(hangup)
    before = {number: signal.signal(number, interruption) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
