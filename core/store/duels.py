"""What a duel leaves beside its runs: the difference as it grew, and the verdict. Never imports
torch.

    <run>/duels/<time>.json   of both runs, so that either tells of it when the other is deleted

A long duel is kept thinned: every second step, every fourth, ... of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from core.events import DuelStarted, Event, StepDiffered, ValidationDiffered
from core.store.run import Run

KIND = "duels"
MOST_STEPS = 2000
"""Of a story, and of a file."""

E = TypeVar("E", StepDiffered, ValidationDiffered)


class DuelStory:
    """The differences of a round while it goes on. It may be read while another thread adds."""

    def __init__(self) -> None:
        self._steps: list[StepDiffered] = []
        self._newest: StepDiffered | None = None
        self._stride = 1
        self._validations: list[ValidationDiffered] = []

    def hear(self, event: Event) -> bool:
        """Keep a difference; whether it was one. A new round begins a new story."""
        if isinstance(event, StepDiffered):
            self._newest = event
            if event.step % self._stride == 0:
                self._steps.append(event)
            if len(self._steps) > MOST_STEPS:
                self._stride *= 2
                self._steps = [one for one in self._steps if one.step % self._stride == 0]
        elif isinstance(event, ValidationDiffered):
            self._validations.append(event)
        elif isinstance(event, DuelStarted):
            self._steps, self._newest, self._stride, self._validations = [], None, 1, []
        return isinstance(event, StepDiffered | ValidationDiffered)

    @property
    def steps(self) -> tuple[StepDiffered, ...]:
        """As many as are kept, evenly spaced, and the newest one."""
        kept, newest = self._steps, self._newest
        is_kept = newest is None or bool(kept and kept[-1].step >= newest.step)
        return (*kept,) if newest is None or is_kept else (*kept, newest)

    @property
    def validations(self) -> tuple[ValidationDiffered, ...]:
        """All of them."""
        return (*self._validations,)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptDuel:
    """One round of a duel as it is kept with its runs."""

    a: str
    """As it was named: a file, a preset or a run."""
    b: str
    runs: tuple[str, str]
    seed: int
    better: str
    """"a", "b", or "" while the interval holds 0."""
    sentence: str
    """The same, for a person."""
    steps: tuple[StepDiffered, ...] = ()
    validations: tuple[ValidationDiffered, ...] = ()


def keep_duel(run: Run, kept: KeptDuel) -> None:
    """Write it into the folder of one of its runs.

    Raises:
        StoreError: the run is gone, or its folder cannot be written.
        OSError: the file cannot be.
    """
    columns = {name: _columns(getattr(kept, name)) for name in ("steps", "validations")}
    run.save_report(KIND, asdict(kept) | columns)


def last_duel(run: Run) -> KeptDuel | None:
    """The newest that is kept with the run and can be read."""
    for report in reversed(run.reports(KIND)):
        try:
            return _read(report)
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
    return None


def _read(report: Mapping[str, Any]) -> KeptDuel:
    """Raises KeyError, TypeError or ValueError for a file that is none of ours."""
    words = {name: str(report[name]) for name in ("a", "b", "better", "sentence")}
    one, other = report["runs"]
    return KeptDuel(
        **words,
        runs=(str(one), str(other)),
        seed=int(report["seed"]),
        steps=_events(StepDiffered, report["steps"]),
        validations=_events(ValidationDiffered, report["validations"]),
    )


def _columns(events: Sequence[StepDiffered] | Sequence[ValidationDiffered]) -> dict[str, Any]:
    if not events:
        return {}
    return {f.name: [getattr(event, f.name) for event in events] for f in fields(events[0])}


def _events(kind: type[E], columns: Mapping[str, Sequence[Any]]) -> tuple[E, ...]:
    if not columns:
        return ()
    named = {f.name: [_figure(f.name, v) for v in columns[f.name]] for f in fields(kind)}
    rows = zip(*named.values(), strict=True)
    return tuple(kind(**dict(zip(named, row, strict=True))) for row in rows)


def _figure(name: str, value: Any) -> Any:
    """A number as it was before it was JSON, which has none that are not finite."""
    if name == "ci95":
        return None if value is None else (_figure("", value[0]), _figure("", value[1]))
    if name in ("step", "window"):
        return int(value)
    return float("nan") if value is None else float(value)
