"""What two configs must have in common to be compared on the same batches, and the words for
what came of it. Imports neither torch nor numpy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from core.config import BUDGETS, RunConfig
from core.errors import ConfigError
from core.events import DuelRound

Interval = tuple[float, float]
EQUAL_TRAINING = ("context", "batch_size", "grad_accum", "seed", "device", "threads")
MOST_SEEDS = 100


def sides(
    a: RunConfig, b: RunConfig, changes: Mapping[str, Any], changes_b: Mapping[str, Any]
) -> tuple[RunConfig, RunConfig]:
    """The two configs with `changes` made to both and `changes_b` to the second, which is
    measured as the first is: whatever it says of validations and samples.

    Raises:
        ConfigError: they would not see the same batches, or are to end at different places.
    """
    a = a.with_changes(**changes)
    b = replace(b.with_changes(**changes), eval=a.eval).with_changes(**changes_b)
    for name, (ours, theirs) in _facts(a, b).items():
        if ours != theirs:
            raise ConfigError(
                f"{name}={ours!r} in A and {name}={theirs!r} in B: they would not learn from the"
                " same batches.",
                hint=f"Give both the same {name}.",
            )
    for name in BUDGETS:
        ours, theirs = getattr(a.train, name), getattr(b.train, name)
        if ours != theirs:
            raise ConfigError(
                f"A duel ends for both at once, and {name}={ours:g} in A, {theirs:g} in B.",
                hint="A budget in steps or in seconds that is given to the duel holds for both.",
            )
    if a.train.is_untrained:
        raise ConfigError(
            "A duel needs a budget: neither side would take a step.",
            hint="Give steps or seconds.",
        )
    return a, b


def _facts(a: RunConfig, b: RunConfig) -> dict[str, tuple[Any, Any]]:
    """What decides a batch, by field."""
    text = {f.name: (getattr(a.text, f.name), getattr(b.text, f.name)) for f in fields(a.text)}
    train = {n: (getattr(a.train, n), getattr(b.train, n)) for n in EQUAL_TRAINING}
    return text | train | {"stride": (a.eval.stride, b.eval.stride)}


def checked_seeds(seeds: int) -> int:
    """How often a duel is repeated.

    Raises:
        ConfigError: it cannot be.
    """
    if not 1 <= seeds <= MOST_SEEDS:
        raise ConfigError(
            f"seeds={seeds} is not between 1 and {MOST_SEEDS}.",
            hint="Try seeds=3.",
        )
    return seeds


def better(ci95: Interval | None) -> str:
    """ "a" or "b"; "" while the interval of B - A holds 0, or there is none."""
    if ci95 is None or ci95[0] <= 0 <= ci95[1]:
        return ""
    return "b" if ci95[1] < 0 else "a"


def sentence(rounds: Sequence[DuelRound], difference: float | None, ci95: Interval | None) -> str:
    """What came of a duel, for a person."""
    ended = next((r.ended for r in rounds if r.ended), "")
    start = f"{ended[0].upper()}{ended[1:]}. " if ended else ""
    if difference is None or not math.isfinite(difference):
        return f"{start}No difference can be told: there is no pair of losses."
    many = len(rounds) > 1
    over = f"over {len(rounds)} seeds" if many else "on this seed"
    scored = all(r.validation is not None for r in rounds)
    what = "validation loss" if scored else "training loss of the newest steps"
    if ci95 is None:
        return f"{start}No difference yet: the {what} of B - A is {difference:+.4f}, {over}."
    interval = f"95 % interval {ci95[0]:+.4f} to {ci95[1]:+.4f}"
    if not (side := better(ci95)):
        return (
            f"{start}No difference yet: the {what} of B - A is {difference:+.4f} nats per token,"
            f" {over}; {interval}."
        )
    found = (
        f"{start}{side.upper()} is better {over}: its {what} is lower by {abs(difference):.4f} nats"
        f" per token (B - A: {interval})."
    )
    return found if many else f"{found} Another seed may tell otherwise."
