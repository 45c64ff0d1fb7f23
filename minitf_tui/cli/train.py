"""`minitf train`: from a text to a trained model."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import RunConfig, read_toml
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
from core.presets import PRESETS, preset
from minitf_tui import format as fmt
from minitf_tui.cli import output, reports
from minitf_tui.cli import train_lines as told
from minitf_tui.cli.arguments import (
    JSON,
    METRICS,
    Arguments,
    Command,
    Flag,
    UsageError,
    field_names,
    flags_of,
)
from minitf_tui.cli.progress import ProgressLine
from minitf_tui.cli.running import FAULT, drive
from minitf_tui.problems import escape, explain, unsaved

if TYPE_CHECKING:
    from core.recipes import Session

DEFAULT_PRESET = "quick"
BUDGET = ("steps", "seconds", "tokens")
_BESIDE_RESUME = ("resume", "json", "metrics", *BUDGET)
_BESIDE_REPLAY = ("replay", "name", "json", "metrics")

COMMAND = Command(
    name="train",
    about="Train a model on a text; the run can be stopped with Ctrl-C and resumed later.",
    operands=(),
    flags=(
        Flag(
            "preset",
            str,
            "settings to start from",
            choices=tuple(PRESETS),
            default=DEFAULT_PRESET,
        ),
        Flag("config", Path, "TOML file with settings, on top of the preset"),
        Flag("name", str, "name of the new run; made up when left out", metavar="NAME"),
        Flag(
            "resume",
            str,
            "go on with a run; only --steps, --seconds or --tokens may change",
            metavar="RUN",
        ),
        Flag("replay", str, "take a run's recorded steps again, as a new run", metavar="RUN"),
        Flag(
            "fork",
            str,
            "go on from a checkpoint of a run, as a new run with other settings",
            metavar="RUN",
        ),
        Flag(
            "init-from",
            str,
            "begin with the weights, model and tokenizer of a run, for other text or settings",
            metavar="RUN",
        ),
        JSON,
        METRICS,
        *flags_of(preset(DEFAULT_PRESET)),
    ),
    notes=(
        f"Defaults are those of --preset {DEFAULT_PRESET}. Flags win over --config, and --config "
        "over the preset. A budget that is given (steps, seconds, epochs, tokens) lifts the "
        "others. SIGUSR1 saves a checkpoint and training goes on. With --init-from, --preset gives "
        "all but the model.",
    ),
)


def execute(arguments: Arguments) -> int:
    """Train, report, and return the exit code."""
    output.prepare_metrics(arguments.get("metrics"))
    return report_run(_session(arguments), arguments, COMMAND.name)[0]


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


def config_of(arguments: Arguments) -> RunConfig:
    """Preset, then file, then flags.

    Raises:
        MinitfError: a value or the file is not usable.
    """
    config = preset(arguments.get("preset", DEFAULT_PRESET))
    path: Path | None = arguments.get("config")
    if path is not None:
        config = read_toml(_text_of(path), config, source=escape(str(path)))
    return config.with_changes(**arguments.among(field_names(config)))


def _session(arguments: Arguments) -> Session:
    from core import recipes

    if "resume" in arguments.values:
        return recipes.resuming(arguments.values["resume"], **new_budget(arguments))
    if "replay" in arguments.values:
        hint = "A replay takes the same steps again; for other settings start a new run."
        _refuse_others(arguments, _BESIDE_REPLAY, "replayed", hint)
        return recipes.replaying(arguments.values["replay"], name=arguments.get("name"))
    if "fork" in arguments.values:
        changes, name = fork_changes(arguments), arguments.get("name")
        return recipes.forking(arguments.values["fork"], name=name, **changes)
    return recipes.training(
        config_of(arguments),
        name=arguments.get("name"),
        init_from=arguments.get("init_from", ""),
        given=_given(arguments),
    )


def new_budget(arguments: Arguments) -> dict[str, Any]:
    """Beside --resume."""
    hint = "Only --steps, --seconds or --tokens may; for other settings start a new run."
    _refuse_others(arguments, _BESIDE_RESUME, "resumed", hint)
    return arguments.among(BUDGET)


def fork_changes(arguments: Arguments) -> dict[str, Any]:
    """Beside --fork."""
    for key in ("preset", "config", "init_from"):
        if key in arguments.values:
            raise UsageError(
                f"--{COMMAND.flag(key).name} does not go with --fork.",
                hint="A fork has the settings of its run; change some by their flags.",
            )
    return arguments.among(field_names(preset(DEFAULT_PRESET)))


def _given(arguments: Arguments) -> set[str]:
    """Settings that stand in a flag or in the file, not in the preset."""
    from core.config.toml_text import read_tables

    path: Path | None = arguments.get("config")
    tables = {} if path is None else read_tables(_text_of(path))
    return {*arguments.values, *(name for table in tables.values() for name in table)}


def _refuse_others(arguments: Arguments, allowed: tuple[str, ...], what: str, hint: str) -> None:
    for key in arguments.values:
        if key not in allowed:
            flag = COMMAND.flag(key)
            raise UsageError(f"--{flag.name} cannot change when a run is {what}.", hint=hint)


def _text_of(path: Path) -> str:
    shown = escape(str(path))
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UsageError(f"The config file {shown} cannot be read: {reason}.") from None
    except UnicodeDecodeError as error:
        raise UsageError(
            f"The config file {shown} is not UTF-8 at byte {error.start}.",
            hint="TOML files are UTF-8 text.",
        ) from None


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
