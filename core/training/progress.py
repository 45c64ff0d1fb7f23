"""How far a run is, and how its checkpoints keep that."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from core.training.clock import Clock


@dataclass(slots=True)
class Progress:
    """How far a run is; kept in its checkpoints."""

    step: int = 0
    tokens: int = 0
    best_loss: float = math.inf
    validation: dict[str, float] | None = None
    """The newest one: step, loss, perplexity, bits_per_byte."""
    returns: int = 0
    """To a checkpoint, because the run had diverged."""
    lr_factor: float = 1.0
    """On the schedule's learning rate, because of those returns and of commands."""
    controls: tuple[int, ...] = ()
    """Numbers of the commands whose effect is in here."""
    budget: dict[str, Any] | None = None
    """Limits that commands have moved, see `core.training.budget`; None if none did."""

    def keep_wishes_of(self, later: Progress) -> None:
        """What was commanded holds, though the steps until then are undone."""
        self.controls, self.budget = later.controls, later.budget


def state_of(progress: Progress, clock: Clock) -> dict[str, Any]:
    """What a checkpoint keeps beside tensors, as JSON."""
    validation = progress.validation
    return {
        "tokens": progress.tokens,
        "best_loss": progress.best_loss if math.isfinite(progress.best_loss) else None,
        "last_validation": validation,
        "validation": validation if validation and validation["step"] == progress.step else None,
        "spent_s": clock.spent(),
        "returns": progress.returns,
        "lr_factor": progress.lr_factor,
        "controls": list(progress.controls),
        "budget": progress.budget,
    }


def progress_from(state: dict[str, Any]) -> Progress:
    """Back from `state_of`."""
    best = state["best_loss"]
    return Progress(
        step=state["step"],
        tokens=state["tokens"],
        best_loss=math.inf if best is None else best,
        validation=state["last_validation"],
        returns=state.get("returns", 0),
        lr_factor=state.get("lr_factor", 1.0),
        controls=tuple(int(n) for n in state.get("controls", ())),
        budget=_limits(state.get("budget")),
    )


def _limits(moved: Any) -> dict[str, Any] | None:
    if moved is None:
        return None
    return {"steps": int(moved["steps"]), "seconds": float(moved["seconds"])}
