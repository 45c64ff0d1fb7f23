"""Starting a training run, new or resumed: text, model, optimiser and probes put together."""

from __future__ import annotations

import math
from collections.abc import Collection, Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from core.config import RunConfig
from core.device import Device, choose_device, environment
from core.errors import CheckpointError, RunError
from core.events import RunStarted, SetupProgressed, TrainEvent
from core.measure.agreement import judged
from core.measure.machine import check_memory
from core.model.transformer import Transformer
from core.probes import make_probes
from core.starts import begin, begin_again, find_start, settings_for
from core.store.baselines import with_baselines
from core.store.checkpoint import load_moments, load_weights
from core.store.find import find_run, split_spec
from core.store.floor import FLOOR_FACTS, floor_facts
from core.store.packed_weights import checked_not_quantized
from core.store.rates import (
    forget_given_rates,
    given_rates,
    keep_for_replay,
    rates_of_steps,
    rates_still_given,
    rates_to_repeat,
)
from core.store.run import Run, change_budget, create_run
from core.store.tokens import TokenizedText, tokenize_corpus, tokenized_text_of
from core.text.problem_batches import make_batches
from core.training.clock import Clock
from core.training.optimizer import AdamW
from core.training.progress import Progress, progress_from
from core.training.session import TrainingSession
from core.training.step import Batches
from core.training.trainer import Probes, Trainer
from core.training.wishes import Wishes


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a run is made of, beside its folder."""

    text: TokenizedText
    device: Device
    model: Transformer
    batches: Batches
    probes: Probes


def launch_new(
    config: RunConfig, name: str | None, wishes: Wishes, init_from: str, given: Collection[str]
) -> Generator[TrainEvent, None, None]:
    """Set up a run, make its folder, train it.

    Args:
        init_from: a run whose weights it begins with; "" for fresh ones.
        given: settings that somebody asked for; see `core.starts.settings_for`.

    Raises:
        MinitfError: a setting, the text, the device or the name cannot be used; nothing was
            written.
    """
    clock = Clock()
    device = choose_device(config.train.device, config.train.dtype, config.train.threads)
    start = find_start(init_from) if init_from else None
    if start is not None:
        config = settings_for(config, start.ref.run, given)
    tokenizer = None if start is None else start.tokenizer
    reading = tokenize_corpus(config.text, wishes.is_stopping, tokenizer)
    text = yield from with_baselines(config, reading, wishes.is_stopping)
    if text is None:
        return
    config = _settled(config, text)
    yield SetupProgressed(stage="building the model")
    parts = _build(config, text, device, wishes)
    if wishes.is_stopping():
        return
    begun = begin(start, parts.model)
    provenance = _provenance(parts, config) | begun.provenance
    run = create_run(name, config, provenance, text.tokenizer.to_json(), begun.fill)
    with run.lock():
        yield from _session(run, parts, clock, None, wishes, {}).run()


def launch_resumed(
    spec: str, budget: Mapping[str, Any], wishes: Wishes
) -> Generator[TrainEvent, None, None]:
    """Go on from a run's newest checkpoint, on the device, dtype and threads it was made with.

    Args:
        budget: steps, seconds or tokens, to take the place of the run's own; or nothing.

    Raises:
        MinitfError: there is no such run, it is in use, or its text has changed.
    """
    run = _whole_run(spec, "goes on from its newest checkpoint")
    with run.lock():
        if budget:
            run = change_budget(run, budget)
            forget_given_rates(run)
        yield from _go_on(run, wishes, keeps_budget=not budget)


def launch_replay(spec: str, name: str | None, wishes: Wishes) -> Generator[TrainEvent, None, None]:
    """A new run that takes the steps of another one again, from its seed, with the rates that
    were recorded; on the same machine it ends with the same weights, bit for bit.

    Raises:
        MinitfError: there is no such run, it has no steps, its text has changed, or the name
            cannot be used; nothing was written.
    """
    source = _whole_run(spec, "is replayed from its seed")
    rates = rates_of_steps(source)
    clock, device = Clock(), _device_of(source)
    yield SetupProgressed(stage=f"reading {source.config.text.corpus}")
    reading = tokenized_text_of(source, wishes.is_stopping)
    text = yield from with_baselines(source.config, reading, wishes.is_stopping)
    if text is None:
        return
    config = source.config.with_changes(steps=len(rates))
    yield SetupProgressed(stage="building the model")
    parts = _build(config, text, device, wishes)
    if wishes.is_stopping():
        return
    begun = begin_again(source, parts.model)
    provenance = _provenance(parts, config) | begun.provenance | {"replay_of": source.name}

    def fill(folder: Path) -> None:
        keep_for_replay(source, rates, folder)
        begun.fill(folder)

    run = create_run(name, config, provenance, text.tokenizer.to_json(), fill)
    with run.lock():
        session = _session(run, parts, clock, None, wishes, given_rates(run))
        yield from judged(session.run(), source, run)


def _go_on(run: Run, wishes: Wishes, *, keeps_budget: bool) -> Generator[TrainEvent, None, None]:
    device = _device_of(run)
    clock, progress = _resume_point(run)
    rates = _rates_to_resume(run, progress or Progress()) if keeps_budget else {}
    yield SetupProgressed(stage=f"reading {run.config.text.corpus}")
    reading = tokenized_text_of(run, wishes.is_stopping)
    text = yield from with_baselines(run.config, reading, wishes.is_stopping)
    if text is None:
        return
    parts = _build(run.config, text, device, wishes)
    yield from _session(run, parts, clock, progress, wishes, rates).run()


def _rates_to_resume(run: Run, progress: Progress) -> dict[int, float]:
    """Of steps still to come, where the rate is not a function of the step alone."""
    if run.config.train.seconds:
        found = rates_to_repeat(run.path)
    else:
        found = rates_still_given(run, progress.returns)
    return {step: rate for step, rate in found.items() if step > progress.step}


def _device_of(run: Run) -> Device:
    """Device, dtype and threads that a run was made with."""
    made_with = run.provenance
    return choose_device(
        str(made_with["device"]), str(made_with["dtype"]), int(made_with["threads"])
    )


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
    an epoch. Budgets in epochs and tokens become one in steps."""
    model = replace(config.model, vocab_size=text.tokenizer.vocab_size)
    train = config.train
    limits = [train.planned_steps]
    if train.epochs:
        limits.append(math.ceil(train.epochs * len(text.train_ids) / train.tokens_per_step))
    train = replace(train, steps=min((n for n in limits if n), default=0))
    named = replace(config.text, corpus=text.corpus)
    return replace(config, model=model, text=named, train=train)


def _whole_run(spec: str, what: str) -> Run:
    """A run may be younger than its first checkpoint: then it starts again from its seed."""
    _, step = split_spec(spec)
    if step:
        raise RunError(
            f"A run {what}, not from {spec!r}.",
            hint=f"Leave out @{step}.",
        )
    return checked_not_quantized(find_run(spec, needs_checkpoint=False).run)


def _build(config: RunConfig, text: TokenizedText, device: Device, wishes: Wishes) -> _Parts:
    check_memory(config, device)
    return _Parts(
        text=text,
        device=device,
        model=Transformer(config.model, seed=config.train.seed).to(device.type),
        batches=make_batches(config, text.tokenizer, text.train_ids),
        probes=make_probes(config, text, device, wishes.is_stopping),
    )


def _session(
    run: Run,
    parts: _Parts,
    clock: Clock,
    progress: Progress | None,
    wishes: Wishes,
    rates: Mapping[int, float],
) -> TrainingSession:
    optimizer = AdamW(parts.model, run.config.train)
    if progress is not None:
        load_weights(run, progress.step, parts.model)
        load_moments(run, progress.step, optimizer)
    trainer = Trainer(
        parts.model,
        optimizer,
        parts.batches,
        parts.probes,
        run.config.train,
        run.config.eval,
        device=parts.device,
        clock=clock,
        progress=progress,
        is_stopping=wishes.is_stopping,
        wants_save=wishes.take_save,
        rates=rates,
    )
    started = _started(run, parts, trainer.progress.step)
    return TrainingSession(run, parts.model, trainer, started, parts.text.baselines)


def _started(run: Run, parts: _Parts, step: int) -> RunStarted:
    train, text, device = run.config.train, parts.text, parts.device
    return RunStarted(
        run=run.name,
        path=str(run.path),
        step=step,
        steps=train.steps,
        seconds=train.seconds,
        n_params=_count(parts.model),
        vocab_size=run.config.model.vocab_size,
        train_tokens=len(text.train_ids),
        validation_tokens=len(text.validation_ids),
        bytes_per_token=text.bytes_per_token,
        context=train.context,
        device=device.type,
        dtype=device.dtype,
        threads=device.threads,
        tokens_per_step=train.tokens_per_step,
        **{name: run.provenance.get(name) for name in FLOOR_FACTS},
    )


def _provenance(parts: _Parts, config: RunConfig) -> dict[str, Any]:
    return {
        "corpus_sha256": parts.text.corpus_sha256,
        "n_params": _count(parts.model),
        **environment(parts.device),
        **floor_facts(config.text, parts.text),
    }


def _count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())
