"""A run on the screen: how far it is, its numbers, its curves, its newest words."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Container

from core.events import (
    CheckpointSaved,
    Controlled,
    Event,
    ReturnedToCheckpoint,
    RunStarted,
    SampleCompleted,
)
from minitf_tui import readings
from minitf_tui.course import Plan
from minitf_tui.sanitize import clean_line
from minitf_tui.widgets.curves import Curves
from minitf_tui.widgets.readout import Progress, Readout
from minitf_tui.widgets.sample import SampleBox

if TYPE_CHECKING:
    from minitf_tui.watch import Watch

NOTE_S = 4.0
"""How long a word about a key stays."""
RETURN_S = 60.0
"""How long a return to a checkpoint is told: nobody waits for it."""
TALL = 30
"""Rows from which there is room for more numbers."""
_WORDS = {
    "waiting": "waiting for the device",
    "pausing": "pausing after this step",
    "paused": "paused; p goes on",
    "stopping": "stopping and saving",
}


class RunView(Container):
    """Shows a `Watch`; drawing is paced by whoever calls `show`."""

    DEFAULT_CSS = "RunView { width: 1fr; height: 1fr; }"

    def __init__(self) -> None:
        super().__init__(id="run")
        self.curves = Curves()
        self._bar = Progress()
        self._numbers = Readout(id="numbers")
        self._sample = SampleBox()
        self._note, self._note_until = "", 0.0
        self._is_saving = False

    def compose(self) -> ComposeResult:
        """Its parts, from top to bottom."""
        yield self._bar
        yield self._numbers
        yield self.curves
        yield self._sample

    def begin(self, run: Watch) -> None:
        """Another run from now on."""
        self.curves.plan, self._note, self._is_saving = (), "", False
        self.curves.marks = ()
        self.curves.again()
        self._sample.await_first(run.config.eval.sample_interval)

    def hear(self, event: Event, run: Watch, plan: Plan) -> None:
        """Rare news; `plan` is the learning rate of the whole run."""
        self.curves.marks = run.marks
        match event:
            case RunStarted():
                self.curves.plan = plan
                if run.sample:
                    self._sample.show(run.sample)
            case ReturnedToCheckpoint():
                self.curves.plan = plan
                self._say(readings.return_line(event), RETURN_S)
            case Controlled():
                self.curves.plan = plan
                self._say(readings.command_line(event))
            case SampleCompleted():
                self._sample.show(event)
            case CheckpointSaved() if self._is_saving:
                self._is_saving = False
                self._say(f"saved at step {event.step:,}")

    def saving(self) -> None:
        """A checkpoint was asked for."""
        self._is_saving = True
        self._say("saving after this step")

    def show(self, run: Watch, state: str, stage: str, waited: str, share: float | None) -> None:
        """Where the run stands now.

        Args:
            state: of its job; "finished" when it is over.
            stage: what is being prepared; empty once it trains.
            waited: how long preparing took so far.
            share: how much of that, or of the run, is done.
        """
        line, right = run.ending, ""
        if state != "finished":
            line = _WORDS.get(state, stage or "training")
            left = run.seconds_left
            right = waited if left is None else readings.time_left(left, self._clock(left, state))
        if self._note and time.monotonic() < self._note_until:
            right = self._note
        name = f"{clean_line(run.started.run)}  " if run.started else ""
        self._bar.show(f"{name}{line}", share, right)
        self._numbers.show(
            *readings.training_groups(
                run.history,
                run.saved_step,
                smoothing=self.curves.smoothing,
                started=run.started,
                is_full=self.screen.size.height >= TALL,
            )
        )
        self.curves.draw(run.history, run.started)

    def _say(self, note: str, seconds: float = NOTE_S) -> None:
        self._note, self._note_until = note, time.monotonic() + seconds

    def _clock(self, left: float, state: str) -> float | None:
        """The time of day at the end, where there is room for it and it holds."""
        is_broad = not self.screen.has_class("-narrow")
        return time.time() + left if is_broad and state == "running" else None
