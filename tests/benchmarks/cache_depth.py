"""What a token costs deep in a text: with a cache little more than at its start.

    python tests/benchmarks/cache_depth.py                    # bench-large, the engine auto takes
    python tests/benchmarks/cache_depth.py --run RUN --engine torch --rounds 9

Weights and cache in float32. In turns, tokens are written greedily after 64 and after 2,048
positions by one engine, which is rewound between them. Printed are the milliseconds a token at
both depths, the median and range of the ratio within a round, and the bytes of the cache beside
those of its formula, 2 · layers · key-value heads · head width · 4 a position.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from core.openmp import tame_openmp

tame_openmp()

from core.infer.engines.choose import make_engine  # noqa: E402
from core.open_run import open_for_use  # noqa: E402

GOAL = 1.5


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the times, their ratio and the bytes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--run", default="bench-large")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--depths", default="64,2048")
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args(arguments)
    found = open_for_use(chosen.run, device="cpu", dtype="float32", threads=0)
    engine = make_engine(found.model, found.device, engine=chosen.engine)
    depths = [int(depth) for depth in chosen.depths.split(",")]
    config = found.model.config
    ids = [i * 7919 % config.vocab_size for i in range(max(depths))]
    engine.feed([ids])
    per_position = 2 * config.n_layers * config.kv_heads * config.head_dim * 4
    print(f"{engine.name} {engine.note}; bytes held: {engine.cache_bytes:,}", end=", ")
    print(f"by the formula {per_position * engine.length:,}")
    times: dict[int, list[float]] = {depth: [] for depth in depths}
    for turn in range(chosen.rounds + 1):
        for depth in depths[::-1]:  # the deepest first: only it has all positions to rewind to
            if engine.length < depth:
                engine.feed([ids[engine.length : depth]])
            engine.rewind(depth)
            began = time.perf_counter()
            engine.write(1, chosen.tokens)
            spent_ms = 1000 * (time.perf_counter() - began) / chosen.tokens
            if turn:
                times[depth].append(spent_ms)
    for depth in depths:
        found_ms = times[depth]
        spread = f"{min(found_ms):.3f}…{max(found_ms):.3f}"
        print(f"depth {depth:5}: {statistics.median(found_ms):.3f} ms a token ({spread})")
    pairs = zip(times[depths[-1]], times[depths[0]], strict=True)
    ratios = sorted(deep / shallow for deep, shallow in pairs)
    ratio = statistics.median(ratios)
    word = "met" if ratio <= GOAL else "MISSED"
    print(f"ratio {ratio:.3f} ({ratios[0]:.3f}…{ratios[-1]:.3f}), goal at most {GOAL}: {word}")


if __name__ == "__main__":
    main()
