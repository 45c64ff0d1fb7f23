"""`minitf presets`: the named configs, and each as a file to start one's own from."""

from __future__ import annotations

import dataclasses
from typing import Any

from core.config import RunConfig, write_toml
from core.presets import ABOUT, PRESETS, preset
from minitf_tui import format as fmt
from minitf_tui.cli import output, reports
from minitf_tui.cli.arguments import JSON, Arguments, Command, UsageError, nearest
from minitf_tui.cli.running import SUCCESS
from minitf_tui.problems import quoted

ACTIONS = ("list", "show")

COMMAND = Command(
    name="presets",
    about="List the presets (list, the default), or print one as TOML (show PRESET).",
    operands=("[list|show]", "[PRESET]"),
    flags=(JSON,),
    notes=(
        "A file of your own:  minitf presets show quick > mine.toml",
        "                     minitf train --config mine.toml",
    ),
)


def execute(arguments: Arguments) -> int:
    """Do what the first word says."""
    action, name = (*arguments.operands, "", "")[:2]
    if action not in ("", *ACTIONS):
        hint = nearest(action, ACTIONS) or f"There are {' and '.join(ACTIONS)}."
        raise UsageError(f"minitf presets cannot {quoted(action)}.", hint=hint)
    as_json = bool(arguments.get("json"))
    if action == "show":
        return _show(name, as_json)
    if name:
        raise UsageError(
            f"minitf presets list takes no preset: {quoted(name)}.",
            hint="Try minitf presets show PRESET.",
        )
    if as_json:
        output.say_json({"presets": [_figures(name) for name in PRESETS]})
    else:
        output.say(_list())
    return SUCCESS


def _show(name: str, as_json: bool) -> int:
    if not name:
        raise UsageError(
            "minitf presets show needs a PRESET.", hint=f"There are {', '.join(PRESETS)}."
        )
    config = preset(name)
    if as_json:
        output.say_json({**_figures(name), "config": config.to_dict()})
    else:
        output.say(write_toml(config), end="")
    return SUCCESS


def _figures(name: str) -> dict[str, Any]:
    from core import recipes

    config = preset(name)
    train = config.train
    return {
        "name": name,
        "about": ABOUT[name],
        "corpus": config.text.corpus,
        "context": train.context,
        "steps": train.steps,
        "seconds": train.seconds,
        "epochs": train.epochs,
        "tokens": train.tokens,
        **dataclasses.asdict(recipes.estimate(config)),
    }


def _list() -> str:
    head = ("preset", "parameters", "context", "memory", "budget")
    rows = [head]
    for name in PRESETS:
        figures = _figures(name)
        rows.append(
            (
                name,
                fmt.count(figures["n_params"]),
                str(figures["context"]),
                fmt.size_bytes(figures["training_bytes"]),
                budget(preset(name)),
            )
        )
    about = reports.pairs(ABOUT.items())
    return f"{reports.columns(rows, left=1)}\n\n{about}\n\nShow one: minitf presets show PRESET"


def budget(config: RunConfig) -> str:
    """What ends a run: the nearest of the limits that are on."""
    train = config.train
    limits = [
        fmt.plural(train.steps, "step") if train.steps else "",
        fmt.seconds(train.seconds) if train.seconds else "",
        f"{train.epochs:g} epochs" if train.epochs else "",
        f"{fmt.count(train.tokens)} tokens" if train.tokens else "",
    ]
    return " or ".join(limit for limit in limits if limit) or "untrained"
