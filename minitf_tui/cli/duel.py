"""`minitf duel`: two configs that learn in lockstep on the same batches."""

from __future__ import annotations

from typing import Any

from core.errors import RunError
from core.events import (
    Duel,
    DuelCompleted,
    DuelStarted,
    Event,
    ReportFailed,
    SetupProgressed,
    SideTold,
    StepDiffered,
    ValidationDiffered,
)
from minitf_tui import duel_readings as readings
from minitf_tui import format as fmt
from minitf_tui.cli import output, reports
from minitf_tui.cli.arguments import JSON, METRICS, Arguments, Command, Flag
from minitf_tui.cli.progress import ProgressLine
from minitf_tui.cli.running import SUCCESS, drive
from minitf_tui.cli.settings_given import settings_given
from minitf_tui.problems import escape, explain, unsaved

COMMAND = Command(
    name="duel",
    about="Let two configs learn in lockstep on the same batches, and tell their difference.",
    operands=("A", "[B]"),
    flags=(
        Flag("steps", int, "budget of both", unit="steps"),
        Flag("seconds", float, "budget of pure training time, of each", unit="s"),
        Flag("seeds", int, "repeat it with so many seeds", default=1),
        Flag("set", tuple, "change a setting of both", metavar="NAME=VALUE"),
        Flag("set-b", tuple, "change a setting of B", metavar="NAME=VALUE"),
        Flag("name", str, "the runs become NAME-a and NAME-b", metavar="NAME"),
        Flag("show", bool, "show the duel that is kept with the run A"),
        JSON,
        METRICS,
    ),
    notes=(
        "A and B are TOML files, presets, or runs whose settings are meant. Without B it is A "
        "with --set-b. Differences are B's loss minus A's: below zero B is better.",
        "An interval of one seed says what these two runs differ by; whether the settings do, "
        "--seeds 3 tells. Both stay as runs, and each keeps the difference as it grew: --show with "
        "the name of one tells it again, --json all its steps. A duel that was stopped is not "
        "gone on with as a pair; start it again.",
    ),
)


def execute(arguments: Arguments) -> int:
    """Let them fight, report, and return the exit code."""
    from core import recipes

    output.prepare_metrics(arguments.get("metrics"))
    if arguments.get("show"):
        return show(arguments)
    a, *rest = arguments.operands
    both: dict[str, Any] = settings_given(arguments.get("set", ()), "--set")
    session = recipes.dueling(
        a,
        rest[0] if rest else None,
        changes=both | arguments.among(("steps", "seconds")),
        changes_b=settings_given(arguments.get("set_b", ()), "--set-b"),
        **arguments.among(("name", "seeds")),
    )
    watch = Watch(ProgressLine())
    try:
        interruption = drive(session, watch.hear)
    finally:
        watch.line.clear()
    for result in watch.done:
        output.say_json(result) if arguments.get("json") else output.say(report(result))
        output.keep_metrics(arguments.get("metrics"), COMMAND.name, result)
    return interruption.exit_code


class Watch:
    """Shows on stderr how it stands: a line that changes, and one for each validation."""

    def __init__(self, line: ProgressLine) -> None:
        self.line = line
        self.done: list[Duel] = []
        self._started: DuelStarted | None = None

    def hear(self, event: Event) -> None:
        """Any event of a duel."""
        match event:
            case SetupProgressed():
                self.line.setup(event)
            case SideTold(event=SetupProgressed() as told):
                self.line.setup(told)
            case SideTold() if remark := readings.remark_of(event.side, event.event):
                self.line.note(remark)
            case DuelStarted():
                self._started = event
                if event.of > 1:
                    self.line.note(f"round {event.round} of {event.of}, seed {event.seed}")
            case ReportFailed():
                self.line.note(explain(unsaved(event)))
            case StepDiffered():
                self.line.show(self._step(event))
            case ValidationDiffered():
                self.line.note(readings.validation_line(event))
            case DuelCompleted():
                self.done.append(event.result)

    def _step(self, event: StepDiffered) -> str:
        assert self._started is not None
        bar = self.line.bar(readings.share(self._started, [event]) or 0.0)
        return f"{bar} step {fmt.whole(event.step)}  {readings.standing(event)}"


def show(arguments: Arguments) -> int:
    """The newest duel that is kept with a run.

    Raises:
        RunError: there is no such run, or none is kept with it.
    """
    from core.store.duels import last_duel
    from core.store.find import find_run

    run = find_run(arguments.run, needs_checkpoint=False).run
    kept = last_duel(run)
    if kept is None:
        raise RunError(
            f"No duel is kept with the run {run.name}.", hint="minitf duel A B begins one."
        )
    if arguments.get("json"):
        output.say_json(kept)
    else:
        rows = [(name, escape(value)) for name, value in readings.kept_rows(kept)]
        heads = f"{escape(readings.title(kept))}\n{escape(kept.sentence)}"
        output.say(f"{heads}\n\n{reports.titled('Duel', rows)}")
    output.keep_metrics(arguments.get("metrics"), COMMAND.name, kept)
    return SUCCESS


def report(result: Duel) -> str:
    """The sentence first, then each seed."""
    parts = [f"{escape(readings.title(result))}\n{escape(result.sentence)}"]
    for found in result.rounds:
        rows = [(name, escape(value)) for name, value in readings.round_rows(found)]
        parts.append(reports.titled(f"Seed {found.seed}", rows))
    return "\n\n".join(parts)
