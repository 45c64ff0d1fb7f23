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
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from core.config import RunConfig
from core.device import Device, machine_key, synchronize, thread_counts
from core.events import Pace, WayTimed
from core.model.arithmetic import training_flops_per_token
from core.model.transformer import Transformer
from core.store.paces import keep_pace, kept_pace
from core.text.batches import Batches
from core.training.optimizer import Optimizer, make_optimizer
from core.training.step import compute_gradients

LEAST_RUN_S = 20.0
"""A shorter run is over before a choice has paid."""
SHARE, ENOUGH_S = 0.01, 1.0
"""Of the run, at most, and seconds after which no more rounds begin."""
LEAST_STEP_FLOPS = 1e8
"""Of fewer the calls take the time, and those are the same in every way."""
MOST_FLOPS_PER_S = 2e11
"""A run that would be over too soon on so fast a processor is not asked for its time."""
LEAST_ROUNDS, MOST_ROUNDS = 5, 40
MARGIN, WINS = 0.97, 0.8
"""Share of the time of default that must be undercut, and of the rounds that must be won."""
HOPELESS = 1.3
"""Times the first step of default: after it a way is not tried again."""
STEPS = 8
"""Different batches that are trained on in a trial."""
KEPT_S, COMPILED_KEPT_S = 7 * 86_400, 89 * 86_400
"""What a short trial found beside other work may be wrong; a long one is asked for anew."""


@dataclass(frozen=True, slots=True)
class Way:
    """What can be chosen."""

    threads: int
    dtype: str
    is_compiled: bool = False

    def on(self, device: Device) -> Device:
        """That device, used in this way."""
        return replace(device, threads=self.threads, dtype=self.dtype, is_compiled=self.is_compiled)


@dataclass(frozen=True, slots=True)
class Settled:
    """A device and how it will be used."""

    device: Device
    gain: float | None = None
    """How many times as fast as in the way of default; None if nothing was measured."""


def settle(config: RunConfig, device: Device, model: Transformer, batches: Batches) -> Settled:
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
            trial = Trial(config, plain, model, batches)
            pace = _measured(config, trial, ways)
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
    dtypes = ["float32", "bfloat16"] if train.dtype == "auto" else [device.dtype]
    compiled = [False, True] if with_compiled else [False]
    first = Way(device.threads, device.dtype)
    found = [Way(n, dtype, how) for how in compiled for dtype in dtypes for n in counts]
    return list(dict.fromkeys([first, *found]))


def kept_for(config: RunConfig, device: Device) -> Pace | None:
    """What this machine knows of such steps."""
    return kept_pace(machine_key(device.type), _about(config, device))


def keep(config: RunConfig, device: Device, ways: Sequence[WayTimed], note: str = "") -> Pace:
    """Let this machine know it."""
    kept_s = COMPILED_KEPT_S if any(way.is_compiled for way in ways) else KEPT_S
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
        if way in allowed and timed.is_clear and total_s <= best_s:
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


class Trial:
    """Steps of a copy of the run's model; nobody keeps what they learn."""

    def __init__(
        self, config: RunConfig, device: Device, model: Transformer, batches: Batches
    ) -> None:
        self._config, self.device, self._batches = config, device, batches
        self._model = copy.deepcopy(model)
        self._optimizers: dict[str, Optimizer] = {}
        self._n = 0

    def step_s(self, way: Way, index: int) -> float:
        """Seconds of the step with that number, taken in this way."""
        device = way.on(self.device)
        if way.dtype not in self._optimizers:
            made = make_optimizer(self._model, self._config.train, dtype=way.dtype)
            self._optimizers[way.dtype] = made
        began = time.perf_counter()
        compute_gradients(self._model, self._batches, self._config.train, device, index)
        self._optimizers[way.dtype].step(0.0)  # as much work as with any rate
        synchronize(device.type)
        return time.perf_counter() - began

    def turn_s(self, way: Way) -> float:
        """Seconds of a step after another in the same way, whose threads are then awake."""
        if torch.get_num_threads() != way.threads:
            torch.set_num_threads(way.threads)
            self.step_s(way, self._n % STEPS + 1)
        self._n += 1
        return self.step_s(way, self._n % STEPS + 1)


def time_ways(
    trial: Trial, ways: Sequence[Way], until: float, *, compile_s: Sequence[float] = ()
) -> list[WayTimed]:
    """Time them in turns, in an order that turns too, until no more is to be learned or the
    clock (`time.perf_counter`) says `until`; empty if there was no time for a sound answer.

    Args:
        compile_s: of each way, what its first step took.
    """
    times: list[list[float]] = [[] for _ in ways]
    rounds, still = 0, list(range(len(ways)))
    while rounds < MOST_ROUNDS and (rounds < LEAST_ROUNDS or _is_open(times, still)):
        if time.perf_counter() > until:
            break
        for i in still if rounds % 2 == 0 else reversed(still):
            times[i].append(trial.turn_s(ways[i]))
        rounds += 1
        if rounds == 1:
            still = [i for i in still if times[i][0] <= HOPELESS * times[0][0]]
    if rounds < LEAST_ROUNDS:
        return []
    return [
        _timed(way, mine, times[0], compile_s[i] if compile_s else 0.0)
        for i, (way, mine) in enumerate(zip(ways, times, strict=True))
    ]


def _measured(config: RunConfig, trial: Trial, ways: Sequence[Way]) -> Pace | None:
    """What a trial found; None if there was no time for it."""
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
    timed = time_ways(trial, ways, until)
    return keep(config, trial.device, timed) if timed else None


def _timed(way: Way, mine: Sequence[float], default: Sequence[float], compile_s: float) -> WayTimed:
    ratios = [a / b for a, b in zip(mine, default, strict=False)]
    wins = sum(ratio < 1 for ratio in ratios) / len(ratios)
    ratio = statistics.median(ratios)
    return WayTimed(
        threads=way.threads,
        dtype=way.dtype,
        is_compiled=way.is_compiled,
        step_ms=round(1000 * statistics.median(mine), 3),
        ratio=round(ratio, 4),
        is_clear=len(ratios) >= LEAST_ROUNDS and ratio <= MARGIN and wins >= WINS,
        compile_s=round(compile_s, 1),
    )


def _is_open(times: Sequence[Sequence[float]], still: Sequence[int]) -> bool:
    """Whether more rounds may tell who is best: somebody is near default, or ahead of it and
    near somebody else."""
    medians = sorted(statistics.median(times[i]) for i in still)
    return len(medians) > 1 and medians[1] < 1.1 * medians[0]


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
    return {
        **asdict(config.model),
        **{name: getattr(train, name) for name in names},
        **asked,
    }


@contextmanager
def undisturbed() -> Iterator[None]:
    """Random state and threads are then as they were."""
    threads = torch.get_num_threads()
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            yield
    finally:
        torch.set_num_threads(threads)
