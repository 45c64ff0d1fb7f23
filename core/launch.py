"""Starting a training run, new or resumed: text, model, optimiser and probes put together."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from core.config import RunConfig
from core.errors import CheckpointError, RunError
from core.events import RunStarted, SetupProgressed, TrainEvent
from core.measure.pace import may_be_measured
from core.parts import (
    GAIN,
    Parts,
    build,
    count,
    device_of,
    paced,
    provenance_of,
    settled,
    wanted_device,
)
from core.starts import begin, find_start, settings_for
from core.store.baselines import with_baselines
from core.store.checkpoint import forget_moved_budget, load_moments, load_weights
from core.store.controls import Recorded, controls_to_repeat
from core.store.find import find_run, split_spec
from core.store.floor import FLOOR_FACTS
from core.store.inbox import clear, take
from core.store.packed_weights import checked_not_quantized
from core.store.rates import (
    forget_given_rates,
    given_controls,
    rates_still_given,
    rates_to_repeat,
)
from core.store.run import Run, change_budget, create_run
from core.store.tokens import tokenize_corpus, tokenized_text_of
from core.training.clock import Clock
from core.training.control import Control
from core.training.health import Health
from core.training.optimizer import make_optimizer
from core.training.progress import Progress, progress_from
from core.training.session import TrainingSession
from core.training.step import forget_compiled
from core.training.trainer import Trainer
from core.training.wishes import Wishes


@dataclass(frozen=True, slots=True)
class Retaken:
    """What of a run is taken again as it was."""

    rates: Mapping[int, float] = field(default_factory=dict)
    """By step."""
    controls: Collection[Recorded] = ()
    told_only: Collection[int] = ()
    """See `core.training.control.Control`."""


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
    device = wanted_device(config)
    start = find_start(init_from) if init_from else None
    if start is not None:
        config = settings_for(config, start.ref.run, given)
    tokenizer = None if start is None else start.tokenizer
    reading = tokenize_corpus(config.text, wishes.is_stopping, tokenizer)
    text = yield from with_baselines(config, reading, wishes.is_stopping)
    if text is None:
        return
    config = settled(config, text)
    yield SetupProgressed(stage="building the model")
    parts = build(config, text, device, wishes)
    if wishes.is_stopping():
        return
    begun = begin(start, parts.model)
    if may_be_measured(config, device):
        yield SetupProgressed(stage="choosing threads and number type")
    parts = paced(config, parts, clock, wishes)
    if wishes.is_stopping():
        return
    provenance = provenance_of(parts, config) | begun.provenance
    run = create_run(name, config, provenance, text.tokenizer.to_json(), begun.fill)
    with run.lock():
        yield from session_of(run, parts, clock, None, wishes).run()


def launch_resumed(
    spec: str, budget: Mapping[str, Any], wishes: Wishes
) -> Generator[TrainEvent, None, None]:
    """Go on from a run's newest checkpoint, on the device, dtype and threads it was made with.

    Args:
        budget: steps, seconds or tokens, to take the place of the run's own; or nothing.

    Raises:
        MinitfError: there is no such run, it is in use, or its text has changed.
    """
    run = whole_run(spec, "goes on from its newest checkpoint")
    with run.lock():
        clear(run.path)
        if budget:
            forget_moved_budget(run)
            run = change_budget(run, budget)
            forget_given_rates(run)
        yield from _go_on(run, wishes, keeps_budget=not budget)


def _go_on(run: Run, wishes: Wishes, *, keeps_budget: bool) -> Generator[TrainEvent, None, None]:
    device = device_of(run)
    clock, progress = _resume_point(run)
    again = _to_take_again(run, progress or Progress(), keeps_budget=keeps_budget)
    yield SetupProgressed(stage=f"reading {run.config.text.corpus}")
    reading = tokenized_text_of(run, wishes.is_stopping)
    text = yield from with_baselines(run.config, reading, wishes.is_stopping)
    if text is None:
        return
    parts = build(run.config, text, device, wishes)
    yield from session_of(run, parts, clock, progress, wishes, again).run()


def _to_take_again(run: Run, progress: Progress, *, keeps_budget: bool) -> Retaken:
    """Of steps still to come: their rates, where those are not functions of the step alone, and
    the commands that were obeyed after them."""
    known, given = set(progress.controls), given_controls(run)
    controls = {c.n: c for c in (*given, *controls_to_repeat(run.path, known))}
    still = [c for n, c in controls.items() if n not in known]
    if not keeps_budget:
        return Retaken(controls=[c for c in still if c.command.action != "budget"])
    if run.config.train.seconds:
        rates = rates_to_repeat(run.path)
    else:
        rates = rates_still_given(run, progress.returns)
    to_come = {step: rate for step, rate in rates.items() if step > progress.step}
    return Retaken(to_come, still, frozenset(c.n for c in given))


def _resume_point(run: Run) -> tuple[Clock, Progress | None]:
    """Time and progress of the newest checkpoint; a run without one starts again."""
    saved = run.checkpoint_steps()
    return point_at(run, saved[-1]) if saved else (Clock(), None)


def point_at(run: Run, step: int) -> tuple[Clock, Progress]:
    """Time and progress of a checkpoint.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    state = run.checkpoint_state(step)
    try:
        return Clock(state["spent_s"]), progress_from(state)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"The checkpoint at step {step} of {run.name} is damaged: state.json: {error}.",
            hint=f"Delete {run.checkpoint_path(step)} to go on from the one before.",
        ) from error


def whole_run(spec: str, what: str) -> Run:
    """A run may be younger than its first checkpoint: then it starts again from its seed."""
    _, step = split_spec(spec)
    if step:
        raise RunError(
            f"A run {what}, not from {spec!r}.",
            hint=f"Leave out @{step}.",
        )
    return checked_not_quantized(find_run(spec, needs_checkpoint=False).run)


def session_of(
    run: Run,
    parts: Parts,
    clock: Clock,
    progress: Progress | None,
    wishes: Wishes,
    again: Retaken | None = None,
) -> TrainingSession:
    """What trains the run from `progress` on; whoever pulls it holds the run's lock.

    Raises:
        CheckpointError: that of the step at which `progress` is cannot be loaded.
    """
    again = again or Retaken()
    if parts.device.is_compiled:
        forget_compiled()
    optimizer = make_optimizer(parts.model, run.config.train, dtype=parts.device.dtype)
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
        health=Health(parts.model, parts.batches, run.config, device=parts.device),
        control=Control(wishes, run.config.train, again.controls, told_only=again.told_only),
        rates=again.rates,
    )
    wishes.listen(lambda: take(run.path))
    started = _started(run, parts, trainer)
    return TrainingSession(run, parts.model, trainer, started, parts.text.baselines)


def _started(run: Run, parts: Parts, trainer: Trainer) -> RunStarted:
    train, text, device = run.config.train, parts.text, parts.device
    return RunStarted(
        run=run.name,
        path=str(run.path),
        step=trainer.progress.step,
        steps=trainer.budget.steps,
        seconds=trainer.budget.seconds,
        n_params=count(parts.model),
        vocab_size=run.config.model.vocab_size,
        train_tokens=len(text.train_ids),
        validation_tokens=len(text.validation_ids),
        bytes_per_token=text.bytes_per_token,
        context=train.context,
        device=device.type,
        dtype=device.dtype,
        threads=device.threads,
        tokens_per_step=train.tokens_per_step,
        is_compiled=device.is_compiled,
        pace_gain=run.provenance.get(GAIN),
        **{name: run.provenance.get(name) for name in FLOOR_FACTS},
    )
