"""`minitf forecast`: what a run would take and learn, before it begins."""

from __future__ import annotations

import time

from core.events import Forecast, ForecastCompleted
from core.presets import preset
from minitf_tui import format as fmt
from minitf_tui.cli import output, reports, train
from minitf_tui.cli.arguments import JSON, Arguments, Command, flags_of
from minitf_tui.cli.running import conclude
from minitf_tui.problems import escape
from minitf_tui.standing import final_loss

_OF_TRAIN = ("preset", "config", "resume", "fork")

COMMAND = Command(
    name="forecast",
    about="Tell what minitf train with the same flags would take and learn, from 3 s of its steps.",
    operands=(),
    flags=(
        *(flag for flag in train.COMMAND.flags if flag.name in _OF_TRAIN),
        JSON,
        *flags_of(preset(train.DEFAULT_PRESET)),
    ),
    notes=(
        "No run is kept of it, only what the next one finds again: the text's tokens, and which way"
        " of training is fastest. The final loss is a guess: from a finished run on the same text,"
        " where there is one, else by a law that was fitted to small runs. With --resume or --fork"
        " it tells what is still to come, and the loss at the end.",
    ),
)


def execute(arguments: Arguments) -> int:
    """Measure, tell, and return the exit code."""
    from core import recipes

    def tell(result: Forecast) -> None:
        if arguments.get("json"):
            output.say_json(result)
        else:
            output.say(report(result))

    given = arguments.values
    start_s = time.process_time()  # Python's start and imports, near enough to the clock's
    if "resume" in given:
        budget = train.new_budget(arguments)
        session = recipes.forecasting_rest(given["resume"], budget, start_s=start_s)
    elif "fork" in given:
        changes = train.fork_changes(arguments)
        session = recipes.forecasting_rest(given["fork"], changes, is_fork=True, start_s=start_s)
    else:
        session = recipes.forecasting(train.config_of(arguments), start_s=start_s)
    return conclude(session, ForecastCompleted, tell)


def report(result: Forecast) -> str:
    """The figures of a forecast, as aligned pairs."""
    step = f"{fmt.mean_sd(result.step_ms, result.step_ms_sd)} ms"
    memory = fmt.size_bytes(result.peak_bytes)
    if result.process_bytes is not None:
        memory = f"{fmt.size_bytes(result.process_bytes)} in all, {memory} of tensors"
    rows = [
        ("in all", f"{fmt.seconds(result.total_s)}, {fmt.seconds(result.setup_s)} of it set-up"),
        ("training", f"{fmt.seconds(result.train_s)}, {fmt.whole(result.steps)} steps of {step}"),
        ("tokens", f"{fmt.count(result.tokens)}, {fmt.count(result.tokens_per_s)} tok/s"),
        ("parameters", fmt.whole(result.n_params)),
        ("memory", memory),
        ("on disk", f"{fmt.size_bytes(result.disk_bytes)} of checkpoints"),
        ("final loss", escape(final_loss(result.final_loss))),
    ]
    return reports.titled("Forecast", rows)
