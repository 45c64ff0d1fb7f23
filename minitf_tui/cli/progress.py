"""One line on stderr that says how far a job is. Without a terminal there are plain lines."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import TextIO

from core.events import SetupProgressed
from minitf_tui import format as fmt
from minitf_tui.cli.output import is_terminal, write
from minitf_tui.problems import escape

INTERVAL_S = 0.1
BAR_WIDTH = 12


class ProgressLine:
    """A line that is overwritten, at most ten times a second.

    Nothing that a terminal would act on gets through, whatever a text or a run is called.
    A stream that breaks is dropped in silence: a training run outlives its terminal.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        columns: int | None = None,
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._columns = columns
        self._shown_at = float("-inf")
        self._is_dirty = False
        self._stage = ""
        self.is_live = is_terminal(self._stream) and os.environ.get("TERM") != "dumb"

    def show(self, text: str, *, now: bool = False) -> None:
        """Replace the line, unless it was replaced a moment ago."""
        if not self.is_live or (not now and self._clock() - self._shown_at < INTERVAL_S):
            return
        self._shown_at = self._clock()
        self._is_dirty = True
        self._write(f"\r{escape(text)[: self._width()]}\x1b[K")

    def note(self, text: str) -> None:
        """A line that stays."""
        self.clear()
        self._write(escape(text) + "\n")

    def setup(self, event: SetupProgressed) -> None:
        """Something that takes a moment begins or goes on; a remark about it stays."""
        if event.remark:
            self.note(event.remark)
        if event.stage != self._stage or not (self.is_live and event.share is not None):
            self.stage(event.stage)
        else:
            share = f"{self.bar(event.share)} {fmt.percent(event.share)}"
            self.show(f"{share}  {event.stage}")

    def stage(self, text: str) -> None:
        """Something that takes a moment begins; without a terminal it is told once."""
        if self.is_live:
            self.show(f"{text} ...", now=True)
        elif text != self._stage:
            self.note(f"{text} ...")
        self._stage = text

    def clear(self) -> None:
        """Take the line away."""
        if self._is_dirty:
            self._is_dirty = False
            self._write("\r\x1b[K")

    def bar(self, share: float) -> str:
        """A bar of fixed width, in characters the stream can show."""
        full, empty = "█░" if self._has_blocks() else "#."
        filled = round(min(max(share, 0.0), 1.0) * BAR_WIDTH)
        return full * filled + empty * (BAR_WIDTH - filled)

    def _has_blocks(self) -> bool:
        try:
            "█░".encode(getattr(self._stream, "encoding", None) or "ascii")
        except UnicodeEncodeError:
            return False
        return True

    def _width(self) -> int:
        """The last column stays free: some terminals wrap as soon as it is written."""
        columns = self._columns
        if columns is None:
            try:
                columns = os.get_terminal_size(self._stream.fileno()).columns
            except (OSError, ValueError):
                columns = 0
        return (columns or 80) - 1

    def _write(self, text: str) -> None:
        try:
            write(self._stream, text)
        except (OSError, ValueError):
            self.is_live, self._is_dirty = False, False
