"""`minitf plot`: the losses of runs, or a benchmark, in the terminal or in a file."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import RunError
from minitf_tui.cli import output, screen
from minitf_tui.cli.arguments import JSON, Arguments, Command, Flag, UsageError
from minitf_tui.cli.running import SUCCESS
from minitf_tui.problems import escape, quoted

if TYPE_CHECKING:
    from core.store.run import Run
    from minitf_tui.cli.curves import Curves

FORMATS = (".png", ".svg", ".pdf")
LEAST = {"width": 20, "height": 5}
LARGEST = 1000
USUAL_HEIGHT = 20
_OF_LOSS = ("x", "log_y", "smooth")

COMMAND = Command(
    name="plot",
    about="Draw training curves, or the latencies of a run's newest benchmark.",
    operands=("[RUN ...]",),
    flags=(
        Flag("kind", str, "what to draw", choices=("loss", "latency"), default="loss"),
        Flag("out", Path, "picture to write, .png, .svg or .pdf; the terminal when left out"),
        Flag("x", str, "what the losses are drawn along", choices=("step", "tokens", "time")),
        Flag("log-y", bool, "logarithmic losses"),
        Flag("smooth", float, "share of the old in the smoothed loss; 0 is none", "default auto"),
        Flag("width", int, "of the drawing in the terminal", "columns"),
        Flag("height", int, "of the drawing in the terminal", "rows"),
        JSON,
    ),
    notes=(
        "Several runs are laid over each other. Into a pipe or a file the drawing goes as plain "
        "text; --json alone prints its numbers. NO_COLOR=1 leaves the colours out.",
        "--out needs matplotlib: python -m pip install matplotlib",
    ),
)


def execute(arguments: Arguments) -> int:
    """Draw, and say where the picture is."""
    from core.store.find import find_run

    kind, out = arguments.get("kind", "loss"), arguments.get("out")
    _check(arguments, kind, out)
    names = arguments.operands or ("last",)
    runs = [find_run(name, needs_checkpoint=False).run for name in names]
    numbers: Any = _losses(runs, arguments) if kind == "loss" else _newest_benchmark(runs[0])
    if out is not None:
        _write(runs, numbers, arguments, kind, out)
    elif arguments.get("json"):
        key = "runs" if kind == "loss" else "cells"
        output.say_json({"kind": kind, "x": arguments.get("x", "step"), key: numbers})
    else:
        output.say(_drawn(runs, numbers, arguments, kind))
    return SUCCESS


def _check(arguments: Arguments, kind: str, out: Path | None) -> None:
    if out is not None and out.suffix.lower() not in FORMATS:
        raise UsageError(
            f"--out={quoted(str(out))} is not the name of a picture.",
            hint=f"It ends in {', '.join(FORMATS)}.",
        )
    if kind == "latency":
        if len(arguments.operands) > 1:
            raise UsageError("--kind latency draws one run.", hint="Name one, or --kind loss.")
        for key in arguments.among(_OF_LOSS):
            raise UsageError(f"--{COMMAND.flag(key).name} goes with --kind loss only.")
    for key, value in arguments.among(LEAST).items():
        if out is not None:
            raise UsageError(f"--{key} is for the terminal, not for --out.", hint="Leave it out.")
        if not LEAST[key] <= value <= LARGEST:
            raise UsageError(f"--{key}={value} is not between {LEAST[key]} and {LARGEST}.")
    if not 0 <= arguments.get("smooth", 0.0) < 1:
        raise UsageError(
            f"--smooth={arguments.get('smooth'):g} is not in [0, 1).", hint="As in --smooth 0.9."
        )


def _drawn(runs: Sequence[Run], numbers: Any, arguments: Arguments, kind: str) -> str:
    """For the terminal, or for a pipe: as wide as it is, and not higher than can be seen."""
    from minitf_tui.cli import drawing

    seen = screen.look()
    width = arguments.get("width") or min(seen.columns, LARGEST)
    if kind == "latency":
        return drawing.latency(numbers, runs[0].name, seen, width)
    room = seen.rows - 3 - (len(runs) + 2 if len(runs) > 1 else 0)
    height = arguments.get("height") or max(LEAST["height"], min(room, USUAL_HEIGHT))
    size = (width, height)
    x, log_y = arguments.get("x", "step"), bool(arguments.get("log_y"))
    return drawing.loss(numbers, seen, size, x=x, log_y=log_y)


def _write(runs: Sequence[Run], numbers: Any, arguments: Arguments, kind: str, out: Path) -> None:
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError(
            "Pictures are drawn by matplotlib, which is not installed.",
            hint="Install it with: python -m pip install matplotlib",
        )
    from minitf_tui.cli import figures

    if kind == "latency":
        figure = figures.latency(numbers, runs[0].name)
    else:
        x, log_y = arguments.get("x", "step"), bool(arguments.get("log_y"))
        figure = figures.loss(numbers, x=x, log_y=log_y)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        figures.save(figure, out)
    except OSError as error:
        raise output.unwritable(out, error) from error
    names = [run.name for run in runs]
    if arguments.get("json"):
        paths = {"kind": kind, "path": str(out.absolute())}
        output.say_json({"run": names[0], "runs": names, **paths})
    else:
        shown = escape(", ".join(names))
        output.say(f"Drew the {kind} of {shown} in {escape(str(out))}")


def _losses(runs: Sequence[Run], arguments: Arguments) -> list[Curves]:
    from core.store.metrics import read_metrics
    from minitf_tui.cli.curves import curves_of

    found = []
    for run in runs:
        events: list[dict[str, Any]] = read_metrics(run.path)
        if not any(event.get("event") == "StepCompleted" for event in events):
            raise _stepless(run)
        x, keep = arguments.get("x", "step"), arguments.get("smooth")
        found.append(curves_of(run.name, events, x=x, keep=keep))
    return found


def _stepless(run: Run) -> RunError:
    from core.store.run import FACT

    about = run.provenance.get(FACT)
    if about is None:
        hint = f"Go on with it: minitf train --resume {run.name}"
        return RunError(f"The run {run.name} has no steps to draw.", hint=hint)
    source = about.get("from_run", "RUN") if isinstance(about, dict) else "RUN"
    return RunError(
        f"The run {run.name} is quantised and has no steps of its own to draw.",
        hint=f"Draw the run that it was made from: minitf plot {source}",
    )


def _newest_benchmark(run: Run) -> list[dict[str, Any]]:
    """The cells of the newest benchmark."""
    for report in reversed(run.reports("benchmarks")):
        cells = report.get("cells") or report.get("result", {}).get("cells")
        if cells:
            return list(cells)
    raise RunError(
        f"The run {run.name} has no benchmark yet.", hint=f"Make one: minitf bench {run.name}"
    )
