"""How far a forecast is from the run that it speaks of: time, memory, final loss.

    python tests/benchmarks/forecast_error.py [--cases quick seed ...] [--rounds 2] [--seconds 20]

Each case is forecast and then run by `minitf`, as anybody would, in processes of their own; its
budget is chosen so that a run trains for about `--seconds`. A table tells, as run / forecast with
the range over the rounds: wall time (of the whole process, its start included), training time,
steps (which are forecast where the budget is in seconds), the most memory that the process held,
and the loss of the last validation; a second one the seconds and losses themselves. `rest` is a run
that is resumed when half of its steps are done.

Figures count on a quiet machine only. On a busy one `--cpu` counts the processor's seconds instead,
on one thread, in the forecast as in the run: what waits for the disk is then left out.
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
    "shuffled": ("--preset", "quick", "--rows", "shuffled"),
    "seconds": ("--preset", "quick"),
    "epochs": ("--preset", "quick"),
    "rest": ("--preset", "quick"),
}
FIXED_STEPS = {"seed": 100}
RATIOS = ("in all", "train", "steps", "memory", "loss")
PROBE_STEPS = 200
BY_CPU = (
    "import time; time.perf_counter = time.process_time; import minitf_tui.__main__ as m, sys;"
    " sys.exit(m.main())"
)


@dataclass(frozen=True)
class Pair:
    """A forecast and its run."""

    forecast: dict[str, Any]
    run: dict[str, Any]
    all_s: float
    """Of the run's process, from its start to its end."""
    rss_bytes: int
    behind: dict[str, Any] | None = None
    """The result of the run that this one goes on from."""

    @property
    def train_s(self) -> float:
        """Of this process alone."""
        return float(self.run["train_s"]) - (self.behind["train_s"] if self.behind else 0.0)

    @property
    def steps(self) -> int:
        """Of this process alone."""
        return int(self.run["steps"]) - (self.behind["steps"] if self.behind else 0)

    def ratios(self) -> dict[str, float]:
        """Run / forecast."""
        told, loss = self.forecast, self.forecast["final_loss"]["loss"]
        return {
            "in all": self.all_s / told["total_s"],
            "train": self.train_s / told["train_s"],
            "steps": self.steps / told["steps"],
            "memory": self.rss_bytes / (told["process_bytes"] or math.nan),
            "loss": self.run["val_loss"] / (loss or math.nan),
        }


def minitf(words: list[str], home: str, *, by_cpu: bool) -> tuple[dict[str, Any], float, int]:
    """The result of a command, the seconds of its process, its peak memory."""
    how = ["-c", BY_CPU] if by_cpu else ["-m", "minitf_tui"]
    if by_cpu and "--resume" not in words:  # what is resumed has the threads it was made with
        words = [*words, "--threads", "1"]
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
    flags, behind = list(CASES[name]), None
    steps = FIXED_STEPS.get(name)
    if name == "seconds":
        flags += ["--seconds", str(seconds)]
    else:
        probed = ["forecast", *flags, "--steps", str(PROBE_STEPS)]
        if steps is None:
            step_ms = minitf(probed, home, by_cpu=by_cpu)[0]["step_ms"]
            steps = max(20, round(1000 * seconds / step_ms))
        flags += ["--steps", str(steps)]
    if name == "epochs":
        one = minitf(["forecast", *CASES[name], "--epochs", "1"], home, by_cpu=by_cpu)[0]
        flags = [*CASES[name], "--epochs", f"{steps / one['steps']:.3f}"]
    if name == "rest":
        half = [*CASES[name], "--steps", str(steps // 2)]
        behind = minitf(["train", *half], home, by_cpu=by_cpu)[0]
        flags = ["--resume", "last", "--steps", str(steps)]
    told = minitf(["forecast", *flags], home, by_cpu=by_cpu)[0]
    run, all_s, rss = minitf(["train", *flags], home, by_cpu=by_cpu)
    return Pair(told, run, all_s, rss, behind)


def report_ratios(name: str, pairs: list[Pair]) -> str:
    """A row: the middle and the range of run / forecast."""
    cells = []
    for what in RATIOS:
        found = sorted(pair.ratios()[what] for pair in pairs)
        middle = "-" if math.isnan(found[0]) else f"{found[len(found) // 2]:.3f}"
        spread = f" {found[0]:.2f}-{found[-1]:.2f}" if len(found) > 1 and middle != "-" else ""
        cells.append(f"{middle + spread:16}")
    return f"{name:11}" + "".join(cells)


def report_figures(name: str, pairs: list[Pair]) -> str:
    """A row: the last pair's own figures, forecast > run."""
    last, told = pairs[-1], pairs[-1].forecast
    guess, mb = told["final_loss"], 1e-6
    words = (
        f"{name:11}{last.steps:6} steps  in all {told['total_s']:5.1f} > {last.all_s:5.1f} s"
        f"  train {told['train_s']:5.1f} > {last.train_s:5.1f} s"
        f"  memory {mb * (told['process_bytes'] or 0):5.0f} > {mb * last.rss_bytes:5.0f} MB"
    )
    if guess["loss"] is None:
        return f"{words}  no guess: {guess['why']}"
    is_inside = guess["low"] <= last.run["val_loss"] <= guess["high"]
    return (
        f"{words}  loss {guess['loss']:.3f} ({guess['low']:.2f}-{guess['high']:.2f}) >"
        f" {last.run['val_loss']:.3f} {'inside' if is_inside else 'OUTSIDE'}, {guess['why']}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--cpu", action="store_true")
    options = parser.parse_args()
    found: dict[str, list[Pair]] = {}
    print(f"run / forecast\n{'case':11}" + "".join(f"{what:16}" for what in RATIOS))
    for name in options.cases:
        found[name] = []
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as home:
                found[name].append(measure(name, options.seconds, home, by_cpu=options.cpu))
        print(report_ratios(name, found[name]), flush=True)
    print("\nforecast > run, of the last round")
    for name, pairs in found.items():
        print(report_figures(name, pairs))


if __name__ == "__main__":
    main()
