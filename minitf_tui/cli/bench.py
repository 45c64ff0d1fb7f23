"""`minitf bench`: ways to decode a model, timed in turns and proved against the plain one."""

from __future__ import annotations

from core.config import BenchConfig
from core.events import (
    BenchmarkCompleted,
    Event,
    RepetitionCompleted,
    ReportFailed,
    SetupProgressed,
)
from minitf_tui import format as fmt
from minitf_tui.cli import output, reports
from minitf_tui.cli.arguments import JSON, METRICS, Arguments, Command, Flag, field_names, flags_of
from minitf_tui.cli.evaluate import MACHINE_FLAGS
from minitf_tui.cli.progress import ProgressLine
from minitf_tui.cli.running import drive
from minitf_tui.problems import escape, explain, unsaved

DEVICE = next(flag for flag in MACHINE_FLAGS if flag.key == "device")
FORMATS = ("table", "markdown", "csv", "json")
FORMAT = Flag("format", str, "how the result is printed", choices=FORMATS, default="table")

COMMAND = Command(
    name="bench",
    about="Time ways to decode a model, in turns: with and without its KV cache, and more.",
    flags=(*flags_of(BenchConfig()), FORMAT, JSON, METRICS, DEVICE),
    notes=("Both must choose the same tokens, and the report says whether they did.",),
)


def execute(arguments: Arguments) -> int:
    """Benchmark, report, and return the exit code."""
    from core import recipes

    output.prepare_metrics(arguments.get("metrics"))
    bench = BenchConfig(**arguments.among(field_names(BenchConfig())))
    session = recipes.benchmarking(arguments.run, bench, **arguments.among(("device",)))
    line = ProgressLine()
    done: list[BenchmarkCompleted] = []

    def listen(event: Event) -> None:
        match event:
            case SetupProgressed():
                line.setup(event)
            case RepetitionCompleted():
                _show(line, event, bench.reps)
            case ReportFailed():
                line.note(explain(unsaved(event)))
            case BenchmarkCompleted():
                done.append(event)

    try:
        interruption = drive(session, listen)
    finally:
        line.clear()
    for event in done:
        if arguments.get("json") or arguments.get("format") == "json":
            output.say_json(event.result)
        else:
            title = f"{escape(event.run)} at step {event.step}"
            output.say(f"{title}\n\n{reports.benchmark(event.result)}")
        output.keep_metrics(arguments.get("metrics"), "bench", event.result)
    return interruption.exit_code


def _show(line: ProgressLine, event: RepetitionCompleted, reps: int) -> None:
    turn = f"repetition {event.index} of {reps}" if event.index > 0 else "warm-up"
    times = f"prefill {fmt.milliseconds(event.prefill_ms)}"
    words = f"{event.variant.label}, {turn}: {times}, decode {fmt.milliseconds(event.decode_ms)}"
    if line.is_live:
        line.show(words, now=True)
    else:
        line.note(words)
