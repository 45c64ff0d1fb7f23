"""A training run as it is watched: its curves, where it stands, how it ended.

`collect` is called in the worker; everything else on the screen's thread.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from core.config import RunConfig
from core.errors import MinitfError
from core.events import (
    AlertRaised,
    Baseline,
    BaselinesCounted,
    CheckpointSaved,
    Controlled,
    Diverged,
    Event,
    HealthMeasured,
    ReturnedToCheckpoint,
    RunFinished,
    RunStarted,
    SampleCompleted,
    StepCompleted,
    ValidationCompleted,
)
from core.store.metrics import baselines_in, read_metrics
from core.store.run import open_run
from minitf_tui import readings
from minitf_tui.figure import Mark
from minitf_tui.history import History
from minitf_tui.marks import mark_of, marks_of
from minitf_tui.vitals import Vitals


class Watch:
    """One run, new or resumed."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.history = History()
        self.vitals = Vitals()
        self.started: RunStarted | None = None
        self.saved_step: int | None = None
        self.lr_factor = 1.0
        """On the planned learning rate, because of returns to a checkpoint and of commands."""
        self.marks: tuple[Mark, ...] = ()
        """Where it was controlled, for its plots."""
        self.sample: SampleCompleted | None = None
        self.problem: MinitfError | None = None
        """What somebody should do something about."""
        self.baselines: tuple[Baseline, ...] = ()
        """What the run is held against."""
        self.ending = ""
        """How it ended, on one line; empty while it goes on."""

    def collect(self, event: Event) -> bool:
        """Keep what comes often, True; and what a resumed run did before."""
        if isinstance(event, StepCompleted):
            self.history.add_step(event)
            return True
        if isinstance(event, HealthMeasured):
            self.vitals.measured.append(event)
            return True
        if isinstance(event, ReturnedToCheckpoint):
            self.vitals.undo_after(event.to_step)
        elif isinstance(event, ValidationCompleted):
            self.history.add_validation(event)
        elif isinstance(event, RunStarted):
            self._recall(event.path)
        elif isinstance(event, RunFinished) and event.reason == "finished already":
            self._recall(event.result.path)  # it has not started again, and has a past
        return False

    def hear(self, event: Event) -> None:
        """Rare news."""
        match event:
            case RunStarted():
                self.started = event
                self.saved_step = event.step or None
            case BaselinesCounted():
                self.baselines = event.baselines
            case CheckpointSaved():
                self.saved_step = event.step
            case ReturnedToCheckpoint():  # those after it are dropped
                self.saved_step, self.lr_factor = event.to_step, event.lr_factor
                self._mark(event)
            case Controlled():
                self.lr_factor = event.lr_factor
                if self.started is not None:
                    steps, seconds = event.steps, event.seconds
                    self.started = replace(self.started, steps=steps, seconds=seconds)
                self._mark(event)
            case SampleCompleted():
                self.sample = event
            case AlertRaised():
                self.vitals.alerts.append(event)
                self._mark(event)
            case Diverged():
                self.ending = f"diverged at step {event.step}"
                self.problem = _as_problem(event)
            case RunFinished():
                self.ending = readings.finish_line(event)
                if event.reason == "finished already":
                    self.problem = _spent(event.result.run)

    @property
    def share(self) -> float | None:
        """How much of the budget is used."""
        if self.started is None:
            return None
        return self.history.share_done(self.started.steps, self.started.seconds)

    @property
    def seconds_left(self) -> float | None:
        """Training time left; None while it cannot be told."""
        if self.started is None:
            return None
        return self.history.seconds_left(self.started.steps, self.started.seconds)

    def _mark(self, event: Event) -> None:
        mark = mark_of(event)
        if mark is not None:
            self.marks = (*self.marks, mark)

    def _recall(self, folder: str) -> None:
        # By now the store has marked from where the run goes on, be it from step 0, so that the
        # steps which were lost with an earlier process are not among these.
        path = Path(folder)
        with suppress(MinitfError, OSError):
            self.config = open_run(path).config
        with suppress(OSError, KeyError, TypeError, ValueError):  # a line that is not ours
            past = read_metrics(path)
            kinds = ("ReturnedToCheckpoint", "Controlled")
            factors = [event["lr_factor"] for event in past if event["event"] in kinds]
            self.lr_factor = float((factors or [1.0])[-1])
            self.marks = marks_of(past)
            self.history.add_past(past)
            self.vitals.add_past(past)
            self.baselines = baselines_in(past)
            samples = [event for event in past if event["event"] == "SampleCompleted"]
            if samples:
                last = samples[-1]
                self.sample = SampleCompleted(
                    step=int(last["step"]),
                    prompt=str(last["prompt"]),
                    text=str(last["text"]),
                    answer=str(last.get("answer", "")),
                )


def _spent(run: str) -> MinitfError:
    return MinitfError(
        f"The budget of {run} is spent.",
        hint=f"A larger one goes on: minitf train --resume {run} --steps STEPS",
    )


def _as_problem(event: Diverged) -> MinitfError:
    kept = (
        f"The checkpoint of step {event.checkpoint_step} is kept. "
        if event.checkpoint_step is not None
        else ""
    )
    return MinitfError(
        f"The run ended at step {event.step}: {event.what}.",
        hint=f"{kept}Try a lower lr, then press r.",
    )
