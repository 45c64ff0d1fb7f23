"""A run's model and optimiser, for a few steps that nobody keeps: what each thing it does takes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from numpy.typing import NDArray
from torch import Tensor

from core.config import RunConfig, SamplingConfig, TrainConfig
from core.device import Device, synchronize
from core.events import EvaluationProgressed, PromptRead, TokenGenerated
from core.infer.decoder import Decoder
from core.infer.engines.torch_engine import TorchEngine
from core.infer.generate import generate
from core.measure.answers import evaluate_answers
from core.measure.evaluate import evaluate
from core.model.transformer import Transformer
from core.store.checkpoint import save_tensors, weights_of
from core.store.tokens import TokenizedText
from core.text import batches
from core.text.batches import Batches
from core.text.problem_batches import make_batches
from core.text.tokenizer import Tokenizer
from core.training.health import Health
from core.training.optimizer import make_optimizer
from core.training.schedule import learning_rate
from core.training.step import compute_gradients

PROMPT_TOKENS = 12
SAMPLED_TOKENS = 8
"""Where there is no text to go on from."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What a run would learn from and be scored on, or something as large."""

    train_ids: NDArray[Any]
    validation_ids: NDArray[Any]
    n_train: int
    n_validation: int
    vocab_size: int
    text: TokenizedText | None = None
    """None where the text is too large to be read for a forecast."""
    floor: float | None = None
    """The least loss that the held-out text allows, where its source is known; nats per token."""
    setup_s: float = 0.0
    """To have the text again, tokenised and counted."""


class Trial:
    """The model and optimiser of a run, and what it learns from."""

    def __init__(self, config: RunConfig, ground: Ground, device: Device) -> None:
        train = config.train
        model_config = replace(config.model, vocab_size=ground.vocab_size)
        self.model = Transformer(model_config, seed=train.seed).to(device.type)
        self.steps = 0
        self.ground, self._config = ground, config
        self._batches = _batches(config, ground)
        self._device = device
        self._optimizer = make_optimizer(self.model, train, dtype=device.dtype)

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

    def health_s(self) -> float:
        """Of one measurement of the model's health, where a run makes one every so many steps."""
        if not (self._config.eval.health_interval and self._config.eval.health_share):
            return 0.0
        every_step = self._config.with_changes(health_interval=1)
        health = Health(self.model, self._batches, every_step, device=self._device)
        compute_gradients(
            self.model, self._batches, self._config.train, self._device, self.steps + 1
        )
        health.before_update(self.steps + 1, 1.0, 0.0)
        measured = health.after_update()
        return 0.0 if measured is None else measured.cost_s

    def validation_s(self, at_most: float) -> float:
        """Of the whole split, from as much of it as can be scored in `at_most` seconds."""
        config, ground, text = self._config, self.ground, self.ground.text
        context, found = config.train.context, 0.0
        if not config.train.answers_only:
            scoring = evaluate(
                self.model,
                # Without a text only the vocabulary's size is asked of it.
                cast(Tokenizer, ground if text is None else text.tokenizer),
                ground.validation_ids,
                context=context,
                stride=config.eval.stride or context,
                device=self._device,
            )
            scored, spent = _scored(scoring, at_most, may_end=text is not None)
            found += spent * ground.n_validation / max(1, scored.tokens)
        if config.text.is_task and text is not None:
            answers = evaluate_answers(
                self.model, text.tokenizer, text.validation_ids, context, self._device
            )
            scored, spent = _scored(answers, at_most, may_end=True)
            found += spent * scored.of / max(1, scored.tokens)
        return found

    def sample_s(self, at_most: float) -> float:
        """Of one text sample, from as many of its tokens as can be written in `at_most` seconds."""
        wanted, text = self._config.eval.sample_tokens, self.ground.text
        if not wanted:
            return 0.0
        if text is None:
            return self._fed_s(min(wanted, SAMPLED_TOKENS)) * wanted
        given = self._config.eval.sample_prompt
        prompt: list[int] = (
            text.tokenizer.encode_prompt(given).tolist()
            if given
            else text.held_out_prompt(PROMPT_TOKENS)
        )
        sampling = SamplingConfig(max_new_tokens=wanted, temperature=0.7, engine="torch")
        began = time.perf_counter()
        n_written, read_s, spent = 0, 0.0, 0.0
        for event in generate(self.model, text.tokenizer, prompt, sampling, self._device):
            spent = time.perf_counter() - began
            if isinstance(event, PromptRead):
                read_s = spent
            n_written += isinstance(event, TokenGenerated)
            if n_written and spent > at_most:
                break
        return read_s + (spent - read_s) * wanted / max(1, n_written)

    def _fed_s(self, n_tokens: int) -> float:
        """Seconds a token, of the first ones."""
        decoder = Decoder(TorchEngine(self.model, self._device))
        began = time.perf_counter()
        for _ in range(n_tokens):
            decoder.feed([0])
        return (time.perf_counter() - began) / n_tokens

    def checkpoint(self) -> tuple[float, int]:
        """Seconds and bytes of one: weights and moments, written to a folder of the system's for
        what is temporary until the disk has them."""
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            save_tensors(Path(folder) / "model", weights_of(self.model))
            save_tensors(Path(folder) / "state", self._optimizer.state())
            spent = time.perf_counter() - began
            return spent, sum(file.stat().st_size for file in Path(folder).iterdir())

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


def _batches(config: RunConfig, ground: Ground) -> Batches:
    if ground.text is None:
        return batches.make_batches(ground.train_ids, config.train)
    return make_batches(config, ground.text.tokenizer, ground.train_ids)


def _scored(
    scoring: Generator[EvaluationProgressed, None, Any], at_most: float, *, may_end: bool
) -> tuple[EvaluationProgressed, float]:
    """How far a scoring came, and in how many seconds.

    Args:
        may_end: let it sum up, too, if it came to its end in time.
    """
    began = time.perf_counter()
    last, spent = EvaluationProgressed(tokens=0, of=0, loss=0.0), 0.0
    for event in scoring:
        last, spent = event, time.perf_counter() - began
        if spent > at_most or (event.tokens == event.of and not may_end):
            return last, spent
    return last, time.perf_counter() - began
