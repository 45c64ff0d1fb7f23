"""What a run will cost, from a few of its real steps.

The steps are those the run itself would take: its model, its optimiser, its batches where
its text is at hand, else random ids of its vocabulary. Nothing of it is kept.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from core.config import RunConfig, TrainConfig
from core.device import Device, choose_device, synchronize
from core.errors import ConfigError
from core.events import (
    Forecast,
    ForecastCompleted,
    ForecastEvent,
    ForecastProgressed,
    SetupProgressed,
)
from core.infer.decoder import Decoder
from core.infer.engines.torch_engine import TorchEngine
from core.measure.evaluate import evaluate
from core.measure.statistics import summarize
from core.model.transformer import Transformer
from core.store.stages import IsStopping, Telling
from core.store.tokens import tokenize_corpus
from core.text.batches import make_batches
from core.text.sources import full_name, size_of
from core.text.tokenizer import Tokenizer
from core.training.optimizer import make_optimizer
from core.training.schedule import learning_rate
from core.training.step import compute_gradients

SMALL_BYTES = 4 << 20
"""A text up to this size is read and tokenised at once."""
WARM_UPS = 2
PROBE_SHARE = 0.2
"""Of the forecast's time, for each of validation and sample."""
SAMPLED_TOKENS = 8
BYTES_PER_TOKEN = {"byte": 1.0, "char": 1.0, "bpe": 3.5}
"""Guesses, for a text that is too large to be tokenised for a forecast."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What a run would learn from and be scored on, or something as large."""

    train_ids: NDArray[Any]
    validation_ids: NDArray[Any]
    n_train: int
    n_validation: int
    vocab_size: int


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds, each of one."""

    step_s: float
    validation_s: float
    sample_s: float
    checkpoint_s: float


def forecast(
    config: RunConfig, guessed_vocab: int, seconds: float, is_stopping: Callable[[], bool]
) -> Generator[ForecastEvent, None, None]:
    """Time the run's steps for about `seconds`; ends without a result when it is stopped.

    Args:
        guessed_vocab: number of token ids where the text is too large to find out.

    Raises:
        MinitfError: a setting, the text or the device cannot be used.
    """
    if not seconds > 0:
        raise ConfigError(f"seconds={seconds:g} is not above 0.", hint="Try seconds=3.")
    train = config.train
    device = choose_device(train.device, train.dtype, train.threads)
    ground = yield from find_ground(config, guessed_vocab, is_stopping)
    if ground is None:
        return
    yield SetupProgressed(stage="building the model")
    trial = Trial(config, ground, device)
    samples = yield from _timed(trial, seconds, is_stopping)
    if is_stopping():
        return
    yield SetupProgressed(stage="timing a validation, a sample and a checkpoint")
    costs = Costs(
        step_s=summarize(samples).mean,
        validation_s=trial.validation_s(PROBE_SHARE * seconds),
        sample_s=trial.sample_s(),
        checkpoint_s=trial.checkpoint_s(),
    )
    if not is_stopping():
        yield ForecastCompleted(result=_forecast(config, ground, trial, samples, costs))


def _timed(
    trial: Trial, seconds: float, is_stopping: Callable[[], bool]
) -> Generator[ForecastProgressed, None, list[float]]:
    """Seconds of each step but the warm-ups; fewer if it was stopped."""
    samples: list[float] = []
    began, spent = time.perf_counter(), 0.0
    while not is_stopping() and (not samples or spent < seconds):
        index = trial.steps + 1 - WARM_UPS
        step_s = trial.step()
        if index > 0:
            samples.append(step_s)
        else:
            began = time.perf_counter()
        # Read once: the last event told is then the one that says that all is done.
        spent = time.perf_counter() - began
        yield ForecastProgressed(
            index=index, step_ms=1000 * step_s, share=min(1.0, spent / seconds)
        )
    return samples


def _forecast(
    config: RunConfig, ground: Ground, trial: Trial, samples: list[float], costs: Costs
) -> Forecast:
    step, tokens_per_step = summarize(samples), config.train.tokens_per_step
    steps, total_s = extrapolate(config, ground.n_train, costs)
    return Forecast(
        step_ms=1000 * step.mean,
        step_ms_sd=1000 * step.sd,
        steps=steps,
        train_s=steps * step.mean,
        total_s=total_s,
        tokens=steps * tokens_per_step,
        tokens_per_s=tokens_per_step / step.mean,
        n_params=sum(p.numel() for p in trial.model.parameters()),
        peak_bytes=trial.peak_bytes(),
    )


def extrapolate(config: RunConfig, n_train: int, costs: Costs) -> tuple[int, float]:
    """Steps until the nearest budget ends the run, and its seconds with all that is done
    between them. A validation counts as the best so far, hence as a checkpoint."""
    train, every = config.train, config.eval
    limits = [train.planned_steps] if train.planned_steps else []
    if train.epochs:
        limits.append(math.ceil(train.epochs * n_train / train.tokens_per_step))
    if train.seconds:
        limits.append(math.ceil(train.seconds / costs.step_s))
    steps = max(1, min(limits)) if limits else 0
    saves = 1 + _times(steps, train.checkpoint_interval, every.eval_interval)
    return steps, (
        steps * costs.step_s
        + _times(steps, every.eval_interval) * costs.validation_s
        + _times(steps, every.sample_interval) * costs.sample_s
        + saves * costs.checkpoint_s
    )


def _times(steps: int, *intervals: int) -> int:
    """How many of steps 1 … `steps` are a multiple of an interval, or the last. By inclusion
    and exclusion: there may be 10⁹ of them."""
    kept = [interval for interval in intervals if interval]
    due = int(all(steps % interval for interval in kept))
    for size in range(1, len(kept) + 1):
        due -= (-1) ** size * sum(steps // math.lcm(*some) for some in combinations(kept, size))
    return due


class Trial:
    """A run's model and optimiser, for a few steps that nobody keeps."""

    def __init__(self, config: RunConfig, ground: Ground, device: Device) -> None:
        train = config.train
        model_config = replace(config.model, vocab_size=ground.vocab_size)
        self.model = Transformer(model_config, seed=train.seed).to(device.type)
        self.steps = 0
        self._config, self._ground, self._device = config, ground, device
        self._optimizer = make_optimizer(self.model, train, dtype=device.dtype)
        self._batches = make_batches(ground.train_ids, train)

    def step(self) -> float:
        """Take one; how many seconds it took."""
        began = time.perf_counter()
        self.steps += 1
        self._take(self._config.train)
        synchronize(self._device.type)
        return time.perf_counter() - began

    def _take(self, train: TrainConfig) -> None:
        compute_gradients(self.model, self._batches, train, self._device, self.steps)
        self._optimizer.step(learning_rate(train, self.steps, 0.0))

    def validation_s(self, at_most: float) -> float:
        """Of the whole split, from as much of it as can be scored in `at_most` seconds."""
        context = self._config.train.context
        scoring = evaluate(
            self.model,
            cast(Tokenizer, self._ground),  # of which only the vocabulary's size is asked
            self._ground.validation_ids,
            context=context,
            stride=self._config.eval.stride or context,
            device=self._device,
        )
        began = time.perf_counter()
        scored, spent = 0, 0.0
        for event in scoring:
            scored, spent = event.tokens, time.perf_counter() - began
            if spent > at_most or event.tokens == event.of:
                break
        return spent * self._ground.n_validation / max(1, scored)

    def sample_s(self) -> float:
        """Of one text sample, from its first tokens."""
        wanted = self._config.eval.sample_tokens
        if not wanted:
            return 0.0
        decoder, n_tokens = (
            Decoder(TorchEngine(self.model, self._device)),
            min(wanted, SAMPLED_TOKENS),
        )
        began = time.perf_counter()
        for _ in range(n_tokens):
            decoder.feed([0])
        return (time.perf_counter() - began) / n_tokens * wanted

    def checkpoint_s(self) -> float:
        """Of writing weights and moments, to a file of the system's temporary folder."""
        weights = {name: p.detach() for name, p in self.model.named_parameters()}
        state = {f"{name}.": t for name, t in self._optimizer.state().items()}
        tensors = {name: t.cpu().contiguous() for name, t in (weights | state).items()}
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            save_file(tensors, Path(folder) / "tensors")
        return time.perf_counter() - began

    def peak_bytes(self) -> int:
        """Bytes of tensors at the peak of a step; takes one."""
        one_batch = replace(self._config.train, grad_accum=1)
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
            self._take(one_batch)
            return torch.cuda.max_memory_allocated()
        states = {p.untyped_storage().data_ptr(): p.nbytes for p in self.model.parameters()}
        held: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in states:
                held[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            self._take(one_batch)
        # Where the backward pass begins, the largest tensor has its gradient beside it.
        moments = sum(t.nbytes for t in self._optimizer.state().values())
        return 2 * sum(states.values()) + moments + sum(held.values()) + max(held.values())


def find_ground(
    config: RunConfig, guessed_vocab: int, is_stopping: IsStopping
) -> Telling[Ground | None]:
    """What its steps would learn from; None if it was stopped. A stream is left to the run
    itself: it can be read only once."""
    n_bytes = size_of(full_name(config.text.source))
    if n_bytes is not None and n_bytes <= SMALL_BYTES:
        text = yield from tokenize_corpus(config.text, is_stopping)
        if text is None:
            return None
        train, held_out = text.train_ids, text.validation_ids
        return Ground(train, held_out, len(train), len(held_out), text.tokenizer.vocab_size)
    n_tokens = int((n_bytes or SMALL_BYTES) / BYTES_PER_TOKEN[config.text.tokenizer])
    n_tokens = min(n_tokens, config.text.max_tokens or n_tokens)
    n_validation = int(n_tokens * config.text.validation_fraction)
    ids = np.random.default_rng(config.train.seed).integers(0, guessed_vocab, SMALL_BYTES)
    return Ground(ids, ids, n_tokens - n_validation, n_validation, guessed_vocab)
