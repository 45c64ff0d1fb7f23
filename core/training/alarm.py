"""Listens to a run and says what looks wrong: once, until it has gone away.

Invariant: what it says, and where it would go back to, depends on the events of the run alone.
Its memory is kept in the run's checkpoints, so a run that was resumed says the same.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from core.config import RunConfig
from core.events import (
    AlertRaised,
    Diverged,
    HealthMeasured,
    StepCompleted,
    TrainEvent,
    ValidationCompleted,
)
from core.training import alerts
from core.training.alerts import Finding, Piece, Validated

WINDOW = 64
"""Losses that a spike is seen against."""
LEAST_LOSSES = 32
LEVEL_INTERVAL = 16
"""Steps after which the level of a spike is computed anew."""
KEPT_PIECES = 20
"""Hundredths of the budget."""
LOOKS = {"overfitting": 2, "dead layer": 2, "large updates": 2}
"""How often in a row a thing must look wrong before it is said; once where nothing stands."""
CALM = {
    "spike": WINDOW,
    "plateau": KEPT_PIECES,
    "rising": KEPT_PIECES,
    "always clipped": KEPT_PIECES,
}
"""How often in a row it must look right before it counts as gone; three times otherwise."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A reason to go back to a checkpoint."""

    step: int
    what: str
    before: int
    """Only a checkpoint of an earlier step than this one is good."""


class Alarm:
    """The memory of what was told, as far as something wrong can be seen in it."""

    def __init__(
        self,
        config: RunConfig,
        spent: Callable[[int, float], float],
        floor_loss: float | None = None,
    ) -> None:
        """`spent` is the share of the budget after a step and some seconds of training."""
        self._config, self._spent, self._floor = config, spent, floor_loss
        self.load(None)

    def hear(self, event: TrainEvent) -> list[AlertRaised]:
        """Take note of an event; what is to be told of it now."""
        match event:
            case StepCompleted():
                return self._hear_step(event)
            case ValidationCompleted():
                return self._hear_validation(event)
            case HealthMeasured():
                return [
                    *self._judge(event.step, "dead layer", alerts.dead_layer(event, self._config)),
                    *self._judge(
                        event.step, "large updates", alerts.large_updates(event, self._config)
                    ),
                ]
            case Diverged():
                found = alerts.not_a_number(event, self._config)
                return [_raised(event.step, found)]
        return []

    def trouble(self, event: TrainEvent, last_step: int) -> Trouble | None:
        """Why the run should go back now, if it should and the config wants it to.

        Args:
            event: the one heard last.
            last_step: the newest one that was taken. A checkpoint of the very weights that
                failed would fail again at once, so that one is no good.
        """
        train = self._config.train
        if isinstance(event, Diverged) and train.on_divergence == "return":
            return Trouble(event.step, event.what, last_step)
        if isinstance(event, StepCompleted) and self.is_spiking and train.on_spike == "return":
            # The first high loss was that of the weights after the step before it.
            onset = event.step - len(self._high) + 1
            middle = statistics.median(self._losses)
            what = f"the loss is {event.loss:.3g}, after {middle:.3g}"
            return Trouble(event.step, what, onset - 1)
        return None

    @property
    def is_spiking(self) -> bool:
        """Whether the newest losses are a spike."""
        return len(self._high) >= alerts.PATIENCE

    def state(self) -> dict[str, Any]:
        """All that it remembers, as JSON."""
        return {
            "losses": self._losses,
            "level": self._level if math.isfinite(self._level) else None,
            "high": self._high,
            "pieces": self._pieces,
            "now": self._now,
            "since_validation": self._since_validation,
            "best": self._best,
            "kinds": self._kinds,
        }

    def load(self, state: Mapping[str, Any] | None) -> None:
        """Remember what `state` gave and nothing else. What is not whole is forgotten: it may
        have come from elsewhere, and a run goes on without it."""
        try:
            self._remember(state or {})
        except (TypeError, ValueError, KeyError, AttributeError):
            self._remember({})

    def _remember(self, state: Mapping[str, Any]) -> None:
        self._losses = [float(loss) for loss in state.get("losses", ())]
        level = state.get("level")
        self._level = math.inf if level is None else float(level)
        self._high = [float(loss) for loss in state.get("high", ())]
        self._pieces = [Piece(*piece) for piece in state.get("pieces", ())]
        now = state.get("now")
        self._now = Piece(*now) if now else Piece(-1, 0, 0.0, 0.0, 0, 0.0)
        self._since_validation = list(state.get("since_validation", (0, 0.0)))
        best = state.get("best")
        self._best = Validated(*best) if best else None
        self._kinds: dict[str, list[int]] = {k: list(v) for k, v in state.get("kinds", {}).items()}

    # Single events.

    def _hear_step(self, event: StepCompleted) -> list[AlertRaised]:
        self._since_validation[0] += 1
        self._since_validation[1] += event.loss
        told = self._hear_loss(event)
        share = self._spent(event.step, event.train_s)
        if int(100 * share) != self._now.place:
            told += self._turn(event.step, int(100 * share))
        self._add_to_piece(event)
        return told

    def _hear_loss(self, event: StepCompleted) -> list[AlertRaised]:
        if event.loss > self._level:
            self._high.append(event.loss)
            found = alerts.spike(self._losses, self._high, event.step, event.lr, self._config)
            if len(self._high) == WINDOW:  # it stays there: what was far out is usual now
                self._losses, self._high = self._high, []
                self._level = alerts.spike_level(self._losses)
            told = self._judge(event.step, "spike", found)
            if told:  # what was before it is another story
                self._pieces.clear()
            return told
        self._high.clear()
        self._losses.append(event.loss)
        if not math.isfinite(self._level):
            self._level = event.loss + alerts.FIRST_RISE
        if event.step % LEVEL_INTERVAL == 0:
            del self._losses[:-WINDOW]
            if len(self._losses) >= LEAST_LOSSES:
                self._level = alerts.spike_level(self._losses)
        return self._judge(event.step, "spike", None) if "spike" in self._kinds else []

    def _turn(self, step: int, place: int) -> list[AlertRaised]:
        """A piece of the budget is full, and another one begins."""
        if place < self._now.place:  # the budget is another one
            self._pieces.clear()
        elif self._now.steps:
            self._pieces.append(self._now)
            del self._pieces[:-KEPT_PIECES]
        self._now = Piece(place, 0, 0.0, 0.0, 0, 0.0)
        config = self._config
        return [
            *self._judge(step, "plateau", alerts.plateau(self._pieces, config, self._floor)),
            *self._judge(step, "rising", alerts.rising(self._pieces, config)),
            *self._judge(step, "always clipped", alerts.always_clipped(self._pieces, config)),
        ]

    def _add_to_piece(self, event: StepCompleted) -> None:
        place, steps, loss_sum, squares, clipped, norm_sum = self._now
        clip = self._config.train.grad_clip
        self._now = Piece(
            place,
            steps + 1,
            loss_sum + event.loss,
            squares + event.loss * event.loss,
            clipped + (0 < clip < event.grad_norm),
            norm_sum + event.grad_norm,
        )

    def _hear_validation(self, event: ValidationCompleted) -> list[AlertRaised]:
        steps, loss_sum = self._since_validation
        if not steps or not math.isfinite(event.loss):
            return []
        self._since_validation = [0, 0.0]
        low, high = event.loss_ci95
        now = Validated(event.step, event.loss, (high - low) / 2, loss_sum / steps)
        if self._best is None or now.loss < self._best.loss:
            self._best = now
        found = alerts.overfitting(self._best, now, self._config)
        return self._judge(event.step, "overfitting", found)

    def _judge(self, step: int, kind: str, found: Finding | None) -> list[AlertRaised]:
        """What is to be said of one look at a thing: nothing that was said before."""
        if found is None and kind not in self._kinds:
            return []
        wrong, right, was_said = self._kinds.get(kind, (0, 0, 0))
        wrong, right = (wrong + 1, 0) if found else (0, right + 1)
        if found is None and right >= CALM.get(kind, 3):
            del self._kinds[kind]
            return []
        is_new = found is not None and not was_said and wrong >= LOOKS.get(kind, 1)
        self._kinds[kind] = [wrong, right, int(was_said or is_new)]
        return [_raised(step, found)] if found is not None and is_new else []


def _raised(step: int, found: Finding) -> AlertRaised:
    return AlertRaised(step=step, kind=found.kind, sentence=found.sentence, hint=found.hint)
