"""`minitf train`: from a text to a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import RunConfig, read_toml
from core.config.toml_text import read_file
from core.presets import PRESETS, preset
from minitf_tui.cli import output
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
from minitf_tui.cli.train_report import report_run
from minitf_tui.problems import escape

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
        return read_file(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UsageError(f"The config file {shown} cannot be read: {reason}.") from None
    except UnicodeDecodeError as error:
        raise UsageError(
            f"The config file {shown} is not UTF-8 at byte {error.start}.",
            hint="TOML files are UTF-8 text.",
        ) from None
