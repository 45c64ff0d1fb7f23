"""Training that begins with steps of another run: all of them again, or from one of them on in
another way."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from core import launch
from core.config import BUDGETS, RunConfig
from core.device import Device
from core.errors import ConfigError
from core.events import Controlled, SetupProgressed, TrainEvent
from core.launch import Retaken
from core.measure.agreement import judged
from core.measure.forecast import Behind
from core.parts import build, device_of, provenance_of, settled
from core.starts import begin_again, facts_for_fork, settings_for_fork
from core.store.baselines import with_baselines
from core.store.find import RunRef, find_run
from core.store.forks import begin_fork, begun_at, fork_again
from core.store.packed_weights import checked_not_quantized
from core.store.rates import given_controls, given_rates, keep_for_replay, rates_of_steps
from core.store.run import Run, create_run
from core.store.tokens import tokenized_text_of
from core.training.budget import Budget
from core.training.clock import Clock
from core.training.progress import Progress
from core.training.wishes import Wishes


def launch_replay(spec: str, name: str | None, wishes: Wishes) -> Generator[TrainEvent, None, None]:
    """A new run that takes the steps of another one again, with the rates and commands that were
    recorded; on the same machine it ends with the same weights, bit for bit. It begins as that
    run did: from its seed, or, if it is a fork, from its first checkpoint.

    Raises:
        MinitfError: there is no such run, it has no steps, its text has changed, or the name
            cannot be used; nothing was written.
    """
    source = launch.whole_run(spec, "is replayed from its seed")
    rates = rates_of_steps(source)
    clock, device = Clock(), device_of(source)
    yield SetupProgressed(stage=f"reading {source.config.text.corpus}")
    reading = tokenized_text_of(source, wishes.is_stopping)
    text = yield from with_baselines(source.config, reading, wishes.is_stopping)
    if text is None:
        return
    # What led back to a checkpoint is not among these steps, and what did not shall not now.
    config = source.config.with_changes(steps=len(rates), on_spike="warn")
    yield SetupProgressed(stage="building the model")
    parts = build(config, text, device, wishes)
    if wishes.is_stopping():
        return
    begun = begin_again(source, parts.model)
    provenance = provenance_of(parts, config) | begun.provenance
    provenance |= {"replay_of": source.name}

    def fill(folder: Path) -> None:
        keep_for_replay(source, rates, folder)
        begun.fill(folder)
        fork_again(source, folder)

    run = create_run(name, config, provenance, text.tokenizer.to_json(), fill)
    with run.lock():
        step, progress = begun_at(run), None
        if step is not None:
            clock, progress = launch.point_at(run, step)
            progress.budget = None  # there are as many steps as there are rates
        session = launch.session_of(run, parts, clock, progress, wishes, _given(run, progress))
        yield from judged(session.run(), source, run)


def launch_forked(
    spec: str, name: str | None, changes: Mapping[str, Any], wishes: Wishes
) -> Generator[TrainEvent, None, None]:
    """A new run that has the steps of another one up to a checkpoint, its weights and its
    moments, and goes on with other settings. Without changes it goes on as that run did.

    Raises:
        MinitfError: there is no such checkpoint, a setting cannot change, no budget is left, the
            text has changed, or the name cannot be used; nothing was written.
    """
    ref = find_run(spec)
    source = checked_not_quantized(ref.run)
    config = settings_for_fork(source, ref.step, changes)
    device = device_of(source)
    clock, progress = launch.point_at(source, ref.step)
    if BUDGETS.keys() & changes.keys():
        progress.budget = None
    yield SetupProgressed(stage=f"reading {config.text.corpus}")
    reading = tokenized_text_of(source, wishes.is_stopping)
    text = yield from with_baselines(source.config, reading, wishes.is_stopping)
    if text is None:
        return
    config = settled(config, text)
    budget = Budget.of(config.train, progress.budget)
    if budget.share(ref.step, clock.seconds("train")) >= 1:
        raise ConfigError(
            f"The budget of a fork from {source.name}@{ref.step} is spent where it begins.",
            hint=f"What was trained until there counts: try steps={ref.step + 1000}.",
        )
    yield SetupProgressed(stage="building the model")
    parts = build(config, text, device, wishes)
    if wishes.is_stopping():
        return
    provenance = provenance_of(parts, config) | facts_for_fork(source, ref.step)
    told = _told(ref, config, changes, progress)

    def fill(folder: Path) -> None:
        begin_fork(source, told, folder)

    stem = f"{source.name[:50]}-fork"
    run = create_run(name, config, provenance, text.tokenizer.to_json(), fill, stem=stem)
    with run.lock():
        yield from launch.session_of(run, parts, clock, progress, wishes).run()


def rest_of(
    spec: str, changes: Mapping[str, Any], *, is_fork: bool
) -> tuple[RunConfig, Device, Behind]:
    """What a run would go on with, resumed or forked, and what it has behind it.

    Raises:
        MinitfError: there is no such run or checkpoint, or a setting cannot change.
    """
    if is_fork:
        ref = find_run(spec)
        run, step = checked_not_quantized(ref.run), ref.step
        config = settings_for_fork(run, step, changes)
    else:
        run = launch.whole_run(spec, "goes on from its newest checkpoint")
        step = (run.checkpoint_steps() or [0])[-1]
        config = run.config.with_changes(**(BUDGETS | dict(changes))) if changes else run.config
    clock, progress = launch.point_at(run, step) if step else (Clock(), Progress())
    train = config.train
    if progress.budget is not None and not BUDGETS.keys() & changes.keys():
        train = replace(train, **(BUDGETS | progress.budget))
    return replace(config, train=train), device_of(run), Behind(step, clock.seconds("train"))


def _told(
    ref: RunRef, config: RunConfig, changes: Mapping[str, Any], progress: Progress
) -> Controlled:
    """What the metrics of a fork say of it."""
    changed = [f"{name} {value}" for name, value in changes.items()]
    budget = Budget.of(config.train, progress.budget)
    return Controlled(
        step=ref.step,
        action="fork",
        words=", ".join([f"{ref.run.name}@{ref.step}", *changed]),
        lr_factor=progress.lr_factor,
        steps=budget.steps,
        seconds=budget.seconds,
    )


def _given(run: Run, progress: Progress | None) -> Retaken:
    """What a replay was given to take again, from where it begins."""
    known = progress.controls if progress else ()
    controls = [control for control in given_controls(run) if control.n not in known]
    return Retaken(given_rates(run), controls, frozenset(c.n for c in controls))
