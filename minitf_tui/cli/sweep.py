"""`minitf sweep`: a grid or a sample of settings, trained one after another, and their table."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from core.events import (
    Event,
    ScalingFit,
    SetupProgressed,
    StepCompleted,
    Sweep,
    SweepCompleted,
    SweepPlanned,
    SweepRow,
    SweepRunBegun,
    SweepRunEnded,
    SweepSetting,
)
from minitf_tui import format as fmt
from minitf_tui.cli import output, reports
from minitf_tui.cli.arguments import JSON, METRICS, Arguments, Command, Flag
from minitf_tui.cli.progress import ProgressLine
from minitf_tui.cli.running import FAULT, drive
from minitf_tui.problems import escape

FORMATS = ("table", "markdown", "csv", "json")

COMMAND = Command(
    name="sweep",
    about="Train what a file asks, one run after another, and rank the settings.",
    operands=("FILE.toml",),
    flags=(
        Flag("name", str, "of the sweep; otherwise that of the file", metavar="NAME"),
        Flag("list", bool, "train nothing; print how its runs stand"),
        Flag("fit", bool, "fit loss = E + A/params^alpha + B/tokens^beta to the finished runs"),
        Flag("format", str, "how the result is printed", choices=FORMATS, default="table"),
        JSON,
        METRICS,
    ),
    notes=(
        "FILE.toml has base (a preset, file or run), seeds, [set] for all runs, and [grid] of "
        "lists, or [random] with n, seed and [random.ranges] of lists and ranges as in "
        '"1e-4..1e-2 log":',
        '  base = "quick"',
        "  seeds = 3",
        "  [set]",
        "  seconds = 30",
        "  [grid]",
        "  lr = [3e-3, 6e-3]",
        "  n_layers = [1, 2]",
        "It can be stopped at any moment; the same command goes on. Its runs are NAME-001, ... A "
        "run that diverges, or cannot be trained, is a row of the table and not its end.",
    ),
)


def execute(arguments: Arguments) -> int:
    """Train, rank, report, and return the exit code."""
    from core import recipes

    output.prepare_metrics(arguments.get("metrics"))
    session = recipes.sweeping(
        arguments.operands[0],
        name=arguments.get("name"),
        trains=not arguments.get("list", False),
        fits=bool(arguments.get("fit")),
    )
    watch = Watch(ProgressLine())
    try:
        interruption = drive(session, watch.hear)
    finally:
        watch.line.clear()
    how = "json" if arguments.get("json") else arguments.get("format", "table")
    for result in watch.done:
        output.say_json(result) if how == "json" else output.say(_PRINTED[how](result))
        output.keep_metrics(arguments.get("metrics"), COMMAND.name, result)
        if interruption.signal is not None and (left := _left(result.rows)):
            words = f"Stopped with {fmt.plural(left, 'run')} to train; the same command goes on."
            output.tell(words)
        elif result.rows and all(row.state == "failed" for row in result.rows):
            return FAULT
    return interruption.exit_code


class Watch:
    """Shows on stderr which run is being trained, and a line for each that is over."""

    def __init__(self, line: ProgressLine) -> None:
        self.line = line
        self.done: list[Sweep] = []
        self._here = ""

    def hear(self, event: Event) -> None:
        """Any event of a sweep."""
        match event:
            case SetupProgressed():
                self.line.setup(event)
            case SweepPlanned():
                left = _left(event.rows)
                of = fmt.plural(len(event.rows), "run")
                self.line.note(f"sweep {event.name}: {of}, {left} to train")
            case SweepRunBegun():
                self._here = f"{event.index}/{event.of} {event.row.run}"
            case StepCompleted():
                loss = fmt.loss(event.loss)
                self.line.show(f"{self._here}: step {fmt.whole(event.step)}, loss {loss}")
            case SweepRunEnded():
                self.line.note(f"{self._here}: {_outcome(event.row)}")
            case SweepCompleted():
                self.done.append(event.result)


def _left(rows: Sequence[SweepRow]) -> int:
    return sum(row.state not in ("finished", "diverged") for row in rows)


def _outcome(row: SweepRow) -> str:
    about = shown(row.changes)
    if row.state == "finished":
        return f"{about}: val {fmt.loss(row.val_loss)} in {fmt.seconds(row.train_s)}"
    return f"{about}: {row.state}{f', {row.remark}' if row.remark else ''}"


def shown(changes: Sequence[tuple[str, Any]]) -> str:
    """`lr 0.001, d_model 64`."""
    return ", ".join(f"{name} {_value(value)}" for name, value in changes)


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def cells(result: Sweep) -> list[tuple[str, ...]]:
    """The table, its head first: a row for each setting, the lowest loss first."""
    names = list(dict.fromkeys(n for row in result.rows for n, _ in row.changes))
    head = (*names, "loss", "sd", "bits/byte", "seeds", "params", "time", "state", "runs")
    return [head, *(_cells(setting, names) for setting in result.settings)]


def _cells(setting: SweepSetting, names: Sequence[str]) -> tuple[str, ...]:
    values, runs = dict(setting.changes), setting.runs
    return (
        *(_value(values.get(name, fmt.NONE)) for name in names),
        fmt.loss(setting.val_loss),
        fmt.loss(setting.val_loss_sd),
        fmt.loss(setting.bits_per_byte),
        f"{setting.finished}/{len(runs)}",
        fmt.count(setting.params or None),
        fmt.seconds(setting.train_s),
        setting.state,
        runs[0] if len(runs) == 1 else f"{runs[0]} ... {runs[-1]}",
    )


def table(result: Sweep) -> str:
    """Aligned columns, the law under them, and why runs failed."""
    rows = [tuple(map(escape, row)) for row in cells(result)]
    parts = [reports.columns(rows, left=0)]
    remarks = [f"{row.run}: {row.state}, {row.remark}" for row in result.rows if row.remark]
    if remarks:
        parts.append("\n".join(map(escape, remarks)))
    if result.fit is not None:
        parts.append(law(result.fit))
    return "\n\n".join(parts)


def law(fit: ScalingFit) -> str:
    """A scaling law with its intervals, and what of it means little."""

    def plus(value: float, ci95: tuple[float, float]) -> str:
        return f"{value:.3f} (95 % {ci95[0]:.3f} to {ci95[1]:.3f})"

    rows = [
        ("E", f"{plus(fit.e, fit.e_ci95)} nats per token"),
        ("alpha", plus(fit.alpha, fit.alpha_ci95)),
        ("beta", plus(fit.beta, fit.beta_ci95)),
        ("A, B", f"{fit.a:.4g}, {fit.b:.4g}"),
        ("runs", f"{fit.runs}; the worst is off by {fmt.percent(fit.largest_error)}"),
    ]
    title = "loss = E + A/params^alpha + B/tokens^beta"
    return "\n\n".join([reports.titled(title, rows), *reports.remarks(fit.warnings)])


def markdown(result: Sweep) -> str:
    """The same for a page."""
    head, *rows = cells(result)
    lines = [head, tuple("---" for _ in head), *rows]
    text = "\n".join(f"| {' | '.join(map(escape, line))} |" for line in lines)
    return f"{text}\n\n{law(result.fit)}" if result.fit is not None else text


def csv_lines(result: Sweep) -> str:
    """A line for each run, in full precision."""
    names = list(dict.fromkeys(n for row in result.rows for n, _ in row.changes))
    figures = ("seed", "state", "val_loss", "bits_per_byte", "steps", "tokens", "params", "train_s")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("run", *names, *figures, "remark"))
    for row in result.rows:
        values = dict(row.changes)
        writer.writerow(
            (
                row.run,
                *(values.get(name, "") for name in names),
                *(getattr(row, name) for name in figures),
                escape(row.remark),
            )
        )
    return text.getvalue().rstrip("\n")


_PRINTED = {"table": table, "markdown": markdown, "csv": csv_lines}
