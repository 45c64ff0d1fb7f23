"""What a preset learns in the time of nanoGPT's CPU recipe, on the same characters.

    git clone https://github.com/karpathy/nanoGPT
    python tests/benchmarks/learning.py --nanogpt nanoGPT --text tinyshakespeare.txt

T0 is the pure training time of that recipe (4 layers, 4 heads, 128 wide, context 64, batch 12,
2000 steps; its model, optimiser, schedule and `get_batch` as they stand, eager, evaluations left
out), measured before and after ours. Ours are runs as anybody starts them, with `--seconds` as a
share of T0; their `train_s` holds everything from the first access to training tokens. Both
sides are scored on the whole validation split, the last tenth of the text, with a stride of
their own context. `--text` may also be python-docs, python-source or generated.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parent))

from core.openmp import tame_openmp

tame_openmp()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from nanogpt_step import SHAPES, NanoGPT, _function  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from core import recipes  # noqa: E402
from core.config import TextConfig  # noqa: E402
from core.events import RunFinished, TrainResult  # noqa: E402
from core.presets import preset  # noqa: E402
from core.store.tokens import TokenizedText, tokenize_corpus  # noqa: E402

STEPS = 2000
SCHEDULE = {"learning_rate": 1e-3, "min_lr": 1e-4, "warmup_iters": 100, "lr_decay_iters": STEPS}
"""Of config/train_shakespeare_char.py, as its README shortens it for a CPU."""
GOALS = {
    # (preset, share of T0): the most nats per character, and what the stretch goal asks for.
    ("quick", 1 / 8): (None, 1.9003),
    ("quick", 1 / 4): (1.9003, None),
    ("quick", 1 / 2): (None, 1.669),
    ("quick", 1.0): (1.60, 1.55),
    ("quick-large", 4.0): (1.50, 1.4697),
}
SHAKESPEARE = (1_115_394, 65)
"""Characters and distinct ones of tinyshakespeare.txt, of which the goals speak."""
MOST_PARAMS, MOST_CONTEXT = 1_000_000, 128


@dataclass(frozen=True)
class Recipe:
    """One run of nanoGPT's recipe."""

    train_s: float
    loss: float


def run_recipe(
    options: argparse.Namespace, text: TokenizedText, folder: Path, seed: int, steps: int
) -> Recipe:
    """nanoGPT's, with another seed; fewer steps give its time only."""
    torch.set_num_threads(options.threads)  # a run of ours may have chosen other ones
    np.asarray(text.train_ids, np.uint16).tofile(folder / "train.bin")
    torch.manual_seed(1337 + seed)
    theirs = NanoGPT(options.nanogpt, SHAPES["small"], text.tokenizer.vocab_size, folder)
    rate: Any = _function(options.nanogpt / "train.py", "get_lr", {"math": math, **SCHEDULE})
    began = time.perf_counter()
    for step in range(steps):
        for group in theirs._optimizer.param_groups:
            group["lr"] = rate(step)
        theirs.step()
    train_s = (time.perf_counter() - began) * STEPS / steps
    return Recipe(train_s, loss_of(theirs.model, text.validation_ids))


@torch.no_grad()
def loss_of(model: Any, ids: Any) -> float:
    """Of the whole split, stride = context, the last short window included."""
    context, total = SHAPES["small"]["block_size"], 0.0
    tokens = torch.from_numpy(np.asarray(ids).astype(np.int64))
    for start in range(0, len(tokens) - 1, context):
        rows = tokens[start : start + context + 1][None]
        logits, _ = model(rows[:, :-1], rows[:, 1:])
        total += F.cross_entropy(logits[0], rows[0, 1:], reduction="sum").item()
    return total / (len(tokens) - 1)


def run_preset(name: str, corpus: str, seconds: float, seed: int) -> TrainResult:
    """One of our runs, headless, validated at its end only."""
    config = preset(name).with_changes(
        corpus=corpus,
        tokenizer="char",
        validation_fraction=0.1,
        seconds=seconds,
        seed=seed,
        eval_interval=0,
        sample_interval=0,
        checkpoint_interval=0,
        device="cpu",
    )
    for event in recipes.training(config).run():
        if isinstance(event, RunFinished):
            return event.result
    raise RuntimeError(f"{name} did not finish")


def read(corpus: str) -> TokenizedText:
    """Characters as tokens, as our runs have them."""
    telling = tokenize_corpus(TextConfig(corpus=corpus, tokenizer="char", validation_fraction=0.1))
    while True:
        try:
            next(telling)
        except StopIteration as end:
            found: TokenizedText = end.value
            return found


def verdict(name: str, share: float, loss: float, results: list[TrainResult]) -> str:
    """What the goals say of a mean loss, if they speak of it."""
    must, stretch = GOALS.get((name, share), (None, None))
    words = []
    for what, goal in (("must", must), ("stretch", stretch)):
        if goal is not None:
            words.append(f"{what} {goal:g} {'met' if loss <= goal else 'MISSED'}")
    result = results[0]
    if name == "quick" and not (result.params <= MOST_PARAMS and result.context <= MOST_CONTEXT):
        words.append("too large: MISSED")
    return ", ".join(words)


def measure(options: argparse.Namespace, corpus: str, folder: Path) -> None:
    """One text: T0, our runs seed by seed, T0 again, a table."""
    text = read(corpus)
    n_distinct, n_all = text.tokenizer.vocab_size, len(text.train_ids) + len(text.validation_ids)
    print(f"\n{corpus}: {n_all:,} characters, {n_distinct} distinct", flush=True)
    before = run_recipe(options, text, folder, 0, options.t0_steps)
    told = f"loss {before.loss:.4f}" if options.t0_steps == STEPS else "(shortened: time only)"
    print(f"nanoGPT before: T0 = {before.train_s:.1f} s, {told}", flush=True)
    cells = [("quick", share) for share in options.shares]
    cells += [("quick-large", share) for share in options.large_shares]
    found: dict[tuple[str, float], list[TrainResult]] = {cell: [] for cell in cells}
    for seed in range(options.seeds):
        for name, share in cells:
            result = run_preset(name, corpus, share * before.train_s, seed)
            found[name, share].append(result)
            print(
                f"  seed {seed} {name} {share:g} T0: loss {result.val_loss:.4f}, "
                f"{result.train_s:.1f} s, {result.steps} steps",
                flush=True,
            )
    after_steps = options.after_steps or options.t0_steps
    after = run_recipe(options, text, folder, 1, after_steps)
    told = f", loss {after.loss:.4f}" if after_steps == STEPS else ""
    print(f"nanoGPT after:  T0 = {after.train_s:.1f} s{told}", flush=True)
    t0 = (before.train_s + after.train_s) / 2
    print("preset       parameters   share of T0    nats per character   under nanoGPT's   goals")
    # A shortened recipe has not learned what it would have.
    whole = [(before, options.t0_steps), (after, after_steps)]
    learned = [recipe.loss for recipe, steps in whole if steps == STEPS]
    theirs = statistics.fmean(learned) if learned else float("nan")
    for (name, share), results in found.items():
        losses = [result.val_loss or float("nan") for result in results]
        mean = statistics.fmean(losses)
        spread = statistics.stdev(losses) if len(losses) > 1 else 0.0
        real = statistics.fmean(result.train_s for result in results) / t0
        said = verdict(name, share, mean, results) if (n_all, n_distinct) == SHAKESPEARE else ""
        print(
            f"{name:<12} {results[0].params:>10,}   {share:>5.3f} ({real:.3f})"
            f"    {mean:.4f} ± {spread:.4f} (n={len(losses)})   {theirs - mean:>+.4f}   {said}"
        )


def main() -> None:
    """Measure each text; print tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nanogpt", type=Path, required=True, help="a checkout of it")
    parser.add_argument("--text", nargs="+", required=True, help="files or built-in corpora")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--shares", type=float, nargs="*", default=[0.125, 0.25, 0.5, 1.0])
    parser.add_argument("--large-shares", type=float, nargs="*", default=[4.0])
    parser.add_argument("--t0-steps", type=int, default=STEPS, help="fewer: T0 by proportion")
    parser.add_argument("--after-steps", type=int, default=0, help="as --t0-steps, of the second")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MINITF_HOME"] = folder
        for corpus in options.text:
            measure(options, corpus, Path(folder))


if __name__ == "__main__":
    main()
