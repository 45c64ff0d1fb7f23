"""The training loop, as a generator of events.

The loop owns the order of things and nothing else: it does not print, draw, log or save.
To pause a run, stop pulling. To end it, let `is_stopping` say so and pull what is left, or
close the generator from the thread that pulls.

Invariant: step k depends on the weights and moments after step k-1, on the config and on k
alone. Batches and dropout are drawn from (seed, k), so a resumed run takes the same steps.
(Under a budget in seconds the schedule also depends on the training time so far.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from core.config import EvalConfig, TrainConfig
from core.device import Device
from core.events import (
    CheckpointDue,
    Diverged,
    Evaluation,
    SampleCompleted,
    StepCompleted,
    TrainEvent,
    ValidationCompleted,
)
from core.training.clock import Clock
from core.training.optimizer import AdamW, clip_gradients
from core.training.schedule import learning_rate


class Batches(Protocol):
    """Where rows come from."""

    def at(self, step: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """`(inputs, targets)` of a step, int64 of shape (B, T)."""


@dataclass(slots=True)
class Progress:
    """How far a run is; kept in its checkpoints."""

    step: int = 0
    tokens: int = 0
    best_loss: float = math.inf
    validation: dict[str, float] | None = None
    """The newest one: step, loss, perplexity, bits_per_byte."""


@dataclass(frozen=True, slots=True)
class Probes:
    """What is done to the model between steps. Each may return None: it was cut short."""

    evaluate: Callable[[nn.Module], Evaluation | None]
    sample: Callable[[nn.Module], tuple[str, str] | None]
    """Returns `(prompt, continuation)`."""


class Trainer:
    """Trains one model on one stream of batches."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: AdamW,
        batches: Batches,
        probes: Probes,
        config: TrainConfig,
        eval_config: EvalConfig,
        *,
        device: Device,
        clock: Clock | None = None,
        progress: Progress | None = None,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.model, self.optimizer = model, optimizer
        self.progress = progress or Progress()
        self.clock = clock or Clock()
        self.has_diverged = False
        self._offered_step: int | None = None
        self._batches, self._probes = batches, probes
        self._config, self._eval_config = config, eval_config
        self._device = device
        self._is_stopping = is_stopping
        self.is_finished = self._spent() >= 1
        """Whether the budget is spent."""

    def run(self) -> Generator[TrainEvent, None, None]:
        """Train until the budget is spent or somebody wants it to stop. Call once."""
        if self.progress.step == 0:
            yield from self._checkpoint(None)
        else:
            self._offered_step = self.progress.step
        with self.clock.during("train"):
            if self.owes_validation:
                yield from self._after_step()
            while not (self.is_finished or self.has_diverged or self._is_stopping()):
                yield self._take_step()
                if not self.has_diverged:
                    yield from self._after_step()
            if self._offered_step != self.progress.step and not self.has_diverged:
                yield from self._checkpoint(None)

    @property
    def owes_validation(self) -> bool:
        """Whether a resumed run was stopped where a validation was due, before it was made."""
        step, last = self.progress.step, self.progress.validation
        is_due = _is_due(step, self._eval_config.eval_interval, self.is_finished)
        return step > 0 and is_due and (last is None or last["step"] != step)

    def _take_step(self) -> StepCompleted | Diverged:
        step, config = self.progress.step + 1, self._config
        began = self.clock.seconds("train")
        lr = learning_rate(config, step, min(1.0, self._spent()))
        inputs, targets = (self._device.tensor(ids) for ids in self._batches.at(step))
        loss = self._backward(inputs, targets, step)
        grad_norm = clip_gradients(self.model, config.grad_clip)
        loss_value, norm_value = loss.item(), grad_norm.item()
        for what, value in (("loss", loss_value), ("gradient norm", norm_value)):
            if not math.isfinite(value):
                return self._diverge(step, f"the {what} is {value}")
        self.optimizer.step(lr)
        self.progress.step = step
        self.progress.tokens += inputs.numel()
        train_s = self.clock.seconds("train")
        # Asked once a step, so that all that is due at the end is due together.
        self.is_finished = self._spent() >= 1
        return StepCompleted(
            step=step,
            loss=loss_value,
            lr=lr,
            grad_norm=norm_value,
            tokens=self.progress.tokens,
            tokens_per_s=inputs.numel() / max(train_s - began, 1e-9),
            train_s=train_s,
        )

    def _backward(self, inputs: Tensor, targets: Tensor, step: int) -> Tensor:
        """Gradients of the mean loss, in nats per token."""
        self.model.train()
        torch.manual_seed(_dropout_seed(self._config.seed, step))
        with self._device.autocast():
            logits = self.model(inputs)
        loss = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        return loss.detach()

    def _after_step(self) -> Generator[TrainEvent, None, None]:
        step, every = self.progress.step, self._eval_config
        is_last = self.is_finished
        intervals = (every.eval_interval, every.sample_interval, self._config.checkpoint_interval)
        if not any(_is_due(step, interval, is_last) for interval in intervals):
            return
        validation = None
        if broken := first_not_finite(self.model):
            yield self._diverge(step, f"{broken} holds a number that is not finite")
            return
        if _is_due(step, every.eval_interval, is_last) and not self._is_stopping():
            validation = self._validate()
            if validation is not None:
                yield validation
                if not math.isfinite(validation.loss):
                    yield self._diverge(step, f"the validation loss is {validation.loss}")
                    return
        if _is_due(step, every.sample_interval, is_last) and not self._is_stopping():
            yield from self._sample()
        is_best = validation is not None and validation.is_best
        is_due = _is_due(step, self._config.checkpoint_interval, is_last)
        if is_due or is_best:
            yield from self._checkpoint(validation)

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
        )

    def _sample(self) -> Generator[SampleCompleted, None, None]:
        with self.clock.during("sample"):
            found = self._probes.sample(self.model)
        if found is not None:
            yield SampleCompleted(step=self.progress.step, prompt=found[0], text=found[1])

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

    def _spent(self) -> float:
        """Share of the budget, by whichever limit is nearer."""
        config = self._config
        by_steps = self.progress.step / config.steps if config.steps else 0.0
        by_time = self.clock.seconds("train") / config.seconds if config.seconds else 0.0
        return max(by_steps, by_time)


def _is_due(step: int, interval: int, is_last: bool) -> bool:
    return is_last or (interval > 0 and step % interval == 0)


def _dropout_seed(seed: int, step: int) -> int:
    return int(np.random.SeedSequence((seed, step)).generate_state(1, np.uint64)[0] >> 1)


def first_not_finite(model: nn.Module) -> str | None:
    """Name of a parameter that holds a NaN or an infinity."""
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            return name
    return None


def state_of(progress: Progress, clock: Clock) -> dict[str, Any]:
    """What a checkpoint keeps beside tensors, as JSON."""
    validation = progress.validation
    return {
        "tokens": progress.tokens,
        "best_loss": progress.best_loss if math.isfinite(progress.best_loss) else None,
        "last_validation": validation,
        "validation": validation if validation and validation["step"] == progress.step else None,
        "spent_s": clock.spent(),
    }


def progress_from(state: dict[str, Any]) -> Progress:
    """Back from `state_of`."""
    best = state["best_loss"]
    return Progress(
        step=state["step"],
        tokens=state["tokens"],
        best_loss=math.inf if best is None else best,
        validation=state["last_validation"],
    )
