"""What a run will cost, from a few of its real steps, and what it may learn.

The steps are those the run itself would take: its model, its optimiser, its batches where
its text is at hand, else random ids of its vocabulary, in the way in which it would take them.
Nothing of it is kept, but for what the cache has of any text that was read and of any way that was
tried: tokens, baselines and times, which the run then finds there.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from itertools import combinations

from core.config import RunConfig
from core.device import Device
from core.errors import ConfigError
from core.events import Forecast, ForecastCompleted, ForecastEvent, ForecastProgressed
from core.events import SetupProgressed as Setup
from core.measure import memory
from core.measure.costs import Costs, checkpoint, health_s, peak_bytes, sample_s, validation_s
from core.measure.ground import Ground, budget_steps, find_ground
from core.measure.outlook import guess_loss
from core.measure.pace import may_be_measured, settle
from core.measure.statistics import Summary, summarize
from core.measure.trial import Trial
from core.model.transformer import Transformer
from core.store.checkpoint import KEPT_CHECKPOINTS
from core.training.health import TIMED
from core.training.step import forget_compiled

WARM_UPS = 2
PROBE_SHARE = 0.2
"""Of the forecast's time, for each of validation and sample."""


@dataclass(frozen=True, slots=True)
class Behind:
    """What a run that goes on has done already."""

    step: int = 0
    train_s: float = 0.0
    """Of pure training."""


NOTHING = Behind()


def forecast(
    config: RunConfig,
    device: Device,
    guessed_vocab: int,
    seconds: float,
    is_stopping: Callable[[], bool],
    start_s: float = 0.0,
    behind: Behind | None = None,
) -> Generator[ForecastEvent, None, None]:
    """Time the run's steps for about `seconds`; ends without a result when it is stopped.

    Args:
        device: of a new run the choice of default, of one that goes on what it was made with.
        guessed_vocab: number of token ids where the text is too large to find out.
        start_s: what starting has taken so far, as it will take the run, too.
        behind: of a run that goes on; told is then what is still to come, and the loss at its end.

    Raises:
        MinitfError: a setting or the text cannot be used.
    """
    if not seconds > 0:
        raise ConfigError(f"seconds={seconds:g} is not above 0.", hint="Try seconds=3.")
    ground = yield from find_ground(config, guessed_vocab, is_stopping)
    if ground is None:
        return
    config = ground.settled(config)
    yield Setup(stage="building the model")
    began = time.perf_counter()
    model = Transformer(config.model, seed=config.train.seed).to(device.type)
    batches = ground.batches(config)
    setup_s = start_s + ground.setup_s + time.perf_counter() - began
    if behind is None:
        if may_be_measured(config, device):
            yield Setup(stage="choosing threads and number type")
        device = settle(config, device, model, batches, is_stopping).device
    has_peak = memory.set_back_peak("cpu")
    trial = Trial(config, device, model, batches)
    warm_ups_s, samples_s = yield from _timed(trial, seconds, is_stopping)
    if is_stopping():
        return
    yield Setup(stage="timing a validation, a sample and a checkpoint")
    measured = _measured(trial, ground, warm_ups_s, samples_s, PROBE_SHARE * seconds)
    result = _told(trial, ground, measured, setup_s, behind or NOTHING, has_peak=has_peak)
    if not is_stopping():
        yield ForecastCompleted(result=result)


def _timed(
    trial: Trial, seconds: float, is_stopping: Callable[[], bool]
) -> Generator[ForecastProgressed, None, tuple[list[float], list[float]]]:
    """Seconds of each step, the warm-ups apart; fewer if it was stopped."""
    if trial.device.is_compiled:
        forget_compiled()
    warm_ups_s: list[float] = []
    samples_s: list[float] = []
    began, spent = time.perf_counter(), 0.0
    while not is_stopping() and (not samples_s or spent < seconds):
        step_s = trial.step_s()
        if is_warm := len(warm_ups_s) == WARM_UPS:
            samples_s.append(step_s)
        else:
            warm_ups_s.append(step_s)
            began = time.perf_counter()
        # Read once: the last event told is then the one that says that all is done.
        spent = time.perf_counter() - began
        yield ForecastProgressed(
            index=len(samples_s) if is_warm else len(warm_ups_s) - WARM_UPS,
            step_ms=1000 * step_s,
            share=min(1.0, spent / seconds),
        )
    return warm_ups_s, samples_s


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found out."""

    step: Summary
    """Seconds."""
    costs: Costs
    checkpoint_bytes: int


def _measured(
    trial: Trial,
    ground: Ground,
    warm_ups_s: Sequence[float],
    samples_s: Sequence[float],
    at_most: float,
) -> Measured:
    step = summarize(samples_s)
    checkpoint_s, checkpoint_bytes = checkpoint(trial)
    compile_s = sum(warm_ups_s) - len(warm_ups_s) * step.mean
    costs = Costs(
        step_s=with_health(trial.config, step.mean, health_s(trial)),
        validation_s=validation_s(trial, ground, at_most),
        sample_s=sample_s(trial, ground.text, at_most),
        checkpoint_s=checkpoint_s,
        compile_s=max(0.0, compile_s) if trial.device.is_compiled else 0.0,
    )
    return Measured(step, costs, checkpoint_bytes)


def _told(
    trial: Trial,
    ground: Ground,
    measured: Measured,
    setup_s: float,
    behind: Behind,
    *,
    has_peak: bool,
) -> Forecast:
    config, step, costs = trial.config, measured.step, measured.costs
    tokens_per_step = config.train.tokens_per_step
    end, train_s, beside_s = extrapolate(config, ground.n_train, costs, behind)
    steps = end - behind.step
    n_params = sum(p.numel() for p in trial.model.parameters())
    kept = min(KEPT_CHECKPOINTS + 1, _saves(config, end))
    return Forecast(
        step_ms=1000 * step.mean,
        step_ms_sd=1000 * step.sd,
        steps=steps,
        train_s=train_s,
        total_s=setup_s + train_s + beside_s,
        setup_s=setup_s,
        tokens=steps * tokens_per_step,
        tokens_per_s=tokens_per_step / step.mean,
        n_params=n_params,
        peak_bytes=peak_bytes(trial),
        process_bytes=memory.peak_bytes("cpu") if has_peak else None,
        disk_bytes=kept * measured.checkpoint_bytes,
        final_loss=guess_loss(config, ground, n_params, end * tokens_per_step),
    )


def with_health(config: RunConfig, step_s: float, health_s: float) -> float:
    """A step and its part in measuring the model's health, which takes a share of the time or,
    every so many steps, `health_s`."""
    every = config.eval
    if every.health_interval:
        return step_s + health_s / every.health_interval
    return step_s / (1 - TIMED * every.health_share)


def extrapolate(
    config: RunConfig, n_train: int, costs: Costs, behind: Behind = NOTHING
) -> tuple[int, float, float]:
    """The step at which the nearest budget ends the run, the seconds of training until then, and
    those of all that is done between steps. A validation counts as the best so far, hence as a
    checkpoint."""
    train, every = config.train, config.eval
    steps = budget_steps(train, n_train)
    limits = [steps] if steps else []
    if train.seconds:
        rest_s = train.seconds - behind.train_s
        n = max(1, math.ceil((rest_s - costs.compile_s) / costs.step_s)) if rest_s > 0 else 0
        limits.append(behind.step + n)
    end = max(1, behind.step, min(limits)) if limits else behind.step
    if behind.step and end == behind.step:
        return end, 0.0, 0.0
    validations = _times(end, every.eval_interval) - _done(behind, every.eval_interval)
    samples = _times(end, every.sample_interval) - _done(behind, every.sample_interval)
    saves = _saves(config, end)
    if behind.step:
        saves -= 1 + _done(behind, train.checkpoint_interval, every.eval_interval)
    beside_s = (
        validations * costs.validation_s + samples * costs.sample_s + saves * costs.checkpoint_s
    )
    compile_s = costs.compile_s if end > behind.step else 0.0
    return end, (end - behind.step) * costs.step_s + compile_s, beside_s


def _saves(config: RunConfig, steps: int) -> int:
    return 1 + _times(steps, config.train.checkpoint_interval, config.eval.eval_interval)


def _times(steps: int, *intervals: int) -> int:
    """How many of steps 1 … `steps` are a multiple of an interval, or the last. By inclusion
    and exclusion: there may be 10⁹ of them."""
    return _multiples(steps, *intervals) + all(steps % n for n in intervals if n)


def _done(behind: Behind, *intervals: int) -> int:
    """Of what is still to come, how much was: the run's last step then is none now."""
    return _multiples(behind.step, *intervals)


def _multiples(steps: int, *intervals: int) -> int:
    kept, due = [interval for interval in intervals if interval], 0
    for size in range(1, len(kept) + 1):
        due -= (-1) ** size * sum(steps // math.lcm(*some) for some in combinations(kept, size))
    return due
