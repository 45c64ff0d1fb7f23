"""Whether a run that was trained again went as it did before: bit for bit, or up to where.

Floats are compared as they stand in metrics.jsonl, where Python writes each with as many digits
as it takes to read the same number again.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any

from core.events import (
    Agreement,
    Circumstance,
    Difference,
    RunFinished,
    TrainEvent,
)
from core.store.forks import begun_at
from core.store.metrics import read_metrics
from core.store.run import Run

FIGURES = {
    "StepCompleted": ("loss", "lr", "grad_norm", "tokens"),
    "ValidationCompleted": ("loss", "perplexity", "bits_per_byte"),
}
"""What must be equal, by event, in the order in which a difference is told."""
_PREFIX = {"StepCompleted": "", "ValidationCompleted": "validation "}
CIRCUMSTANCES = {
    "minitf": "minitf",
    "torch": "torch",
    "python": "python",
    "platform": "platform",
    "device": "device",
    "device_name": "processor",
    "dtype": "dtype",
    "threads": "threads",
    "cores": "cores",
}
"""What a computation depends on beside the config, by its name in a run's provenance."""

Key = tuple[int, str]


def agreement_of(before: Run, now: Run) -> Agreement:
    """How far two runs agree. Steps and validations that only one of them has are left out, and
    those that a fork has from its run."""
    since = begun_at(before) or 0
    old, new = _figures(before, since), _figures(now, since)
    is_step = [step for step, kind in new if kind == "StepCompleted" and (step, kind) in old]
    differences = (_difference(key, old[key], new[key]) for key in sorted(new) if key in old)
    first = next(filter(None, differences), None)
    return Agreement(
        steps=len(is_step),
        of=sum(kind == "StepCompleted" for _, kind in old),
        is_equal=first is None,
        first_difference=first,
        circumstances=tuple(_circumstances(before.provenance, now.provenance)),
    )


def judged(
    events: Generator[TrainEvent, None, None], before: Run, now: Run
) -> Generator[TrainEvent, None, None]:
    """The events of the replay `now`; the last one says how far it agrees with `before`."""
    with closing(events):
        for event in events:
            if isinstance(event, RunFinished):
                result = replace(event.result, agreement=agreement_of(before, now))
                event = replace(event, result=result)
            yield event


def _figures(run: Run, since: int) -> dict[Key, dict[str, Any]]:
    """After a step, by step and event; of several, the last one told."""
    return {
        (event["step"], event["event"]): event
        for event in read_metrics(run.path)
        if event["event"] in FIGURES and event["step"] > since
    }


def _difference(key: Key, old: Mapping[str, Any], new: Mapping[str, Any]) -> Difference | None:
    step, kind = key
    for name in FIGURES[kind]:
        if old.get(name) != new.get(name):
            figure = f"{_PREFIX[kind]}{name.replace('_', ' ')}"
            return Difference(step=step, figure=figure, before=old.get(name), now=new.get(name))
    return None


def _circumstances(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Circumstance]:
    """Those that differ; older runs do not know of all of them."""
    for key, name in CIRCUMSTANCES.items():
        if key in old and key in new and old[key] != new[key]:
            yield Circumstance(name=name, before=str(old[key]), now=str(new[key]))
