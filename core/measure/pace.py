"""How a run's steps are fastest on this machine: threads, number type and compiler, timed.

Before a long run some of its own steps are taken in each way, in turns, on a copy of its model
that nobody keeps. A way is taken instead of that of default where it was faster in nearly all
rounds, by a margin. What is found is kept for the machine; a run records its way, and whoever
resumes or replays it takes that one.

Invariant: weights, random state and batches of the run are after it what they were before, so
that with the same way it takes the same steps, bit for bit.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from core.config import RunConfig
from core.device import Device, has_fast_bfloat16, machine_key, thread_counts
from core.events import Pace, WayTimed
from core.measure.trial import Trial, Way, undisturbed
from core.measure.ways import LEAST_ROUNDS, MARGIN, time_ways
from core.model.arithmetic import training_flops_per_token
from core.model.attention import MOST_IN_FLOAT32
from core.model.transformer import Transformer
from core.store.paces import keep_pace, kept_pace
from core.text.batches import Batches

LEAST_RUN_S = 20.0
"""A shorter run is over before a choice has paid."""
SHARE, ENOUGH_S = 0.01, 1.0
"""Of the run, at most, and seconds after which no more rounds begin."""
LEAST_STEP_FLOPS = 1e8
"""Of fewer the calls take the time, and those are the same in every way."""
MOST_FLOPS_PER_S = 2e11
"""A run that would be over too soon on so fast a processor is not asked for its time."""
BFLOAT16_MARGIN = 0.9
"""Asked of bfloat16, which is less exact: a few per cent are not worth it."""
KEPT_S, COMPILED_KEPT_S, UNSETTLED_S = 7 * 86_400, 89 * 86_400, 600
"""What a short trial found beside other work may be wrong; a long one is asked for anew."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A device and how it will be used."""

    device: Device
    gain: float | None = None
    """How many times as fast as in the way of default; None if nothing was measured."""


def settle(
    config: RunConfig,
    device: Device,
    model: Transformer,
    batches: Batches,
    is_stopping: Callable[[], bool],
) -> Settled:
    """The way in which a new run takes its steps, and torch's threads set to it.

    Args:
        config: with the settings that must be met: `threads`, `dtype` and `compile`.
        device: the choice of default.
        model: the run's; it is copied and stays as it is.
    """
    plain = replace(device, is_compiled=False)
    ways = ways_of(config, plain)
    if not may_be_measured(config, device) or (len(ways) == 1 and config.train.compile != "auto"):
        return Settled(device)
    pace = kept_for(config, device)
    if pace is None:
        with undisturbed():
            trial = Trial(config, plain, copy.deepcopy(model), batches)
            pace = _measured(config, trial, ways, is_stopping)
    if pace is None:
        return Settled(device)
    return chosen(pace, config, device, _budget_s(config, pace.ways[0].step_ms))


def may_be_measured(config: RunConfig, device: Device) -> bool:
    """Whether a run is long and large enough, as far as is known before its first step."""
    train = config.train
    step_flops = training_flops_per_token(config.model, train.context) * train.tokens_per_step
    if device.type != "cpu" or train.is_untrained or step_flops < LEAST_STEP_FLOPS:
        return False
    limits = [train.seconds] if train.seconds else []
    if steps := train.planned_steps:
        limits.append(steps * step_flops / MOST_FLOPS_PER_S)
    return bool(limits) and min(limits) >= LEAST_RUN_S


def ways_of(config: RunConfig, device: Device, *, with_compiled: bool = False) -> list[Way]:
    """That the settings allow, the way of default first."""
    train = config.train
    counts = [device.threads] if device.has_fixed_threads else thread_counts()
    dtypes = [device.dtype]
    if train.dtype == "auto" and has_fast_bfloat16():
        dtypes.append("bfloat16")
    compiled = [False, True] if with_compiled else [False]
    first = Way(device.threads, device.dtype)
    found = [Way(n, dtype, how) for how in compiled for dtype in dtypes for n in counts]
    return list(dict.fromkeys([first, *found]))


def kept_for(config: RunConfig, device: Device) -> Pace | None:
    """What this machine knows of such steps."""
    return kept_pace(machine_key(device.type), _about(config, device))


def keep(
    config: RunConfig,
    device: Device,
    ways: Sequence[WayTimed],
    note: str = "",
    *,
    is_settled: bool = True,
) -> Pace:
    """Let this machine know it; only for minutes if the times never settled."""
    kept_s = COMPILED_KEPT_S if any(way.is_compiled for way in ways) else KEPT_S
    if not is_settled:
        kept_s = UNSETTLED_S
    pace = Pace(shape=shape_of(config), ways=tuple(ways), until=time.time() + kept_s, note=note)
    keep_pace(machine_key(device.type), _about(config, device), pace)
    return pace


def chosen(pace: Pace, config: RunConfig, device: Device, budget_s: float) -> Settled:
    """The fastest of the ways that were clearly faster than that of default and pay within
    `budget_s` seconds what compiling them costs; torch's threads are set to it."""
    allowed = ways_of(config, device, with_compiled=config.train.compile == "auto")
    best, best_s, gain = allowed[0], MARGIN * budget_s, 1.0
    for timed in pace.ways[1:]:
        way = Way(timed.threads, timed.dtype, timed.is_compiled)
        total_s = timed.ratio * budget_s + timed.compile_s
        is_worth_it = way.dtype == best.dtype or timed.ratio <= BFLOAT16_MARGIN
        if way in allowed and timed.is_clear and is_worth_it and total_s <= best_s:
            best, best_s, gain = way, total_s, 1 / timed.ratio
    if torch.get_num_threads() != best.threads:
        torch.set_num_threads(best.threads)
    found = best.on(device)
    # A step that must be compiled is, in the threads and number type that are best without.
    found = replace(found, is_compiled=found.is_compiled or device.is_compiled)
    return Settled(found, round(gain, 3))


def shape_of(config: RunConfig) -> str:
    """For a person."""
    model, train = config.model, config.train
    rows = f"{train.batch_size * train.grad_accum} × {train.context}"
    return f"{model.n_layers} × {model.d_model}, {train.optimizer}, batch {rows}"


def _measured(
    config: RunConfig, trial: Trial, ways: Sequence[Way], is_stopping: Callable[[], bool]
) -> Pace | None:
    """What a trial found; None if there was no time for it, or it was stopped."""
    began = time.perf_counter()
    trial.turn_s(ways[0])  # with what happens once in a process
    step_s = trial.turn_s(ways[0])
    budget_s = _budget_s(config, 1000 * step_s)
    allowed_s = SHARE * budget_s
    # A way that is not hopeless takes two steps a turn where its threads are others.
    least_s = step_s * (2 * len(ways) + 3 * LEAST_ROUNDS)
    if budget_s < LEAST_RUN_S or least_s > allowed_s:
        return None
    until = began + min(allowed_s, max(ENOUGH_S, 2 * least_s))
    timed, is_settled = time_ways(trial, ways, until, is_stopping)
    return keep(config, trial.device, timed, is_settled=is_settled) if timed else None


def _budget_s(config: RunConfig, step_ms: float) -> float:
    """Seconds that a run will have, if a step takes so long."""
    train = config.train
    limits = (train.seconds, train.planned_steps * step_ms / 1000)
    return min((limit for limit in limits if limit), default=0.0)


def _about(config: RunConfig, device: Device) -> dict[str, Any]:
    """What the time of a step depends on, beside the machine, and what must not change."""
    train = config.train
    names = ("context", "batch_size", "grad_accum", "optimizer", "muon_rows", "grad_clip")
    asked = {"dtype": train.dtype, "fixed": device.threads * device.has_fixed_threads}
    asked |= {"attention": MOST_IN_FLOAT32}
    return {
        **asdict(config.model),
        **{name: getattr(train, name) for name in names},
        **asked,
    }
