"""What it costs to measure health, and to write metrics: blocks of steps with and without, in turn.

    python tests/benchmarks/health_cost.py [--shape quick] [--rounds 30] [--block-s 2] [--threads 1]

Two trainers of the same model, text and seed take turns in one process, a block of steps each;
who begins changes every round, so that whatever else the machine does meets both. Both must
have the same losses to the last bit. Two pairs are measured:

* health: as a run measures it, an alarm that listens included, against neither;
* metrics: every event written to a file as a run writes it, against none.

The ratio of a round is that of the times a step, from the processor's clock of all threads and
from the wall's; its median counts, with the interval of the middle 80 % of the rounds, and the
standard error of their mean.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from core.openmp import tame_openmp

tame_openmp()

import numpy as np  # noqa: E402

from core.config import RunConfig  # noqa: E402
from core.device import choose_device  # noqa: E402
from core.events import HealthMeasured, StepCompleted  # noqa: E402
from core.model.transformer import Transformer  # noqa: E402
from core.presets import preset  # noqa: E402
from core.store.metrics import MetricsWriter  # noqa: E402
from core.text.batches import RandomBatches  # noqa: E402
from core.training.alarm import Alarm  # noqa: E402
from core.training.budget import Budget  # noqa: E402
from core.training.clock import Clock  # noqa: E402
from core.training.health import Health  # noqa: E402
from core.training.optimizer import AdamW  # noqa: E402
from core.training.trainer import Probes, Trainer  # noqa: E402

SHAPES = ("quick", "seed", "llama-nano", "gpt2-mini")
FIRST = 0.1
"""Share of the blocks at the beginning that does not count: the pace is being found."""


def config_of(shape: str, *, has_health: bool) -> RunConfig:
    """A run of that preset that does not end, and does nothing between its steps."""
    run = preset(shape).with_changes(steps=10**9, eval_interval=0, sample_interval=0)
    run = run.with_changes(checkpoint_interval=0, **({} if has_health else {"health_share": 0.0}))
    sizes = {"vocab_size": run.text.vocab_size}
    return RunConfig.from_dict({"model": sizes}, run)


class Side:
    """A trainer that takes a block of steps whenever it is asked."""

    def __init__(
        self, shape: str, threads: int, *, has_health: bool, folder: Path | None = None
    ) -> None:
        config = config_of(shape, has_health=has_health)
        train, device = config.train, choose_device("cpu", "float32", threads)
        model = Transformer(config.model, seed=0)
        ids = np.random.default_rng(0).integers(0, config.model.vocab_size, 200_000, np.uint16)
        batches = RandomBatches(
            ids, batch_size=train.batch_size, context=train.context, seed=train.seed
        )
        self._clock = Clock()
        trainer = Trainer(
            model,
            AdamW(model, train),
            batches,
            Probes(evaluate=lambda _: None, sample=lambda _: None),
            train,
            config.eval,
            device=device,
            clock=self._clock,
            health=Health(model, batches, config, device=device),
        )
        self._alarm = Alarm(config, Budget.of(train).share) if has_health else None
        self._metrics = None if folder is None else MetricsWriter(folder)
        self._events: Iterator[Any] = trainer.run()
        self.losses: list[float] = []
        self.measured: list[HealthMeasured] = []

    def take(self, n: int) -> tuple[float, float]:
        """Wall and processor milliseconds a step, over `n` steps."""
        self._clock.switch("train")  # while the other side trains, this one is idle
        began, worked, taken = time.perf_counter(), time.process_time(), 0
        while taken < n:
            event = next(self._events)
            if self._alarm is not None:
                self._alarm.hear(event)
            if self._metrics is not None:
                self._metrics.write(event)
            if isinstance(event, StepCompleted):
                taken += 1
                self.losses.append(event.loss)
            elif isinstance(event, HealthMeasured):
                self.measured.append(event)
        ended, rested = time.perf_counter(), time.process_time()
        self._clock.switch("idle")
        return 1000 * (ended - began) / n, 1000 * (rested - worked) / n


def race(with_it: Side, without: Side, rounds: int, block: int) -> tuple[list[float], list[float]]:
    """Ratios of wall and processor time, a pair for each round that counts."""
    wall, cpu = [], []
    for n in range(rounds):
        order = (with_it, without) if n % 2 == 0 else (without, with_it)
        times = {id(side): side.take(block) for side in order}
        if n >= FIRST * rounds:
            (a, b), (c, d) = times[id(with_it)], times[id(without)]
            wall.append(a / c)
            cpu.append(b / d)
    return wall, cpu


def line(what: str, ratios: list[float]) -> str:
    """The median, where most rounds lie, and how well the mean is known."""
    ordered = sorted(100 * (ratio - 1) for ratio in ratios)
    tenth = len(ordered) // 10
    error = statistics.stdev(ordered) / len(ordered) ** 0.5
    return (
        f"{what:>10}: median {statistics.median(ordered):+.2f} %, mean "
        f"{statistics.fmean(ordered):+.2f} ± {error:.2f} %, 80 % of rounds within "
        f"{ordered[tenth]:+.2f} to {ordered[-1 - tenth]:+.2f} %"
    )


def main() -> None:
    """Measure both pairs; exit code 1 if health has changed a loss."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shape", choices=SHAPES, default="quick")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--block-s", type=float, default=2.0, help="seconds of a block, about")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plain = Side(given.shape, given.threads, has_health=False)
        step_ms = min(plain.take(10)[0] for _ in range(3))
        block = max(5, round(1000 * given.block_s / step_ms))
        print(f"{given.shape}, {given.threads} threads, {step_ms:.2f} ms a step, blocks of {block}")
        pairs = {
            "health": Side(given.shape, given.threads, has_health=True),
            "metrics": Side(given.shape, given.threads, has_health=False, folder=Path(folder)),
        }
        is_same = True
        for name, side in pairs.items():
            other = Side(given.shape, given.threads, has_health=False)
            wall, cpu = race(side, other, given.rounds, block)
            is_same &= side.losses == other.losses
            print(f"{name}, {len(wall)} rounds, {len(side.losses)} steps a side")
            print(line("wall", wall), line("processor", cpu), sep="\n", flush=True)
            if side.measured:
                cost = statistics.median(event.cost_s for event in side.measured)
                print(f"  {len(side.measured)} measurements of {1000 * cost:.2f} ms (median)")
    if not is_same:
        sys.exit("The losses are not the same.")


if __name__ == "__main__":
    main()
