"""What each thing that a run does takes, measured on a trial of it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from core.config import SamplingConfig
from core.events import EvaluationProgressed, PromptRead, TokenGenerated
from core.infer.decoder import Decoder
from core.infer.engines.torch_engine import TorchEngine
from core.infer.generate import generate
from core.measure.answers import evaluate_answers
from core.measure.evaluate import evaluate
from core.measure.ground import Ground
from core.measure.trial import Trial
from core.store.checkpoint import save_tensors, weights_of
from core.store.tokens import TokenizedText
from core.text.tokenizer import Tokenizer
from core.training.health import Health
from core.training.step import compute_gradients

PROMPT_TOKENS = 12
SAMPLED_TOKENS = 8
"""Where there is no text to go on from."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds, each of one."""

    step_s: float
    """With its share of what is measured of the model's health."""
    validation_s: float
    sample_s: float
    checkpoint_s: float
    compile_s: float = 0.0
    """What the first steps take beyond others where they are compiled; less if that was done here
    before."""


def health_s(trial: Trial) -> float:
    """Of one measurement of the model's health, where a run makes one every so many steps."""
    config, model, device = trial.config, trial.model, trial.device
    if not (config.eval.health_interval and config.eval.health_share):
        return 0.0
    every_step = config.with_changes(health_interval=1)
    health = Health(model, trial.batches, every_step, device=device)
    compute_gradients(model, trial.batches, config.train, device, 1)
    health.before_update(1, 1.0, 0.0)
    measured = health.after_update()
    return 0.0 if measured is None else measured.cost_s


def validation_s(trial: Trial, ground: Ground, at_most: float) -> float:
    """Of the whole split, from as much of it as can be scored in `at_most` seconds."""
    config, model, text = trial.config, trial.model, ground.text
    context, found = config.train.context, 0.0
    if not config.train.answers_only:
        scoring = evaluate(
            model,
            # Without a text only the vocabulary's size is asked of it.
            cast(Tokenizer, ground if text is None else text.tokenizer),
            ground.validation_ids,
            context=context,
            stride=config.eval.stride or context,
            device=trial.device,
        )
        scored, spent = _scored(scoring, at_most, may_end=text is not None)
        found += spent * ground.n_validation / max(1, scored.tokens)
    if config.text.is_task and text is not None:
        answers = evaluate_answers(
            model, text.tokenizer, text.validation_ids, context, trial.device
        )
        scored, spent = _scored(answers, at_most, may_end=True)
        found += spent * scored.of / max(1, scored.tokens)
    return found


def sample_s(trial: Trial, text: TokenizedText | None, at_most: float) -> float:
    """Of one text sample, from as many of its tokens as can be written in `at_most` seconds."""
    wanted = trial.config.eval.sample_tokens
    if not wanted:
        return 0.0
    if text is None:
        return _fed_s(trial, min(wanted, SAMPLED_TOKENS)) * wanted
    given = trial.config.eval.sample_prompt
    prompt: list[int] = (
        text.tokenizer.encode_prompt(given).tolist()
        if given
        else text.held_out_prompt(PROMPT_TOKENS)
    )
    sampling = SamplingConfig(max_new_tokens=wanted, temperature=0.7, engine="torch")
    began = time.perf_counter()
    n_written, read_s, spent = 0, 0.0, 0.0
    for event in generate(trial.model, text.tokenizer, prompt, sampling, trial.device):
        spent = time.perf_counter() - began
        if isinstance(event, PromptRead):
            read_s = spent
        n_written += isinstance(event, TokenGenerated)
        if n_written and spent > at_most:
            break
    return read_s + (spent - read_s) * wanted / max(1, n_written)


def _fed_s(trial: Trial, n_tokens: int) -> float:
    """Seconds a token, of the first ones."""
    decoder = Decoder(TorchEngine(trial.model, trial.device))
    began = time.perf_counter()
    for _ in range(n_tokens):
        decoder.feed([0])
    return (time.perf_counter() - began) / n_tokens


def checkpoint(trial: Trial) -> tuple[float, int]:
    """Seconds and bytes of one: weights and moments, written to a folder of the system's for
    what is temporary until the disk has them."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        save_tensors(Path(folder) / "model", weights_of(trial.model))
        save_tensors(Path(folder) / "state", trial.optimizer.state())
        spent = time.perf_counter() - began
        return spent, sum(file.stat().st_size for file in Path(folder).iterdir())


def peak_bytes(trial: Trial) -> int:
    """Bytes of tensors at the peak of a step; takes one."""
    one_batch = replace(trial.config.train, grad_accum=1)
    if trial.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        trial.take(one_batch)
        return torch.cuda.max_memory_allocated()
    states = {p.untyped_storage().data_ptr(): p.nbytes for p in trial.model.parameters()}
    held: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in states:
            held[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        trial.take(one_batch)
    # Where the backward pass begins, the largest tensor has its gradient beside it.
    moments = sum(t.nbytes for t in trial.optimizer.state().values())
    return 2 * sum(states.values()) + moments + sum(held.values()) + max(held.values())


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
