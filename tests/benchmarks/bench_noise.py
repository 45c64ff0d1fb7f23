"""How far the benchmark's own word can be trusted: one variant against itself, many times.

    python tests/benchmarks/bench_noise.py      # 20 tries of bench-medium, made if it is not there
    python tests/benchmarks/bench_noise.py --run RUN --engine fast --tries 20

Each try is a whole benchmark of two variants that are the same. The true ratio is 1: of its 95 %
intervals at least 17 of 20 should hold it, and half of their median width should be 2 % or less.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from core.openmp import tame_openmp

tame_openmp()

from core import recipes  # noqa: E402
from core.config import BenchConfig  # noqa: E402
from core.errors import RunError  # noqa: E402
from core.measure.benchmark import benchmark  # noqa: E402
from core.open_run import OpenRun, open_for_use  # noqa: E402
from core.presets import preset  # noqa: E402
from core.store.find import find_run  # noqa: E402
from core.store.stages import never  # noqa: E402
from core.testing import result_of  # noqa: E402

SHARE_THAT_HOLDS, HALF_WIDTH = 17 / 20, 0.02
HELD_OUT = 64


def main(arguments: Sequence[str] | None = None) -> None:
    """Print each try and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--run", default="bench-medium")
    parser.add_argument("--engine", default="torch")
    parser.add_argument("--tries", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=BenchConfig().seconds)
    chosen = parser.parse_args(arguments)
    found = opened(chosen.run)
    held_out = result_of(found.held_out_ids(HELD_OUT, never)) or []
    config = BenchConfig(
        engines=(chosen.engine, chosen.engine), caches=("static",), seconds=chosen.seconds
    )
    holds, widths = 0, []
    for number in range(1, chosen.tries + 1):
        result = result_of(benchmark(found.model, found.tokenizer, held_out, config, found.device))
        ratio = result.ratios[0]
        low, high = ratio.ci95
        holds += low <= 1 <= high
        widths.append((high - low) / 2)
        n = len(next(c for c in result.cells if c.phase == "decode").samples_ms)
        print(f"{number:3} {ratio.ratio:.4f} [{low:.4f}, {high:.4f}] n={n}", flush=True)
    width = statistics.median(widths)
    is_met = holds >= SHARE_THAT_HOLDS * chosen.tries and width <= HALF_WIDTH
    print(f"{holds} of {chosen.tries} hold 1, median half-width {width:.2%}:", end=" ")
    print("met" if is_met else "MISSED")


def opened(run: str) -> OpenRun:
    """A run; if it is missing, that of the preset of its name, untrained."""
    with suppress(RunError):
        find_run(run)
        return open_for_use(run, device="cpu", dtype="float32", threads=0)
    result_of(recipes.training(preset(run), name=run).run())
    return open_for_use(run, device="cpu", dtype="float32", threads=0)


if __name__ == "__main__":
    main()
