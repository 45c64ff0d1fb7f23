"""How each run stands, for a list. Never imports torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from core.config.control import MOST
from core.errors import CheckpointError, RunError, StoreError
from core.store.find import all_runs
from core.store.metrics import read_last_metrics
from core.store.run import Run

TRAINED = ("running", "paused")
_PAUSES = ("pause", "resume", "step")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """One line of the list of runs."""

    name: str
    path: str
    created: str
    """ISO 8601, UTC."""
    state: str
    """"new", "imported", "int8" or "int4" (quantised), "running", "paused", "stopped",
    "finished" or "diverged"."""
    step: int
    steps: int
    """Budget now; 0 is no limit."""
    seconds: float
    """The same of training time."""
    val_loss: float | None
    """Best so far, nats per token."""
    bits_per_byte: float | None
    n_params: int
    corpus: str
    tokenizer: str
    size_bytes: int

    @property
    def is_trained(self) -> bool:
        """Whether some process trains it at the moment, paused or not."""
        return self.state in TRAINED


def list_runs() -> list[RunSummary]:
    """Every run, the one that was worked on last first."""
    return [summarise(run) for run in all_runs()]


def summarise(run: Run) -> RunSummary:
    """How one run stands."""
    events = read_last_metrics(run.path)
    best = run.best_validation()
    steps = [int(e["step"]) for e in events if e["event"] == "StepCompleted"]
    text, (most_steps, most_s) = run.config.text, limits_of(run, events)
    return RunSummary(
        name=run.name,
        path=str(run.path),
        created=str(run.provenance.get("created", "")),
        state=_state(run, events),
        step=steps[-1] if steps else max(run.checkpoint_steps(), default=0),
        steps=most_steps,
        seconds=most_s,
        val_loss=best[0] if best else None,
        bits_per_byte=best[1] if best else None,
        n_params=_count(run.provenance.get("n_params")),
        corpus=text.corpus,
        tokenizer=str(run.provenance.get("tokenizer", text.tokenizer)),
        size_bytes=_size(run.path),
    )


def limits_of(run: Run, events: Sequence[Mapping[str, Any]]) -> tuple[int, float]:
    """Budgets in steps and seconds as commands have moved them, 0 for none: what the newest of
    these events says, without one the newest checkpoint, and else run.toml."""
    told = [e for e in events if e["event"] == "RunStarted" or e.get("action") == "budget"]
    moved = told[-1] if told else _moved_limits(run)
    steps, seconds = moved.get("steps"), moved.get("seconds")
    if _is_limit(steps) and _is_limit(seconds):
        return int(steps), float(seconds)
    return run.config.train.steps, run.config.train.seconds


def _moved_limits(run: Run) -> Mapping[str, Any]:
    """What the newest checkpoint says of them; nothing where no command has moved them."""
    with suppress(CheckpointError):
        for step in run.checkpoint_steps()[-1:]:
            moved = run.checkpoint_state(step).get("budget")
            return moved if isinstance(moved, dict) else {}
    return {}


def _is_limit(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and 0 <= value <= MOST


def _count(value: Any) -> int:
    """Of a record that somebody else may have written."""
    return value if isinstance(value, int) and 0 <= value <= MOST else 0


def _size(folder: Path) -> int:
    """Of all files, one with several names once; some may go while we look, for a trainer drops
    old checkpoints."""
    found: dict[tuple[int, int], int] = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                about = (Path(parent) / name).stat()
                found[about.st_dev, about.st_ino] = about.st_size
    return sum(found.values())


def _state(run: Run, events: list[dict[str, Any]]) -> str:
    try:
        with run.lock():
            pass
    except RunError:
        return "paused" if _is_paused(events) else "running"
    except (OSError, StoreError):  # a folder that we may not write cannot be trained by us either
        pass
    last = events[-1] if events else {"event": "Created"}
    if last["event"] == "Created":
        if isinstance(made := run.provenance.get("quantization"), dict):
            return "int4" if made.get("bits") == 4 else "int8"
        return "imported" if "imported_from" in run.provenance else "new"
    if last["event"] == "Diverged":
        return "diverged"
    is_finished = last["event"] == "RunFinished" and last.get("reason") == "budget"
    return "finished" if is_finished else "stopped"


def _is_paused(events: list[dict[str, Any]]) -> bool:
    """Whether the last word was to pause. Who resumes a run unpauses it, which is seen when it
    starts, its text read."""
    words = [
        event.get("action") if event["event"] == "Controlled" else "resume"
        for event in events
        if event["event"] in ("RunStarted", "RunFinished", "Controlled")
    ]
    words = [word for word in words if word in _PAUSES]
    return bool(words) and words[-1] != "resume"
