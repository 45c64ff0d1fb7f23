"""How fast and in how much memory a text of a gigabyte becomes the tokens of a run.

    .venv/bin/python tests/benchmarks/tokenize_gigabyte.py [--megabytes N] [--folder FOLDER]

The text is made once and kept: lines of the standard library and of python-docs in an order
drawn anew in each round, every sixth with a word that was made up for it, and every fiftieth
in another script. It does not repeat itself; the seed is fixed.

A child process starts a run on it (BPE 4096, `core.recipes.training`) with an empty cache and
stops as soon as the model is to be built: reading, checking, training the tokenizer, encoding
and writing both splits are all in. Beside the total it prints each stage's seconds, and the
child's peak of resident memory, PyTorch included (`ru_maxrss`).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

VOCAB_SIZE = 4096
ROUND_LINES = 200_000
SYLLABLES = ("ba", "de", "fi", "go", "lu", "ma", "ne", "pi", "ro", "su", "ta", "str", "ing", "er")
FOREIGN = (
    "Der Zug fährt über die Brücke, und die Straße ist naß.",
    "Ребёнок читает «книгу» у окна, а снег идёт.",
    "Η γάτα κοιμάται· το φως σβήνει.",
    "川の水は海へ流れる。魚は泳ぐ。",
    "Um café, por favor — não há açúcar…",
    "नदी समुद्र की ओर बहती है।",
    "🐟 + 🌊 = ❤️",
)


def lines_of_python() -> list[str]:
    from core.text.corpus import load_corpus

    texts = ["".join(load_corpus(name).pieces()) for name in ("python-source", "python-docs")]
    return [line for text in texts for line in text.splitlines(keepends=True)]


def perturbed(lines: list[str], draw: random.Random) -> Iterator[str]:
    """A round: some of the lines, in another order, some of them changed."""
    for line in draw.sample(lines, min(ROUND_LINES, len(lines))):
        luck = draw.random()
        if luck < 0.02:
            yield f"{draw.choice(FOREIGN)} {draw.choice(FOREIGN)}\n"
        elif luck < 0.18:
            word = "".join(draw.choices(SYLLABLES, k=draw.randint(2, 5)))
            yield line.replace(" ", f" {word}{draw.randint(0, 999)} ", 1)
        else:
            yield line


def make_text(path: Path, n_bytes: int) -> None:
    draw, lines, written = random.Random(0), lines_of_python(), 0
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        while written < n_bytes:
            block = "".join(perturbed(lines, draw)).encode()[: n_bytes - written]
            block = block.decode("utf-8", "ignore").encode().ljust(len(block), b"\n")
            file.write(block)
            written += len(block)
    partial.rename(path)


def child(path: str) -> None:
    """Start a run and stop it when its text is ready; the figures go to stdout."""
    from core import recipes
    from core.config import RunConfig

    config = RunConfig().with_changes(corpus=path, vocab_size=VOCAB_SIZE, steps=1)
    session = recipes.training(config)
    stages: dict[str, float] = {}
    stage, since = "", time.perf_counter()
    for event in session.run():
        if event.stage != stage:
            now = time.perf_counter()
            stages[stage] = now - since
            stage, since = event.stage, now
        if stage == "building the model":
            session.stop()
    stages = {name: s for name, s in stages.items() if name and "PyTorch" not in name}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    times = os.times()
    print(json.dumps({"stages": stages, "peak_bytes": peak, "cpu_s": times.user + times.system}))


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--megabytes", type=int, default=1000)
    options.add_argument("--folder", type=Path, default=Path("out/gigabyte"))
    options.add_argument("--child", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.child:
        child(given.child)
        return
    path = given.folder.absolute() / f"text-{given.megabytes}.txt"
    if not path.exists():
        print("making the text ...")
        make_text(path, given.megabytes * 1_000_000)
    home = given.folder.absolute() / "home"
    shutil.rmtree(home, ignore_errors=True)
    found = json.loads(
        subprocess.run(
            [sys.executable, __file__, "--child", str(path)],
            env={**os.environ, "MINITF_HOME": str(home)},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
    )
    shutil.rmtree(home, ignore_errors=True)
    size, total = path.stat().st_size, sum(found["stages"].values())
    for stage, seconds in found["stages"].items():
        print(f"{seconds:8.1f} s  {stage}")
    print(f"{total:8.1f} s  in all, {found['cpu_s']:.1f} s of CPU time with PyTorch's import")
    print(f"{size / total / 1e6:8.2f} MB/s, peak memory {found['peak_bytes'] / 1e6:.0f} MB")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main()
