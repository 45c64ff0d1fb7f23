"""`minitf plot`: a run's losses, or its benchmark, as a picture in a file."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import RunError
from minitf_tui.cli import output
from minitf_tui.cli.arguments import JSON, Arguments, Command, Flag, UsageError
from minitf_tui.cli.running import SUCCESS
from minitf_tui.problems import escape, quoted

if TYPE_CHECKING:
    from core.store.run import Run

FORMATS = (".png", ".svg", ".pdf")

COMMAND = Command(
    name="plot",
    about="Draw a run's training curves, or the latencies of its newest benchmark.",
    flags=(
        Flag("kind", str, "what to draw", choices=("loss", "latency"), default="loss"),
        Flag(
            "out",
            Path,
            "picture to write, .png, .svg or .pdf; plot_KIND.png in this folder when left out",
        ),
        JSON,
    ),
    notes=("Needs matplotlib: python -m pip install matplotlib",),
)


def execute(arguments: Arguments) -> int:
    """Draw the picture and say where it is."""
    from core.store.find import find_run

    kind = arguments.get("kind", "loss")
    out: Path = arguments.get("out", Path(f"plot_{kind}.png"))
    if out.suffix.lower() not in FORMATS:
        raise UsageError(
            f"--out={quoted(str(out))} is not the name of a picture.",
            hint=f"It ends in {', '.join(FORMATS)}.",
        )
    run = find_run(arguments.run, needs_checkpoint=False).run
    numbers = _losses(run) if kind == "loss" else _newest_benchmark(run)
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError(
            "Pictures are drawn by matplotlib, which is not installed.",
            hint="Install it with: python -m pip install matplotlib",
        )
    from minitf_tui.cli import figures

    draw = figures.loss if kind == "loss" else figures.latency
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        figures.save(draw(numbers, run.name), out)
    except OSError as error:
        raise output.unwritable(out, error) from error
    if arguments.get("json"):
        output.say_json({"run": run.name, "kind": kind, "path": str(out.absolute())})
    else:
        output.say(f"Drew the {kind} of {escape(run.name)} in {escape(str(out))}")
    return SUCCESS


def _losses(run: Run) -> list[dict[str, Any]]:
    from core.store.metrics import read_metrics

    events: list[dict[str, Any]] = read_metrics(run.path)
    if not any(event.get("event") == "StepCompleted" for event in events):
        raise RunError(
            f"The run {run.name} has no steps to draw.",
            hint=f"Go on with it: minitf train --resume {run.name}",
        )
    return events


def _newest_benchmark(run: Run) -> list[dict[str, Any]]:
    """The cells of the newest benchmark."""
    for report in reversed(run.reports("benchmarks")):
        cells = report.get("cells") or report.get("result", {}).get("cells")
        if cells:
            return list(cells)
    raise RunError(
        f"The run {run.name} has no benchmark yet.", hint=f"Make one: minitf bench {run.name}"
    )
