"""How a run stands that another process may be training. Never imports torch."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import RunError
from core.store.metrics import read_metrics
from core.store.run import Run
from core.store.summary import TRAINED, limits_of, summarise

RECENT = 50
"""Steps whose median speed is the one that goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """A moment of a run. Same fields as `minitf ctl RUN status --json`."""

    run: str
    path: str
    state: str
    """As in `RunSummary`."""
    step: int
    steps: int
    """Budget now; 0 is no limit."""
    seconds: float
    """Budget of training time now; 0 is no limit."""
    loss: float | None
    """Of the newest batch, nats per token."""
    val_loss: float | None
    """Of the newest validation."""
    lr: float | None
    """With which the newest step was taken."""
    lr_factor: float
    """On the schedule, by commands and returns to a checkpoint."""
    tokens_per_s: float | None
    train_s: float
    left_s: float | None
    """Training time to the end of the budget at the recent speed; None if that is not known."""

    @property
    def is_trained(self) -> bool:
        """Whether some process trains it at the moment, paused or not."""
        return self.state in TRAINED


def is_trained(run: Run) -> bool:
    """Whether some process trains it at the moment.

    Raises:
        OSError: its lock cannot be looked at.
    """
    try:
        with run.lock():
            return False
    except RunError:
        return True


def status_of(run: Run) -> RunStatus:
    """Where the run stands now."""
    events = read_metrics(run.path)
    steps = [e for e in events if e["event"] == "StepCompleted"]
    factors = [e for e in events if e["event"] in ("Controlled", "ReturnedToCheckpoint")]
    last, validation = _newest(steps), _newest(_of(events, "ValidationCompleted"))
    most_steps, most_s = limits_of(run, events)
    done, train_s = int(last.get("step", 0)), float(last.get("train_s") or 0.0)
    tokens, pace = last.get("tokens"), _pace(steps)
    return RunStatus(
        run=run.name,
        path=str(run.path),
        state=summarise(run).state,
        step=done,
        steps=most_steps,
        seconds=most_s,
        loss=last.get("loss"),
        val_loss=validation.get("loss"),
        lr=last.get("lr"),
        lr_factor=float(_newest(factors).get("lr_factor") or 1.0),
        tokens_per_s=tokens / done / pace if tokens and pace else None,
        train_s=train_s,
        left_s=_left(done, train_s, most_steps, most_s, pace),
    )


def _of(events: Sequence[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] == kind]


def _newest(events: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return events[-1] if events else {}


def _pace(steps: Sequence[dict[str, Any]]) -> float | None:
    """Training seconds a step, the median of the newest ones."""
    times = [float(event.get("train_s") or 0.0) for event in steps[-RECENT:]]
    each = [b - a for a, b in itertools.pairwise(times) if b > a]
    return statistics.median(each) if each else None


def _left(
    step: int, train_s: float, steps: int, seconds: float, pace: float | None
) -> float | None:
    left = [seconds - train_s] if seconds else []
    if steps and pace is not None:
        left.append((steps - step) * pace)
    return max(0.0, min(left)) if left else None
