"""What it costs to measure health, and to write metrics: blocks of steps with and without, in turn.

    python tests/benchmarks/health_cost.py [--shape quick] [--rounds 30] [--block-s 2] [--threads 1]

One trainer takes blocks of steps, with and without; which comes first changes every round, so
that whatever else the machine does meets both, and it is the same memory for both: two trainers
of one model differ by more than what is to be measured. Two things are measured:

* health: as a run measures it, an alarm that listens included;
* metrics: every event written to a file as a run writes it.

The ratio of a round is that of the times a step, from the processor's clock of all threads and
from the wall's; told are its median, its mean with the standard error, and where the middle
80 % of the rounds lie.
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
from core.training.optimizer import make_optimizer  # noqa: E402
from core.training.trainer import Probes, Trainer  # noqa: E402

SHAPES = ("quick", "seed", "llama-nano", "gpt2-mini")
FIRST = 0.1
"""Share of the blocks at the beginning that does not count: the pace is being found."""


class Training:
    """A trainer that takes a block of steps whenever it is asked, and does nothing between them."""

    def __init__(self, shape: str, threads: int, folder: Path) -> None:
        run = preset(shape).with_changes(
            steps=10**9, eval_interval=0, sample_interval=0, checkpoint_interval=0
        )
        self.config = RunConfig.from_dict({"model": {"vocab_size": run.text.vocab_size}}, run)
        train, device = self.config.train, choose_device("cpu", "float32", threads)
        model = Transformer(self.config.model, seed=0)
        ids = np.random.default_rng(0).integers(0, run.text.vocab_size, 200_000, np.uint16)
        batches = RandomBatches(
            ids, batch_size=train.batch_size, context=train.context, seed=train.seed
        )
        self._clock = Clock()
        self._trainer = Trainer(
            model,
            make_optimizer(model, train),
            batches,
            Probes(evaluate=lambda _: None, sample=lambda _: None),
            train,
            self.config.eval,
            device=device,
            clock=self._clock,
        )
        self._health = Health(model, batches, self.config, device=device)
        self._alarm = Alarm(self.config, Budget.of(train).share)
        self._metrics = MetricsWriter(folder)
        self._events: Iterator[Any] = self._trainer.run()
        self.measured: list[HealthMeasured] = []

    def take(self, n: int, what: str = "") -> tuple[float, float]:
        """Wall and processor milliseconds a step, over `n` steps.

        Args:
            what: is done beside: "health", "metrics" or nothing.
        """
        self._trainer._health = self._health if what == "health" else None
        # Its share is that of the steps that it sees.
        self._clock.switch("train" if what == "health" else "idle")
        began, worked, taken = time.perf_counter(), time.process_time(), 0
        while taken < n:
            event = next(self._events)
            if what == "health":
                self._alarm.hear(event)
            elif what == "metrics":
                self._metrics.write(event)
            taken += isinstance(event, StepCompleted)
            if isinstance(event, HealthMeasured):
                self.measured.append(event)
        ended, rested = time.perf_counter(), time.process_time()
        return 1000 * (ended - began) / n, 1000 * (rested - worked) / n


def race(training: Training, what: str, rounds: int, block: int) -> list[list[float]]:
    """Ratios of wall and of processor time, a pair for each round that counts."""
    ratios: list[list[float]] = [[], []]
    for n in range(rounds):
        order = (what, "") if n % 2 == 0 else ("", what)
        times = {each: training.take(block, each) for each in order}
        if n >= FIRST * rounds:
            for found, one, other in zip(ratios, times[what], times[""], strict=True):
                found.append(one / other)
    return ratios


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
    """Measure both, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shape", choices=SHAPES, default="quick")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--block-s", type=float, default=2.0, help="seconds of a block, about")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        training = Training(given.shape, given.threads, Path(folder))
        step_ms = min(training.take(10)[0] for _ in range(3))
        block = max(5, round(1000 * given.block_s / step_ms))
        print(f"{given.shape}, {given.threads} threads, {step_ms:.2f} ms a step, blocks of {block}")
        for what in ("health", "metrics"):
            wall, cpu = race(training, what, given.rounds, block)
            print(f"{what}, {len(wall)} rounds", line("wall", wall), sep="\n")
            print(line("processor", cpu), flush=True)
        costs = [event.cost_s for event in training.measured]
        print(f"{len(costs)} measurements of {1000 * statistics.median(costs):.2f} ms (median)")


if __name__ == "__main__":
    main()
