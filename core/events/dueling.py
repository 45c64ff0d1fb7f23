"""What a duel tells: two configs that learn in lockstep on the same batches.

Every difference is B's minus A's: below zero B is better. Times are pure training time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.events import RunStarted, TrainEvent, TrainResult

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class DuelStarted:
    """Both runs of a round exist, and their first step comes next."""

    round: int
    """The first one is 1."""
    of: int
    seed: int
    a: RunStarted
    b: RunStarted


@dataclass(frozen=True, slots=True, kw_only=True)
class SideTold:
    """Something that one of the two runs tells, other than a step."""

    side: str
    """"a" or "b"."""
    event: TrainEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDiffered:
    """Both have taken a step on the same batch."""

    step: int
    loss_a: float
    loss_b: float
    difference: float
    mean: float
    """Of the newest `window` steps."""
    ci95: Interval | None
    """Of that mean, as wide as the correlation over steps makes it; None with few steps."""
    window: int
    train_s_a: float
    train_s_b: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationDiffered:
    """Both were scored on the same held-out tokens after the same step."""

    step: int
    loss_a: float
    loss_b: float
    difference: float
    ci95: Interval
    """Of the paired difference, from windows of the text as blocks."""
    train_s_a: float
    train_s_b: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EqualTime:
    """Both validations at the training time that the quicker one had in the end; between two
    validations on the straight line."""

    train_s: float
    loss_a: float
    loss_b: float
    difference: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DuelRound:
    """Two runs from one seed."""

    seed: int
    a: TrainResult
    b: TrainResult
    steps: int
    """That both have taken."""
    last_step: StepDiffered | None
    validation: ValidationDiffered | None
    """The newest that both have made."""
    equal_time: EqualTime | None
    """None where they were not validated twice."""
    ended: str = ""
    """Why it ended before its budget: "b diverged at step 12: the loss is nan"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duel:
    """A duel, as far as it went. Same fields as `minitf duel --json`."""

    a: str
    """As it was named: a file, a preset or a run."""
    b: str
    rounds: tuple[DuelRound, ...]
    difference: float | None
    """Of the validation losses, the mean of all rounds; of the newest steps where a round was
    never validated."""
    ci95: Interval | None
    """With several rounds that of their mean (Student's t over seeds); with one, of its paired
    difference: for these two runs, whatever another seed would give."""
    better: str
    """"a", "b", or "" while the interval holds 0."""
    sentence: str
    """The same, for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DuelRoundCompleted:
    """A round is over; another may follow."""

    round: int
    of: int
    result: DuelRound


@dataclass(frozen=True, slots=True, kw_only=True)
class DuelCompleted:
    """The last event of a duel."""

    result: Duel
