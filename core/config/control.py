"""What can be asked of a run that is under way, as a value and as words.

    pause   resume   step   save   stop   sample
    lr FACTOR                    the rate times that, from the next step on: `lr 0.5`
    budget AMOUNT [UNIT]         `budget +500 steps`, `budget -30 seconds`, `budget =5e6 tokens`;
                                 without a unit seconds where nothing else limits, else steps

The words are the same on the command line, in the app, in the library and in the files by which
one process asks another; so whatever comes from elsewhere is checked here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import ConfigError, did_you_mean

ABOUT = {
    "pause": "wait after this step, without using the processor",
    "resume": "go on after a pause",
    "step": "take one step, then wait",
    "save": "keep a checkpoint",
    "stop": "save and end",
    "sample": "let the model write a sample",
    "lr": "multiply the learning rate by FACTOR from the next step on",
    "budget": "extend the run (+AMOUNT), cut it (-AMOUNT) or set its end (=AMOUNT)",
}
ACTIONS = tuple(ABOUT)
LASTING = ("save", "sample", "lr", "budget")
"""Those that a replay repeats; the others change when steps are taken, not what they are."""
SIGNS = ("+", "-", "=")
UNITS = ("steps", "seconds", "tokens")
SMALLEST, LARGEST = 1e-6, 1e6
"""Of a factor on the learning rate."""
MOST = 1e15
"""Of a budget: above it a float counts no steps any more."""
_LR_HINT = "As in lr 0.5, or lr 2."
_BUDGET_HINT = "As in budget +500 steps, budget -30 seconds or budget =5e6 tokens."


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One wish. `read_command` makes it of words, `words` gives them back."""

    action: str
    """One of `ACTIONS`."""
    value: float = 0.0
    """Factor on the learning rate, or amount of a budget."""
    sign: str = ""
    """Of a budget: whether that much is added, taken away, or the whole."""
    unit: str = ""
    """Of a budget: one of `UNITS`, or "": seconds where nothing else limits the run, else
    steps."""
    id: str = ""
    """By which whoever asked will know it again; "" if nobody waits."""

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise ConfigError(
                f"A run cannot {self.action!r}.", hint=did_you_mean(self.action, ACTIONS)
            )
        if self.action == "lr" and not SMALLEST <= self.value <= LARGEST:
            raise ConfigError(
                f"A learning rate cannot be multiplied by {self.value:g}: that is not between"
                f" {SMALLEST:g} and {LARGEST:g}.",
                hint=_LR_HINT,
            )
        if self.action == "budget" and (self.sign not in SIGNS or self.unit not in ("", *UNITS)):
            raise ConfigError(
                f"A budget cannot change by {self.sign}{self.value:g} {self.unit!r}.",
                hint=_BUDGET_HINT,
            )
        if self.action == "budget" and not 0 < self.value <= MOST:
            raise ConfigError(
                f"A budget of {self.value:g} {self.unit}".rstrip()
                + f" is not between 0 and {MOST:g}.",
                hint=_BUDGET_HINT,
            )

    @property
    def words(self) -> tuple[str, ...]:
        """As it is typed: `("budget", "+500", "steps")`."""
        if self.action == "lr":
            return ("lr", _exactly(self.value))
        if self.action == "budget":
            amount = f"{self.sign}{_exactly(self.value)}"
            return ("budget", amount, self.unit) if self.unit else ("budget", amount)
        return (self.action,)


def read_command(words: Sequence[str], *, id: str = "") -> Command:
    """What the words ask.

    Raises:
        ConfigError: nothing that a run could do.
    """
    action, *rest = words or ("",)
    if action == "lr" and len(rest) == 1:
        return Command(action=action, value=_number(rest[0].lstrip("×x*"), _LR_HINT), id=id)
    if action == "budget" and len(rest) in (1, 2):
        sign, amount = (rest[0][:1], rest[0][1:]) if rest[0][:1] in SIGNS else ("=", rest[0])
        unit = _unit(rest[1]) if len(rest) == 2 else ""
        value = _number(amount, _BUDGET_HINT)
        return Command(action=action, value=value, sign=sign, unit=unit, id=id)
    if action in ACTIONS and (rest or action in ("lr", "budget")):
        needed = {"lr": "one FACTOR", "budget": "an AMOUNT"}.get(action, "no more words")
        hints = {"lr": _LR_HINT, "budget": _BUDGET_HINT}
        raise ConfigError(
            f"The command {action} takes {needed}, not {' '.join(rest)!r}.",
            hint=hints.get(action, f"Try {action} alone."),
        )
    return Command(action=action, id=id)


def _exactly(value: float) -> str:
    """The shortest words for that very number."""
    return str(int(value)) if float(value).is_integer() else repr(value)


def _unit(word: str) -> str:
    """`step` is `steps`, and `s` is `seconds`."""
    spellings = {"s": "seconds", "sec": "seconds"} | {unit[:-1]: unit for unit in UNITS}
    return spellings.get(word, word)


def _number(text: str, hint: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError(f"{text!r} is not a number that a run could use.", hint=hint)
    return value
