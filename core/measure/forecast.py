"""What a run will cost, from a few of its real steps, and what it may learn.

The steps are those the run itself would take: its model, its optimiser, its batches where
its text is at hand, else random ids of its vocabulary. Nothing of it is kept, but for what the
cache has of any text that was read: its tokens and its baselines, which the run then finds there.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from core.config import RunConfig
from core.device import choose_device
from core.errors import ConfigError
from core.events import Forecast, ForecastCompleted, ForecastEvent, ForecastProgressed
from core.events import SetupProgressed as Setup
from core.measure import memory
from core.measure.outlook import guess_loss
from core.measure.statistics import summarize
from core.measure.trial import Ground, Trial
from core.store.baselines import with_baselines
from core.store.checkpoint import KEPT_CHECKPOINTS
from core.store.floor import floor_facts
from core.store.stages import IsStopping, Telling
from core.store.tokens import TokenizedText, tokenize_corpus
from core.text.sources import full_name, size_of
from core.training.health import TIMED

SMALL_BYTES = 4 << 20
"""A text up to this size is read and tokenised at once; a task of any size is."""
WARM_UPS = 2
PROBE_SHARE = 0.2
"""Of the forecast's time, for each of validation and sample."""
BYTES_PER_TOKEN = {"byte": 1.0, "char": 1.0, "bpe": 3.5}
"""Guesses, for a text that is too large to be tokenised for a forecast."""
TOKENIZED_PER_S = 9e6
"""Bytes of such a text, on one core of a laptop; see docs/lab-notes.md, "A gigabyte"."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds, each of one."""

    step_s: float
    """With its share of what is measured of the model's health."""
    validation_s: float
    sample_s: float
    checkpoint_s: float


@dataclass(frozen=True, slots=True)
class Behind:
    """What a run that goes on has done already."""

    step: int = 0
    train_s: float = 0.0
    """Of pure training."""


NOTHING = Behind()


def forecast(
    config: RunConfig,
    guessed_vocab: int,
    seconds: float,
    is_stopping: Callable[[], bool],
    loading_s: float = 0.0,
    behind: Behind = NOTHING,
) -> Generator[ForecastEvent, None, None]:
    """Time the run's steps for about `seconds`; ends without a result when it is stopped.

    Args:
        guessed_vocab: number of token ids where the text is too large to find out.
        loading_s: what loading PyTorch has taken, as the run will have to, too.
        behind: of a run that goes on; told is then what is still to come, and the loss at its end.

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
    yield Setup(stage="building the model")
    has_peak = memory.set_back_peak("cpu")
    began = time.perf_counter()
    trial = Trial(config, ground, device)
    setup_s = loading_s + ground.setup_s + time.perf_counter() - began
    samples = yield from _timed(trial, seconds, is_stopping)
    if is_stopping():
        return
    yield Setup(stage="timing a validation, a sample and a checkpoint")
    result = _forecast(config, trial, samples, seconds, setup_s, behind, has_peak=has_peak)
    if not is_stopping():
        yield ForecastCompleted(result=result)


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
    config: RunConfig,
    trial: Trial,
    samples: list[float],
    seconds: float,
    setup_s: float,
    behind: Behind,
    *,
    has_peak: bool,
) -> Forecast:
    step, tokens_per_step = summarize(samples), config.train.tokens_per_step
    checkpoint_s, checkpoint_bytes = trial.checkpoint()
    costs = Costs(
        step_s=with_health(config, step.mean, trial.health_s()),
        validation_s=trial.validation_s(PROBE_SHARE * seconds),
        sample_s=trial.sample_s(PROBE_SHARE * seconds),
        checkpoint_s=checkpoint_s,
    )
    ground = trial.ground
    end, total_s = extrapolate(config, ground.n_train, costs, behind)
    steps = end - behind.step
    n_params = sum(p.numel() for p in trial.model.parameters())
    kept = min(KEPT_CHECKPOINTS + 1, _saves(config, end))
    return Forecast(
        step_ms=1000 * step.mean,
        step_ms_sd=1000 * step.sd,
        steps=steps,
        train_s=steps * costs.step_s,
        total_s=setup_s + total_s,
        setup_s=setup_s,
        tokens=steps * tokens_per_step,
        tokens_per_s=tokens_per_step / step.mean,
        n_params=n_params,
        peak_bytes=trial.peak_bytes(),
        process_bytes=memory.peak_bytes("cpu") if has_peak else None,
        disk_bytes=kept * checkpoint_bytes,
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
) -> tuple[int, float]:
    """The step at which the nearest budget ends the run, and the seconds until then with all that
    is done between steps. A validation counts as the best so far, hence as a checkpoint."""
    train, every = config.train, config.eval
    limits = [train.planned_steps] if train.planned_steps else []
    if train.epochs:
        limits.append(math.ceil(train.epochs * n_train / train.tokens_per_step))
    if train.seconds:
        limits.append(behind.step + math.ceil((train.seconds - behind.train_s) / costs.step_s))
    end = max(1, behind.step, min(limits)) if limits else behind.step
    if behind.step and end == behind.step:
        return end, 0.0
    validations = _times(end, every.eval_interval) - _done(behind, every.eval_interval)
    samples = _times(end, every.sample_interval) - _done(behind, every.sample_interval)
    saves = _saves(config, end)
    if behind.step:
        saves -= 1 + _done(behind, train.checkpoint_interval, every.eval_interval)
    return end, (
        (end - behind.step) * costs.step_s
        + validations * costs.validation_s
        + samples * costs.sample_s
        + saves * costs.checkpoint_s
    )


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


def find_ground(
    config: RunConfig, guessed_vocab: int, is_stopping: IsStopping
) -> Telling[Ground | None]:
    """What its steps would learn from; None if it was stopped. A stream is left to the run
    itself: it can be read only once."""
    n_bytes = size_of(full_name(config.text.source))
    if n_bytes is not None and (n_bytes <= SMALL_BYTES or config.text.is_task):
        return (yield from _read(config, is_stopping))
    n_bytes = n_bytes or SMALL_BYTES
    n_tokens = int(n_bytes / BYTES_PER_TOKEN[config.text.tokenizer])
    n_tokens = min(n_tokens, config.text.max_tokens or n_tokens)
    n_validation = int(n_tokens * config.text.validation_fraction)
    ids = np.random.default_rng(config.train.seed).integers(0, guessed_vocab, SMALL_BYTES)
    return Ground(
        ids,
        ids,
        n_tokens - n_validation,
        n_validation,
        guessed_vocab,
        setup_s=n_bytes / TOKENIZED_PER_S,
    )


def _read(config: RunConfig, is_stopping: IsStopping) -> Telling[Ground | None]:
    """The text, twice: the second time is what the run will do, which finds it in the cache."""
    text = yield from _tokenized(config, is_stopping)
    began = time.perf_counter()
    if text is not None:
        text = yield from _tokenized(config, is_stopping)
    if text is None:
        return None
    return Ground(
        text.train_ids,
        text.validation_ids,
        len(text.train_ids),
        len(text.validation_ids),
        text.tokenizer.vocab_size,
        text=text,
        floor=floor_facts(config.text, text).get("floor_loss"),
        setup_s=time.perf_counter() - began,
    )


def _tokenized(config: RunConfig, is_stopping: IsStopping) -> Telling[TokenizedText | None]:
    return with_baselines(config, tokenize_corpus(config.text, is_stopping), is_stopping)
