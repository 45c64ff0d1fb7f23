"""What a step costs with each optimiser, against AdamW: in turns in one process.

    python tests/benchmarks/optimizer_overhead.py
    python tests/benchmarks/optimizer_overhead.py --d-model 384 --n-layers 6 --batch-size 8

All sides train models of one shape on the same rows. A round is one block of steps of each, in
an order that turns round every time, so that whatever else the machine does meets all. A side's
overhead is the median over rounds of (its block - AdamW's block) / AdamW's block, by the wall
and by processor time of all threads, which a crowded machine changes least with one thread.
"muon/32" takes 32 rows for a matrix of its own (`muon_rows`), here the width of a head.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from core.openmp import tame_openmp

tame_openmp()

import numpy as np  # noqa: E402
import torch  # noqa: E402

from core.config import ModelConfig, TrainConfig  # noqa: E402
from core.config.train import OPTIMIZERS  # noqa: E402
from core.device import Device, choose_device, synchronize  # noqa: E402
from core.model.transformer import Transformer  # noqa: E402
from core.text.batches import RandomBatches  # noqa: E402
from core.training.optimizer import make_optimizer  # noqa: E402
from core.training.step import compute_gradients  # noqa: E402


class Side:
    """A model, its optimiser, and the seconds that each block of steps took."""

    def __init__(self, name: str, options: argparse.Namespace, device: Device) -> None:
        optimizer, _, rows = name.partition("/")
        self._config = TrainConfig(
            optimizer=optimizer,
            muon_rows=int(rows or 0),
            context=options.context,
            batch_size=options.batch_size,
            lr=1e-4,
            dtype=device.dtype,
        )
        model = ModelConfig(
            vocab_size=options.vocab_size,
            max_seq_len=options.context,
            d_model=options.d_model,
            n_layers=options.n_layers,
            n_heads=options.n_heads,
            qk_norm=True,
            activation="relu2",
        )
        self._model = Transformer(model, seed=0).to(device.type)
        self._optimizer = make_optimizer(self._model, self._config, dtype=device.dtype)
        ids = np.random.default_rng(0).integers(0, options.vocab_size, 100_000)
        self._batches = RandomBatches(
            ids, batch_size=options.batch_size, context=options.context, seed=0
        )
        self._device, self._steps = device, 0
        self.name = name
        self.block_s: list[float] = []
        self.block_cpu_s: list[float] = []
        self.update_s: list[float] = []

    def take(self, n_steps: int) -> None:
        """A block of steps."""
        updates = 0.0
        began, worked = time.perf_counter(), time.process_time()
        for _ in range(n_steps):
            self._steps += 1
            compute_gradients(self._model, self._batches, self._config, self._device, self._steps)
            before = time.perf_counter()
            self._optimizer.step(1e-4)
            synchronize(self._device.type)
            updates += time.perf_counter() - before
        self.block_s.append((time.perf_counter() - began) / n_steps)
        self.block_cpu_s.append((time.process_time() - worked) / n_steps)
        self.update_s.append(updates / n_steps)


def overhead(own: list[float], base: list[float]) -> str:
    """Median over rounds, and the range of eight rounds in ten."""
    extra = sorted(100 * (mine / other - 1) for mine, other in zip(own, base, strict=True))
    low, high = extra[len(extra) // 10], extra[-1 - len(extra) // 10]
    return f"{statistics.median(extra):+6.1f} % ({low:+.1f} to {high:+.1f})"


def report(side: Side, base: Side) -> str:
    """Medians in ms, and the overhead both ways."""
    return (
        f"{side.name:>7}: step {1000 * statistics.median(side.block_s):7.2f} ms, of it the update "
        f"{1000 * statistics.median(side.update_s):6.2f} ms; against adamw by the wall "
        f"{overhead(side.block_s, base.block_s)}, by processor time "
        f"{overhead(side.block_cpu_s, base.block_cpu_s)}"
    )


def main() -> None:
    """Race them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--d-model", type=int, default=128)
    parser.add_argument("--n-layers", type=int, default=4)
    parser.add_argument("--n-heads", type=int, default=4)
    parser.add_argument("--context", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=24)
    parser.add_argument("--vocab-size", type=int, default=65)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--sides", default="", help="beside adamw: muon,muon/32; all if left out")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--steps", type=int, default=4, help="in a block")
    options = parser.parse_args()

    device = choose_device(options.device, options.dtype, options.threads)
    names = [*OPTIMIZERS, f"muon/{options.d_model // options.n_heads}"]
    chosen = options.sides.split(",") if options.sides else names
    sides = [Side(name, options, device) for name in ("adamw", *chosen[chosen[0] == "adamw" :])]
    for side in sides:
        side.take(options.steps)
        for times in (side.block_s, side.block_cpu_s, side.update_s):
            times.clear()
    for n in range(options.rounds):
        for side in sides if n % 2 == 0 else reversed(sides):
            side.take(options.steps)
    print(
        f"{options.n_layers} layers, {options.d_model} wide, batch {options.batch_size} x "
        f"{options.context}, {device.type}, {device.dtype}, {device.threads} threads, "
        f"GOMP_SPINCOUNT={os.environ.get('GOMP_SPINCOUNT')}, torch {torch.__version__}"
    )
    for side in sides:
        print(report(side, sides[0]))


if __name__ == "__main__":
    main()
