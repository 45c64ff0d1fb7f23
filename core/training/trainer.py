"""The training loop, as a generator of events.

The loop owns the order of things and nothing else: it does not print, draw, log or save.
To pause a run, stop pulling, or ask for it: `control` is obeyed between the steps. To end it,
ask for that and pull what is left, or close the generator from the thread that pulls.

Invariant: step k depends on the weights and moments after step k-1, on the config and on k
alone. Batches and dropout are drawn from (seed, k), so a resumed run takes the same steps.
Under a budget in seconds the schedule also depends on the training time so far; steps whose
rates were recorded are taken again with those rates, and commands that were recorded are obeyed
again after the steps after which they were.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
from torch import nn

from core.config import EvalConfig, TrainConfig
from core.device import Device
from core.events import (
    CheckpointDue,
    Diverged,
    Evaluation,
    HealthMeasured,
    SampleCompleted,
    StepCompleted,
    TrainEvent,
    ValidationCompleted,
)
from core.text.batches import Batches
from core.training.budget import Budget
from core.training.clock import Clock
from core.training.control import Control
from core.training.health import Health
from core.training.optimizer import Optimizer
from core.training.progress import Progress
from core.training.schedule import learning_rate
from core.training.step import compute_gradients
from core.training.wishes import Wishes


class Written(NamedTuple):
    """By the model as it is now."""

    prompt: str
    text: str
    answer: str = ""
    """The right one, of a question with an exact answer."""


@dataclass(frozen=True, slots=True)
class Probes:
    """What is done to the model between steps. Each may return None: it was cut short."""

    evaluate: Callable[[nn.Module], Evaluation | None]
    sample: Callable[[nn.Module], Written | None]


class Trainer:
    """Trains one model on one stream of batches."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        batches: Batches,
        probes: Probes,
        config: TrainConfig,
        eval_config: EvalConfig,
        *,
        device: Device,
        clock: Clock | None = None,
        progress: Progress | None = None,
        health: Health | None = None,
        control: Control | None = None,
        rates: Mapping[int, float] | None = None,
    ) -> None:
        """`rates` are recorded ones, by step; those steps are taken whatever the clock says."""
        self.model, self.optimizer = model, optimizer
        self.progress = progress or Progress()
        self.clock = clock or Clock()
        self.has_diverged = False
        self._offered_step: int | None = None
        self._batches, self._probes = batches, probes
        self._health = health
        self._config, self._eval_config = config, eval_config
        self._device = device
        self.budget = Budget.of(config, self.progress.budget)
        self.control = control or Control(Wishes(), config)
        self._is_stopping = self.control.is_stopping
        self._rates = dict(rates or {})
        self.is_finished = self._is_over()
        """Whether the budget is spent."""

    def run(self) -> Generator[TrainEvent, None, None]:
        """Train until the budget is spent or somebody wants it to stop. Call once, and once
        more after each `go_back`."""
        if self.progress.step == 0:
            yield from self._checkpoint(None)
        else:
            self._offered_step = self.progress.step
        with self.clock.during("train"):
            if self.owes_validation:
                yield from self._after_step()
            yield from self.control.obey(self)
            while not (self.is_finished or self.has_diverged or self._is_stopping()):
                yield self._take_step()
                yield from self._measured()
                # Before what is due, which may take long, and after it: nobody knows how long
                # the listener kept the last event, nor what was wished meanwhile.
                yield from self.control.obey(self)
                yield from self._after_step()
                yield from self.control.obey(self)
            if self.owes_validation and not (self.has_diverged or self._is_stopping()):
                yield from self._after_step()  # of what somebody has made the last one
            if self._is_stopping():  # the wish is in the story, too
                yield from self.control.obey(self)
            if self._offered_step != self.progress.step and not self.has_diverged:
                yield from self._checkpoint(None)

    def go_back(self, progress: Progress) -> None:
        """Take over `progress`, whose weights and moments have been loaded, after a divergence.
        Batches are those of the undone steps, being functions of seed and step; so it is the
        rate, by `progress.lr_factor`, that must differ."""
        self.progress = progress
        self.budget = Budget.of(self._config, progress.budget)
        self.has_diverged = False
        self._rates = {step: rate for step, rate in self._rates.items() if step <= progress.step}
        self.is_finished = self._is_over()

    @property
    def repeats_to(self) -> int:
        """The last step that is taken with a recorded rate; the newest one if there is none."""
        return max(self._rates, default=self.progress.step)

    @property
    def owes_validation(self) -> bool:
        """Whether a resumed run was stopped where a validation was due, before it was made."""
        step, last = self.progress.step, self.progress.validation
        is_due = _is_due(step, self._eval_config.eval_interval, self.is_finished)
        return step > 0 and is_due and (last is None or last["step"] != step)

    def _take_step(self) -> StepCompleted | Diverged:
        step, progress = self.progress.step + 1, self.progress
        began = self.clock.seconds("train")
        lr = self._rate(step)
        loss, norm = compute_gradients(self.model, self._batches, self._config, self._device, step)
        for what, value in (("loss", loss), ("gradient norm", norm)):
            if not math.isfinite(value):
                return self._diverge(step, f"the {what} is {value}")
        if self._health is not None:
            self._health.before_update(step, norm, began)
        self.optimizer.step(lr)
        progress.step = step
        progress.tokens += self._config.tokens_per_step
        train_s = self.clock.seconds("train")
        # Asked once a step, so that all that is due at the end is due together.
        self.is_finished = self._is_over()
        return StepCompleted(
            step=step,
            loss=loss,
            lr=lr,
            grad_norm=norm,
            tokens=progress.tokens,
            tokens_per_s=self._config.tokens_per_step / max(train_s - began, 1e-9),
            train_s=train_s,
        )

    def _after_step(self) -> Generator[TrainEvent, None, None]:
        if self.has_diverged:
            return
        step, every = self.progress.step, self._eval_config
        is_last = self.is_finished
        intervals = (every.eval_interval, every.sample_interval, self._config.checkpoint_interval)
        if not any(_is_due(step, interval, is_last) for interval in intervals):
            return
        validation = None
        if broken := first_not_finite(self.model):
            yield self._diverge(step, f"{broken} holds a number that is not finite")
            return
        is_validated = (self.progress.validation or {}).get("step") == step
        wants_validation = _is_due(step, every.eval_interval, is_last) and not is_validated
        if wants_validation and not self._is_stopping():
            validation = self._validate()
            if validation is not None:
                yield validation
                if not math.isfinite(validation.loss):
                    yield self._diverge(step, f"the validation loss is {validation.loss}")
                    return
        if _is_due(step, every.sample_interval, is_last) and not self._is_stopping():
            yield from self.sample_now()
        is_best = validation is not None and validation.is_best
        is_due = _is_due(step, self._config.checkpoint_interval, is_last)
        # One that a person asked for at this step does not know of the validation yet.
        is_old = validation is not None and self._offered_step == step
        if is_due or is_best or is_old:
            yield from self._checkpoint(validation)

    def _measured(self) -> Generator[HealthMeasured, None, None]:
        if self._health is not None and not self.has_diverged:
            found = self._health.after_update()
            if found is not None:
                yield found

    def _validate(self) -> ValidationCompleted | None:
        before = self.clock.seconds("eval")
        with self.clock.during("eval"):
            found = self._probes.evaluate(self.model)
        if found is None:
            return None
        progress = self.progress
        is_best = found.loss < progress.best_loss
        progress.best_loss = min(progress.best_loss, found.loss)
        progress.validation = {
            "step": progress.step,
            "loss": found.loss,
            "perplexity": found.perplexity,
            "bits_per_byte": found.bits_per_byte,
            **({} if found.accuracy is None else {"accuracy": found.accuracy}),
        }
        return ValidationCompleted(
            step=progress.step,
            loss=found.loss,
            loss_ci95=found.loss_ci95,
            perplexity=found.perplexity,
            bits_per_byte=found.bits_per_byte,
            train_s=self.clock.seconds("train"),
            eval_s=self.clock.seconds("eval") - before,
            is_best=is_best,
            accuracy=found.accuracy,
        )

    def sample_now(self) -> Generator[SampleCompleted, None, None]:
        """See `Controllable.sample_now`."""
        with self.clock.during("sample"):
            found = self._probes.sample(self.model)
        if found is not None:
            yield SampleCompleted(step=self.progress.step, **found._asdict())

    def save_now(self) -> Generator[CheckpointDue | Diverged, None, None]:
        """See `Controllable.save_now`."""
        yield from self._checkpoint(None)

    def move_budget(self, budget: Budget) -> None:
        """See `Controllable.move_budget`."""
        self.budget, self.progress.budget = budget, asdict(budget)
        self._offered_step = None  # what was saved does not know of it
        self.is_finished = self._is_over()

    def _checkpoint(
        self, validation: ValidationCompleted | None
    ) -> Generator[CheckpointDue | Diverged, None, None]:
        """Weights that are not finite are never offered for saving."""
        step = self._offered_step = self.progress.step
        with self.clock.during("save"):
            broken = first_not_finite(self.model)
            if broken is None:
                loss = None if validation is None else validation.loss
                yield CheckpointDue(step=step, val_loss=loss)
                return
        yield self._diverge(step, f"{broken} holds a number that is not finite")

    def _diverge(self, step: int, what: str) -> Diverged:
        self.has_diverged = True
        return Diverged(step=step, what=what, checkpoint_step=None)

    def _rate(self, step: int) -> float:
        """What was recorded goes before what the schedule says."""
        if step in self._rates:
            return self._rates[step]
        return learning_rate(self._config, step, self._spent()) * self.progress.lr_factor

    def _is_over(self) -> bool:
        return self._spent() >= 1 and self.progress.step + 1 not in self._rates

    def _spent(self) -> float:
        """Share of the budget."""
        return self.budget.share(self.progress.step, self.clock.seconds("train"))


def _is_due(step: int, interval: int, is_last: bool) -> bool:
    return is_last or (interval > 0 and step % interval == 0)


def first_not_finite(model: nn.Module) -> str | None:
    """Name of a parameter that holds a NaN or an infinity."""
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            return name
    return None
