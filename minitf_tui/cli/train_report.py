"""A training run on the command line: progress while it trains, words or JSON when it is over."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.events import (
    AlertRaised,
    BaselinePassed,
    BaselinesCounted,
    CheckpointFailed,
    CheckpointSaved,
    Controlled,
    Diverged,
    Event,
    ReturnedToCheckpoint,
    RunFinished,
    RunStarted,
    SampleCompleted,
    SetupProgressed,
    StepCompleted,
    TrainResult,
    ValidationCompleted,
)
from minitf_tui import format as fmt
from minitf_tui.cli import output, reports
from minitf_tui.cli import train_lines as told
from minitf_tui.cli.arguments import Arguments
from minitf_tui.cli.progress import ProgressLine
from minitf_tui.cli.running import FAULT, drive
from minitf_tui.problems import escape, explain, unsaved

if TYPE_CHECKING:
    from core.recipes import Session


def report_run(
    session: Session, arguments: Arguments, command: str
) -> tuple[int, RunFinished | None]:
    """Drive a run to its end and report it as `--json` and `--metrics` ask, the latter under the
    command's name; returns the exit code, and how it ended if it ended well."""
    listener = TrainListener(ProgressLine())
    try:
        interruption = drive(session, listener)
    finally:
        listener.line.clear()
    if listener.diverged is not None:
        output.tell(_divergence(listener.diverged))
        return FAULT, None
    if listener.finished is not None:
        if arguments.get("json"):
            output.say_json(listener.finished.result)
        else:
            output.say(listener.report())
        output.keep_metrics(arguments.get("metrics"), command, listener.finished.result)
    return interruption.exit_code, listener.finished


def _divergence(event: Diverged) -> str:
    kept = event.checkpoint_step
    rest = "" if kept is None else f"The checkpoint of step {kept} stays. "
    return (
        f"minitf: Training ended at step {event.step}: {escape(event.what)}.\n"
        f"{rest}Try a lower --lr, or --grad-clip 1."
    )


class TrainListener:
    """Turns events of training into progress, and keeps what the closing report needs."""

    def __init__(self, line: ProgressLine) -> None:
        self.line = line
        self.started: RunStarted | None = None
        self.sample: SampleCompleted | None = None
        self.diverged: Diverged | None = None
        self.finished: RunFinished | None = None
        self._val_loss: float | None = None
        self._accuracy: float | None = None
        self._counted: BaselinesCounted | None = None
        self._passed: list[BaselinePassed] = []

    def __call__(self, event: Event) -> None:
        """Take note of `event`."""
        if self._passed and not isinstance(event, BaselinePassed):
            self.line.note(told.passed(self._passed))
            self._passed = []
        match event:
            case StepCompleted():
                self.line.show(self._step(event))
            case ValidationCompleted():
                self._val_loss = event.loss
                self._accuracy = event.accuracy
                if not self.line.is_live:
                    self.line.note(told.validation(event, self.started))
            case SetupProgressed():
                self.line.setup(event)
            case RunStarted():
                self.started = event
                self.line.note(told.start(event))
                if event.floor_loss is not None:
                    self.line.note(told.floor(event))
            case BaselinesCounted():
                self._counted = event
                self.line.note(told.baselines(event, self.started))
            case BaselinePassed():
                self._passed.append(event)
            case SampleCompleted():
                self.sample = event
            case CheckpointSaved():
                pass
            case ReturnedToCheckpoint():
                self.line.note(told.way_back(event))
            case AlertRaised() if event.kind != "nan":  # of which more is said in the end
                self.line.note(told.alert(event))
            case Controlled():
                self._follow(event)
            case CheckpointFailed():
                self.line.note(" ".join(explain(unsaved(event)).split("\n")))
            case Diverged():
                self.diverged = event
            case RunFinished():
                self.finished = event

    def _follow(self, event: Controlled) -> None:
        """Say what somebody commanded, and count to the budget that holds now."""
        self.line.note(told.command(event))
        if self.started is not None and event.action == "budget":
            self.started = replace(self.started, steps=event.steps, seconds=event.seconds)

    def report(self) -> str:
        """The closing words of a run that ended well."""
        assert self.finished is not None
        result = self.finished.result
        name = escape(_name_to_type(result))
        parts = [reports.training(result, self._counted.baselines if self._counted else ())]
        if result.agreement is not None:
            parts.insert(0, reports.agreement(result.agreement))
        if self.finished.reason == "finished already":
            parts.insert(
                0, "This run is finished already; a larger --steps, --seconds or --tokens goes on."
            )
        elif self.finished.reason == "stopped":
            parts.insert(0, f"Stopped and saved. Go on with: minitf train --resume {name}")
        if self.sample is not None:
            parts.append(reports.sample(self.sample))
        parts.append(reports.next_commands(name))
        return "\n\n".join(parts)

    def _step(self, event: StepCompleted) -> str:
        share, left = self._budget(event)
        parts = [self.line.bar(share), f"step {event.step}", f"loss {fmt.loss(event.loss)}"]
        if self._val_loss is not None:
            parts.append(f"val {fmt.loss(self._val_loss)}")
            if self.started is not None and self.started.floor_loss is not None:
                parts.append(f"floor {fmt.difference(self._val_loss, self.started.floor_loss)}")
        if self._accuracy is not None:
            parts.append(f"{fmt.percent(self._accuracy)} solved")
        parts.append(f"{fmt.count(event.tokens_per_s)} tok/s")
        if left is not None:
            parts.append(f"{fmt.seconds(left)} left")
        return "  ".join(parts)

    def _budget(self, event: StepCompleted) -> tuple[float, float | None]:
        """How much of the budget is spent, as a share, and the seconds that are left."""
        shares = []
        if self.started is not None and self.started.steps:
            shares.append(event.step / self.started.steps)
        if self.started is not None and self.started.seconds:
            shares.append(event.train_s / self.started.seconds)
        share = min(max(shares, default=0.0), 1.0)
        return share, event.train_s * (1 / share - 1) if share > 0 else None


def _name_to_type(result: TrainResult) -> str:
    """What names the run in the next command, which may lack our MINITF_HOME."""
    if not os.environ.get("MINITF_HOME"):
        return result.run
    path = Path(result.path)
    is_below = path.is_relative_to(Path.cwd())
    return shlex.quote(str(path.relative_to(Path.cwd()) if is_below else path))
