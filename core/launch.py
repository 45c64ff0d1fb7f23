"""Starting a training run, new or resumed: text, model, optimiser and probes put together."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from core.config import RunConfig, SamplingConfig
from core.device import Device, choose_device
from core.errors import CheckpointError, RunError
from core.events import (
    Evaluation,
    GenerationFinished,
    RunStarted,
    SetupProgressed,
    TrainEvent,
)
from core.infer.generate import generate
from core.measure.evaluate import evaluate
from core.model.transformer import Transformer
from core.store.checkpoint import load_moments, load_weights
from core.store.find import find_run, split_spec
from core.store.run import Run, change_budget, create_run
from core.store.tokens import TokenizedText, tokenize_corpus, tokenized_text_of
from core.text.batches import RandomBatches
from core.text.corpus import full_name
from core.training.clock import Clock
from core.training.optimizer import AdamW
from core.training.session import TrainingSession
from core.training.trainer import Probes, Progress, Trainer, progress_from

IsStopping = Callable[[], bool]
SAMPLE_PROMPT_TOKENS = 12
SAMPLE_TEMPERATURE = 0.7


def launch_new(
    config: RunConfig, name: str | None, is_stopping: IsStopping
) -> Generator[TrainEvent, None, None]:
    """Set up a run, make its folder, train it.

    Raises:
        MinitfError: a setting, the text, the device or the name cannot be used; nothing was
            written.
    """
    clock = Clock()
    device = choose_device(config.train.device, config.train.dtype, config.train.threads)
    yield SetupProgressed(stage=f"reading {config.text.corpus}")
    text = tokenize_corpus(config.text)
    config = _settled(config, text)
    batches = _batches(config, text)
    yield SetupProgressed(stage="building the model")
    model = Transformer(config.model, seed=config.train.seed).to(device.type)
    run = create_run(name, config, _provenance(text, model, device), text.tokenizer.to_json())
    yield from _session(run, text, model, batches, device, clock, None, is_stopping).run()


def launch_resumed(
    spec: str, steps: int | None, seconds: float | None, is_stopping: IsStopping
) -> Generator[TrainEvent, None, None]:
    """Go on from a run's newest checkpoint, on the device, dtype and threads it was made with.

    Raises:
        MinitfError: there is no such run, it is in use, or its text has changed.
    """
    run = _run_to_resume(spec)
    if steps is not None or seconds is not None:
        with run.lock():
            run = change_budget(run, steps=steps or 0, seconds=seconds or 0.0)
    made_with = run.provenance
    device = choose_device(
        str(made_with["device"]), str(made_with["dtype"]), int(made_with["threads"])
    )
    clock, progress = _resume_point(run)
    yield SetupProgressed(stage=f"reading {run.config.text.corpus}")
    text = tokenized_text_of(run)
    batches = _batches(run.config, text)
    model = Transformer(run.config.model, seed=run.config.train.seed).to(device.type)
    if progress is not None:
        load_weights(run, progress.step, model)
    yield from _session(run, text, model, batches, device, clock, progress, is_stopping).run()


def _resume_point(run: Run) -> tuple[Clock, Progress | None]:
    """Time and progress of the newest checkpoint; a run without one starts again."""
    saved = run.checkpoint_steps()
    if not saved:
        return Clock(), None
    state = run.checkpoint_state(saved[-1])
    try:
        return Clock(state["spent_s"]), progress_from(state)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"The checkpoint at step {saved[-1]} of {run.name} is damaged: state.json: {error}.",
            hint=f"Delete {run.checkpoint_path(saved[-1])} to go on from the one before.",
        ) from error


def _settled(config: RunConfig, text: TokenizedText) -> RunConfig:
    """What only the text decides: its full name, the number of token ids, and of steps in
    an epoch."""
    model = replace(config.model, vocab_size=text.tokenizer.vocab_size)
    train = config.train
    if train.epochs:
        tokens_per_step = train.batch_size * train.context
        steps = math.ceil(train.epochs * len(text.train_ids) / tokens_per_step)
        train = replace(train, steps=min(train.steps or steps, steps))
    named = replace(config.text, corpus=full_name(config.text.corpus))
    return replace(config, model=model, text=named, train=train)


def _run_to_resume(spec: str) -> Run:
    """A run may be younger than its first checkpoint: then it starts again from its seed."""
    _, step = split_spec(spec)
    if step:
        raise RunError(
            f"A run goes on from its newest checkpoint, not from {spec!r}.",
            hint=f"Leave out @{step}.",
        )
    return find_run(spec, needs_checkpoint=False).run


def _session(
    run: Run,
    text: TokenizedText,
    model: Transformer,
    batches: RandomBatches,
    device: Device,
    clock: Clock,
    progress: Progress | None,
    is_stopping: IsStopping,
) -> TrainingSession:
    config = run.config
    optimizer = AdamW(model, config.train)
    if progress is not None:
        load_moments(run, progress.step, optimizer)
    trainer = Trainer(
        model,
        optimizer,
        batches,
        make_probes(config, text, device, is_stopping),
        config.train,
        config.eval,
        device=device,
        clock=clock,
        progress=progress,
        is_stopping=is_stopping,
    )
    started = RunStarted(
        run=run.name,
        path=str(run.path),
        step=trainer.progress.step,
        steps=config.train.steps,
        seconds=config.train.seconds,
        n_params=_count(model),
        vocab_size=config.model.vocab_size,
        train_tokens=len(text.train_ids),
        validation_tokens=len(text.validation_ids),
        bytes_per_token=text.bytes_per_token,
        context=config.train.context,
        device=device.type,
        dtype=device.dtype,
        threads=device.threads,
    )
    return TrainingSession(run, model, trainer, started)


def make_probes(
    config: RunConfig, text: TokenizedText, device: Device, is_stopping: IsStopping
) -> Probes:
    """Whole-split validation and a text sample, both cut short when the run is to stop."""
    context = config.train.context
    stride = config.eval.stride or context

    def score(model: nn.Module) -> Evaluation | None:
        assert isinstance(model, Transformer)
        scoring = evaluate(
            model,
            text.tokenizer,
            text.validation_ids,
            context=context,
            stride=stride,
            device=device,
        )
        while not is_stopping():
            try:
                next(scoring)
            except StopIteration as end:
                return end.value
        return None

    def sample(model: nn.Module) -> tuple[str, str] | None:
        assert isinstance(model, Transformer)
        given = config.eval.sample_prompt
        if not config.eval.sample_tokens:
            return None
        prompt_ids = (
            text.tokenizer.encode(given).tolist()
            if given
            else text.held_out_prompt(SAMPLE_PROMPT_TOKENS)
        )
        sampling = SamplingConfig(
            max_new_tokens=config.eval.sample_tokens, temperature=SAMPLE_TEMPERATURE
        )
        writing = generate(
            model, text.tokenizer, prompt_ids, sampling, device, is_stopping=is_stopping
        )
        *_, last = writing
        assert isinstance(last, GenerationFinished)
        return text.tokenizer.decode(prompt_ids), last.result.text

    return Probes(evaluate=score, sample=sample)


def _batches(config: RunConfig, text: TokenizedText) -> RandomBatches:
    return RandomBatches(
        text.train_ids,
        batch_size=config.train.batch_size,
        context=config.train.context,
        seed=config.train.seed,
    )


def _provenance(text: TokenizedText, model: nn.Module, device: Device) -> dict[str, Any]:
    return {
        "corpus_sha256": text.corpus_sha256,
        "n_params": _count(model),
        "device": device.type,
        "dtype": device.dtype,
        "threads": device.threads,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


def _count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())
