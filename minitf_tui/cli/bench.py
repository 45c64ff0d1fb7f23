"""`minitf bench`: real generation with and without the KV cache, timed and proved equal."""

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
from minitf_tui.cli.arguments import JSON, METRICS, Arguments, Command, field_names, flags_of
from minitf_tui.cli.evaluate import MACHINE, MACHINE_FLAGS
from minitf_tui.cli.progress import ProgressLine
from minitf_tui.cli.running import drive
from minitf_tui.problems import escape, explain, unsaved

COMMAND = Command(
    name="bench",
    about="Time a model's generation with and without its KV cache.",
    flags=(*flags_of(BenchConfig()), JSON, METRICS, *MACHINE_FLAGS),
    notes=("Both must choose the same tokens, and the report says whether they did.",),
)


def execute(arguments: Arguments) -> int:
    """Benchmark, report, and return the exit code."""
    from core import recipes

    output.prepare_metrics(arguments.get("metrics"))
    bench = BenchConfig(**arguments.among(field_names(BenchConfig())))
    session = recipes.benchmarking(arguments.run, bench, **arguments.among(MACHINE))
    line = ProgressLine()
    done: list[BenchmarkCompleted] = []

    def listen(event: Event) -> None:
        match event:
            case SetupProgressed():
                line.setup(event)
            case RepetitionCompleted():
                _show(line, event)
            case ReportFailed():
                line.note(explain(unsaved(event)))
            case BenchmarkCompleted():
                done.append(event)

    try:
        interruption = drive(session, listen)
    finally:
        line.clear()
    for event in done:
        if arguments.get("json"):
            output.say_json(event.result)
        else:
            title = f"{escape(event.run)} at step {event.step}"
            output.say(f"{title}\n\n{reports.benchmark(event.result)}")
        output.keep_metrics(arguments.get("metrics"), "bench", event.result)
    return interruption.exit_code


def _show(line: ProgressLine, event: RepetitionCompleted) -> None:
    cache = fmt.CACHES[event.cache]
    turn = f"repetition {event.index} of {event.of}" if event.index > 0 else "warm-up"
    times = f"prefill {fmt.milliseconds(event.prefill_ms)}"
    words = f"{cache}, {turn}: {times}, decode {fmt.milliseconds(event.decode_ms)}"
    if line.is_live:
        line.show(words, now=True)
    else:
        line.note(words)
