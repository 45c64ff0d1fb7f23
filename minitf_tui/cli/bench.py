"""`minitf bench`: ways to decode a model, timed in turns and proved against the plain one."""

from __future__ import annotations

from collections import defaultdict
from statistics import fmean, stdev

from core.config import BenchConfig
from core.events import (
    BenchCell,
    BenchmarkCompleted,
    CellSettled,
    Event,
    RepetitionCompleted,
    ReportFailed,
    SetupProgressed,
    Variant,
)
from minitf_tui import format as fmt
from minitf_tui.cli import bench_report, output
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
    notes=(
        "Lists have commas between: --caches none,static,int8 --depths 64,1024. Every possible "
        "combination is timed, in turns; each must write what the model says without a cache, "
        "and one that does not is not ranked.",
    ),
)


_READ_BY = {"table": bench_report.table, "markdown": bench_report.markdown} | {
    "csv": bench_report.csv_lines
}


def execute(arguments: Arguments) -> int:
    """Benchmark, report, and return the exit code."""
    from core import recipes

    output.prepare_metrics(arguments.get("metrics"))
    bench = BenchConfig(**arguments.among(field_names(BenchConfig())))
    session = recipes.benchmarking(arguments.run, bench, **arguments.among(("device",)))
    watch = Watch(ProgressLine())
    try:
        interruption = drive(session, watch.hear)
    finally:
        watch.line.clear()
    for event in watch.done:
        how = "json" if arguments.get("json") else arguments.get("format", "table")
        if how == "json":
            output.say_json(event.result)
        else:
            title = "" if how == "csv" else f"{escape(event.run)} at step {event.step}\n\n"
            output.say(title + _READ_BY[how](event.result))
        output.keep_metrics(arguments.get("metrics"), "bench", event.result)
    return interruption.exit_code


class Watch:
    """Shows on stderr how the means settle: one line that changes, or a line for each that has."""

    def __init__(self, line: ProgressLine) -> None:
        self.line = line
        self.done: list[BenchmarkCompleted] = []
        self._samples: dict[Variant, list[float]] = defaultdict(list)

    def hear(self, event: Event) -> None:
        """Any event of a benchmark."""
        match event:
            case SetupProgressed():
                self.line.setup(event)
            case RepetitionCompleted():
                self.line.show(self._doing(event))
            case CellSettled() if event.cell.phase == "decode" and not self.line.is_live:
                self.line.note(_settled(event.cell))
            case ReportFailed():
                self.line.note(explain(unsaved(event)))
            case BenchmarkCompleted():
                self.done.append(event)

    def _doing(self, event: RepetitionCompleted) -> str:
        label = event.variant.label
        if event.index < 1:
            warm = ", stable" if event.is_stable else ""
            made = fmt.plural(1 - event.index, "time")
            return f"warming up, {made}: {label}, {fmt.milliseconds(event.decode_ms)}{warm}"
        samples = self._samples[event.variant]
        samples.append(event.decode_ms)
        mean, sd = fmean(samples), stdev(samples) if len(samples) > 1 else 0.0
        settled = ""
        if event.interval_ms:
            low, high = event.interval_ms
            settled = f", mean known within {fmt.percent((high - low) / (high + low))}"
        return f"{event.index}: {label} {fmt.mean_sd(mean, sd)} ms{settled}"


def _settled(cell: BenchCell) -> str:
    times = fmt.mean_sd(cell.mean_ms, cell.sd_ms)
    made = fmt.plural(len(cell.samples_ms), "repetition")
    return f"{cell.variant.label}: {times} ms for {cell.tokens} tokens, {made}"
