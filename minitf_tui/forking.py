"""A fork in words: `500 lr=0.0003 steps=2000` goes on from step 500 with those settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from core.config import RunConfig
from core.errors import ConfigError, did_you_mean
from core.fields import flag_fields
from minitf_tui.run_list import RunDetails
from minitf_tui.widgets.form import items_of
from minitf_tui.widgets.words_box import WordsBox

WHY_THESE = "A run keeps its last two and its best; the others are gone."
Fork = Callable[[str, dict[str, Any]], object]


def fork_box(about: RunDetails, fork: Fork) -> WordsBox:
    """Asks for the words, and hands `NAME@STEP` and the changes to `fork`."""
    run, steps = about.run, about.checkpoints
    at = str(steps[-1]) if steps else ""
    help = (
        f"A new run with the steps, weights and moments of {run.name} until a checkpoint, and "
        "other settings from there: STEP, then settings of training, as in\n"
        f"  {at or 'STEP'} lr=0.0003 steps=2000\n"
        f"Checkpoints: {kept_steps(steps, about.best_step)}. {WHY_THESE}\n\n"
        "Enter starts it in the Train pane, Esc leaves."
    )

    def use(words: str) -> None:
        step, changes = read_fork(words, run.config)
        if step.isdecimal() and int(step) not in steps:
            raise ConfigError(
                f"{run.name} has no checkpoint of step {step}.",
                hint=f"{WHY_THESE} Left are: {kept_steps(steps, about.best_step)}.",
            )
        fork(f"{run.name}@{step}", changes)

    return WordsBox(f"fork {run.name}", f"{at} ", help, use)


def kept_steps(steps: Sequence[int], best: int | None) -> str:
    """`500, 1500, 2000 (best)`."""
    words = [f"{step} (best)" if step == best else str(step) for step in steps]
    return ", ".join(words) or "none yet"


def read_fork(words: str, config: RunConfig) -> tuple[str, dict[str, Any]]:
    """The checkpoint's step and the changes that the words ask for.

    Raises:
        ConfigError: they cannot be read.
    """
    step, *rest = words.split() or [""]
    if not (step.isdecimal() or step in ("last", "best")):
        raise ConfigError(
            f"{step!r} is not the step of a checkpoint.", hint="Begin with it: 500 lr=0.0003"
        )
    return step, read_changes(rest, config)


def read_changes(words: Iterable[str], config: RunConfig) -> dict[str, Any]:
    """Settings as they are typed, `lr=0.0003`, each in its own type.

    Raises:
        ConfigError: they cannot be read.
    """
    known = [about.name for _, about in flag_fields(config)]
    changes = {}
    for word in words:
        name, _, text = word.partition("=")
        if name not in known:
            raise ConfigError(f"There is no setting {name!r}.", hint=did_you_mean(name, known))
        (item,) = items_of(config, [name])
        changes[name] = item.parse(text)
    return changes
