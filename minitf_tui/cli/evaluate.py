"""`minitf eval`: how well a model predicts a text."""

from __future__ import annotations

from pathlib import Path

from core.config import CacheConfig, TrainConfig
from core.events import (
    EvaluationCompleted,
    EvaluationProgressed,
    Event,
    ReportFailed,
    SetupProgressed,
)
from minitf_tui import format as fmt
from minitf_tui.cli import output, reports
from minitf_tui.cli.arguments import (
    JSON,
    METRICS,
    Arguments,
    Command,
    Flag,
    field_names,
    flags_of,
)
from minitf_tui.cli.progress import ProgressLine
from minitf_tui.cli.running import drive
from minitf_tui.problems import explain, unsaved

MACHINE = ("device", "dtype", "threads")
"""Settings of the machine, which every job takes."""
MACHINE_FLAGS = flags_of(TrainConfig(steps=1), MACHINE)

COMMAND = Command(
    name="eval",
    about="Score a model on its validation split, or on another text.",
    flags=(
        Flag("text", Path, "UTF-8 file to score instead of the validation split"),
        Flag("stride", int, "tokens between two windows; 0 is the context", "tokens", default=0),
        *flags_of(CacheConfig()),
        JSON,
        METRICS,
        *MACHINE_FLAGS,
    ),
    notes=(
        "Each token is scored exactly once. A smaller stride gives each more text before it, "
        "and takes longer. With --cache the text is read through that KV cache, and the report",
        "says what it costs; only a score without one is kept with the run.",
    ),
)


def execute(arguments: Arguments) -> int:
    """Evaluate, report, and return the exit code."""
    from core import recipes

    given = arguments.among(("text", "stride"))
    if cache := arguments.among(field_names(CacheConfig())):
        given["cache"] = CacheConfig(**cache)
    output.prepare_metrics(arguments.get("metrics"))
    session = recipes.evaluation(
        arguments.run,
        **given,
        **arguments.among(MACHINE),
    )
    line = ProgressLine()
    done: list[EvaluationCompleted] = []

    def listen(event: Event) -> None:
        match event:
            case SetupProgressed():
                line.setup(event)
            case EvaluationProgressed():
                line.show(_progress(line, event))
            case ReportFailed():
                line.note(explain(unsaved(event)))
            case EvaluationCompleted():
                done.append(event)

    try:
        interruption = drive(session, listen)
    finally:
        line.clear()
    for event in done:
        if arguments.get("json"):
            output.say_json(event.result)
        else:
            output.say(reports.evaluation(event))
        output.keep_metrics(arguments.get("metrics"), "eval", event.result)
    return interruption.exit_code


def _progress(line: ProgressLine, event: EvaluationProgressed) -> str:
    share = event.tokens / event.of if event.of else 0.0
    amount = f"{fmt.count(event.tokens)} of {fmt.count(event.of)} tokens"
    return f"{line.bar(share)}  {amount}  loss {fmt.loss(event.loss)}"
