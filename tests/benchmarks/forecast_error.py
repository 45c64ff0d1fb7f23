"""How far a forecast is from the run that it speaks of: time, memory, final loss.

    python tests/benchmarks/forecast_error.py [--cases quick seed ...] [--rounds 2] [--seconds 20]

Each case is forecast and then run by `minitf`, as anybody would, in processes of their own; steps
are chosen so that a run trains for about `--seconds`. Told are wall time (of the whole process, its
start included), training time, the most memory that the process held, and the loss of the last
validation, each as run / forecast, with the
range over the rounds. Figures count on a quiet machine
only. On a busy one `--cpu` counts the processor's seconds instead, on one thread, in the forecast
as in the run: what waits for the disk is then left out.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CASES: dict[str, tuple[str, ...]] = {
    "quick": ("--preset", "quick"),
    "llama-nano": ("--preset", "llama-nano"),
    "gpt2-nano": ("--preset", "gpt2-nano"),
    "seed": ("--preset", "seed"),
    "task": ("--preset", "quick", "--corpus", "task:addition", "--tokenizer", "char"),
    "char": ("--preset", "quick", "--tokenizer", "char", "--corpus", "generated"),
}
FIXED_STEPS = {"seed": 100}
PROBE_STEPS = 200
BY_CPU = (
    "import time; time.perf_counter = time.process_time; import minitf_tui.__main__ as m; m.main()"
)


@dataclass(frozen=True)
class Pair:
    """A forecast and its run."""

    forecast: dict[str, Any]
    run: dict[str, Any]
    all_s: float
    """Of the run's process, from its start to its end."""
    rss_bytes: int

    def ratios(self) -> dict[str, float]:
        """Run / forecast."""
        told, loss = self.forecast, self.forecast["final_loss"]["loss"]
        return {
            "in all": self.all_s / told["total_s"],
            "train": self.run["train_s"] / told["train_s"],
            "memory": self.rss_bytes / (told["process_bytes"] or math.nan),
            "loss": self.run["val_loss"] / (loss or math.nan),
        }


def minitf(words: list[str], home: str, *, by_cpu: bool) -> tuple[dict[str, Any], float, int]:
    """The result of a command, the seconds of its process, its peak memory."""
    how = ["-c", BY_CPU] if by_cpu else ["-m", "minitf_tui"]
    words = [*words, "--threads", "1"] if by_cpu else words
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *how, *words, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        env=os.environ | {"MINITF_HOME": home} | ({"OMP_NUM_THREADS": "1"} if by_cpu else {}),
    )
    assert process.stdout is not None
    out = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - began
    if status:
        raise SystemExit(f"minitf {' '.join(words)} ended with {status}")
    spent = used.ru_utime + used.ru_stime if by_cpu else wall_s
    return json.loads(out), spent, used.ru_maxrss * 1024


def measure(name: str, seconds: float, home: str, *, by_cpu: bool) -> Pair:
    """Forecast a case, then run it."""
    flags = list(CASES[name])
    steps = FIXED_STEPS.get(name)
    if steps is None:
        probe = minitf(["forecast", *flags, "--steps", str(PROBE_STEPS)], home, by_cpu=by_cpu)[0]
        steps = max(20, round(1000 * seconds / probe["step_ms"]))
    flags += ["--steps", str(steps)]
    told = minitf(["forecast", *flags], home, by_cpu=by_cpu)[0]
    run, all_s, rss = minitf(["train", *flags], home, by_cpu=by_cpu)
    return Pair(told, run, all_s, rss)


def report(name: str, pairs: list[Pair]) -> str:
    """One line a case: the last pair's seconds, and the ratios of all."""
    last = pairs[-1]
    words = [
        f"{name:11} {last.run['steps']:5} steps"
        f"  in all {last.forecast['total_s']:6.1f} s, run {last.all_s:6.1f} s;"
        f" training {last.forecast['train_s']:6.1f} s, run {last.run['train_s']:6.1f} s"
    ]
    for what in ("in all", "train", "memory", "loss"):
        found = sorted(pair.ratios()[what] for pair in pairs)
        middle = found[len(found) // 2]
        spread = f" ({found[0]:.2f}-{found[-1]:.2f})" if len(found) > 1 else ""
        words.append(f"{what} {middle:.3f}{spread}")
    guess = last.forecast["final_loss"]
    if guess["loss"] is not None:
        is_inside = guess["low"] <= last.run["val_loss"] <= guess["high"]
        words.append(
            f"loss {last.run['val_loss']:.3f} for {guess['loss']:.3f} ({guess['low']:.2f}-"
            f"{guess['high']:.2f}), {'inside' if is_inside else 'OUTSIDE'}, {guess['why']}"
        )
    return "  ".join(words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--cpu", action="store_true")
    options = parser.parse_args()
    for name in options.cases:
        pairs = []
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as home:
                pairs.append(measure(name, options.seconds, home, by_cpu=options.cpu))
        print(report(name, pairs), flush=True)


if __name__ == "__main__":
    main()
