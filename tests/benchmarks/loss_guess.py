"""Fit the law of small runs (`core/measure/outlook.py`): a grid of real runs, and what it leaves.

    python tests/benchmarks/loss_guess.py run rows.jsonl [--texts python-docs ...]
    python tests/benchmarks/loss_guess.py fit rows.jsonl

loss_guess_rows.jsonl beside it is what the module's law was fitted to.

`fit` begins with a table: each run's loss beside what the module's law says today, and what a law
says that was fitted without its text (leave one text out).

`run` trains the grid on one thread, seed 0, and appends a line a run; what stands there already is
not run again. `fit` prints the constants of the module, from those rows and from `MEASURED`, and
how far the law is from each text when it was fitted on the others. Texts of known source are told
apart: small models get through their short n-grams at another pace. The runs themselves are thrown
away.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from core.measure.outlook import LAW_SPREAD, NEAR, Effort, Z, features, law

Row = tuple[str, Effort, float, float]
"""Text, effort, passes, ln(loss / best n-gram)."""

TEXTS = ("python-docs", "generated", "python-source")
SOURCE_TOKENS = 1_000_000
"""Of python-source, which is large."""
GRID: tuple[tuple[str, int, dict[str, Any]], ...] = (
    ("quick", 300, {}),
    ("llama-nano", 300, {}),
    ("quick", 80, {}),
    ("llama-nano", 1000, {}),
    ("gpt2-nano", 200, {}),
    ("quick", 200, {"tokenizer": "char"}),
    ("quick", 300, {"max_tokens": 66_000}),
    ("llama-micro", 100, {}),
    ("quick", 800, {}),
    ("llama-nano", 3000, {}),
    ("llama-micro", 400, {}),
    ("quick", 1900, {}),
)
"""Preset, steps, other settings; what tells most for its time comes first."""


MEASURED = (
    # text, optimizer, parameters, tokens, bytes a token, tokens of the text, best n-gram, loss
    ("shakespeare", "muon", 295_936, 383 * 1024, 1.0, 1_003_854, 1.523, 1.8591),
    ("shakespeare", "muon", 295_936, 771 * 1024, 1.0, 1_003_854, 1.523, 1.7162),
    ("shakespeare", "muon", 295_936, 1522 * 1024, 1.0, 1_003_854, 1.523, 1.6113),
    ("shakespeare", "muon", 295_936, 2884 * 1024, 1.0, 1_003_854, 1.523, 1.5534),
    ("python-docs", "muon", 410_368, 1918 * 1024, 2.268, 196_352, 2.5646, 2.538),
    ("seed", "adamw", 454_016, 204_800, 2.814, 40_000, 4.428, 5.3918),
    ("seed", "muon", 454_016, 204_800, 2.814, 40_000, 4.428, 4.7856),
)
"""Earlier runs, seed 0: quick on characters of Tiny Shakespeare and on python-docs, as in
docs/lab-notes.md, 2026-11-25; the presets seed and seed-best, on another cut of python-docs."""


def run(preset_name: str, text: str, steps: int, changes: dict[str, Any]) -> dict[str, Any]:
    """Train one, and tell what a guess may know and what came of it."""
    from core import recipes
    from core.events import BaselinesCounted, RunFinished, RunStarted
    from core.presets import preset

    own = {"max_tokens": SOURCE_TOKENS} if text == "python-source" else {}
    config = preset(preset_name).with_changes(
        **{"corpus": text, "steps": steps, "threads": 1, "device": "cpu"} | own | changes,
        eval_interval=0,
        sample_interval=0,
        sample_tokens=0,
        checkpoint_interval=0,
        health_share=0.0,
    )
    row: dict[str, Any] = {"preset": preset_name, "text": text, "steps": steps, "changes": changes}
    row["optimizer"] = config.train.optimizer
    for event in recipes.training(config).run():
        if isinstance(event, RunStarted):
            row |= {
                "params": event.n_params,
                "vocab_size": event.vocab_size,
                "train_tokens": event.train_tokens,
                "bytes_per_token": event.bytes_per_token,
                "floor": event.floor_loss,
            }
        elif isinstance(event, BaselinesCounted):
            row["baselines"] = {b.name: b.loss for b in event.baselines}
        elif isinstance(event, RunFinished):
            row |= {
                "tokens": event.result.tokens,
                "loss": event.result.val_loss,
                "train_s": event.result.train_s,
            }
    return row


def run_grid(path: Path, texts: list[str]) -> None:
    """All that `path` does not hold yet."""
    held = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    known = {json.dumps([row[k] for k in ("preset", "text", "steps", "changes")]) for row in held}
    for preset_name, steps, changes in GRID:
        for text in texts:
            if json.dumps([preset_name, text, steps, changes]) in known:
                continue
            row = run(preset_name, text, steps, changes)
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(preset_name, text, steps, changes, f"{row['loss']:.4f}", flush=True)


def known(path: Path) -> list[Row]:
    """Text, effort, passes and ln(loss / best n-gram) of all runs on texts of unknown source."""
    found = []
    for text, optimizer, params, tokens, per_token, n_train, ngram, loss in MEASURED:
        effort = Effort(params, tokens, per_token, optimizer)
        found.append((text, effort, tokens / n_train, math.log(loss / ngram)))
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["floor"] is None:
            effort = Effort(row["params"], row["tokens"], row["bytes_per_token"], row["optimizer"])
            ngram = min(loss for name, loss in row["baselines"].items() if name.endswith("-gram"))
            passes = row["tokens"] / row["train_tokens"]
            found.append((row["text"], effort, passes, math.log(row["loss"] / ngram)))
    return found


def left_out(rows: list[Row], x: Any, y: Any) -> list[tuple[float, Row]]:
    """Print a line a run; what a law leaves of each that was fitted without its text."""
    left: list[tuple[float, Row]] = []
    heads = f"{'text':14}{'optimizer':10}{'params':>9}{'MB':>7}{'ratio':>8}"
    print(f"{heads}{'module':>9}{'left out':>10}")
    inside = 0
    texts = np.array([text for text, *_ in rows])
    for text in dict.fromkeys(texts):
        is_out = texts == text
        errors = y[is_out] - x[is_out] @ solved(x[~is_out], y[~is_out])
        own = [row for row in rows if row[0] == text]
        left += zip(errors, own, strict=True)
        for error, (_, effort, _, ratio) in zip(errors, own, strict=True):
            of_module = ratio - law(effort)
            inside += abs(of_module) <= Z * LAW_SPREAD.get(effort.optimizer, math.inf)
            print(
                f"{text:14}{effort.optimizer:10}{effort.n_params:9}{effort.n_bytes / 1e6:7.2f}"
                f"{math.exp(ratio):8.3f}{100 * of_module:+8.1f}%{100 * error:+9.1f}%"
            )
    print(f"inside the module's interval: {inside} of {len(rows)}")
    return left


def fit(path: Path) -> None:
    """Print the constants and what the law leaves."""
    rows = known(path)
    x = np.array([features(effort) for _, effort, _, _ in rows])
    y = np.array([ratio for *_, ratio in rows])
    left = left_out(rows, x, y)
    weights = solved(x, y)
    print("LAW =", tuple(round(float(w), 4) for w in weights))
    for optimizer in ("muon", "adamw"):
        own = [e for e, (_, effort, _, _) in left if effort.optimizer == optimizer]
        print(f"LAW_SPREAD {optimizer} = {np.sqrt(np.mean(np.square(own))):.3f}, {len(own)} runs")
    near = []
    for (text, a, _, ya), (other, b, _, yb) in itertools.combinations(rows, 2):
        ratios = a.tokens / b.tokens, a.n_params / b.n_params
        is_near = all(1 / NEAR <= ratio <= NEAR for ratio in ratios)
        if text == other and a.optimizer == b.optimizer and is_near:
            near.append((float((features(b) - features(a)) @ weights), yb - ya))
    for told, real in near:
        print(f"from a near run: law {told:+.3f}, real {real:+.3f}")
    print("passes over a text, at most:", round(max(passes for _, _, passes, _ in rows), 1))
    for name, values in (
        ("BYTES", [effort.n_bytes for _, effort, _, _ in rows]),
        ("PARAMS", [effort.n_params for _, effort, _, _ in rows]),
    ):
        print(f"LEAST_{name}, MOST_{name} = {min(values):.2g}, {max(values):.2g}")


def solved(x: Any, y: Any) -> Any:
    """Least squares, the smallest weights where the rows leave a choice."""
    return np.linalg.lstsq(x, y, rcond=None)[0]


def main() -> None:
    """Run or fit, as it is told."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("run", "fit"))
    parser.add_argument("rows", type=Path)
    parser.add_argument("--texts", nargs="+", default=list(TEXTS))
    options = parser.parse_args()
    if options.what == "fit":
        fit(options.rows)
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MINITF_HOME"] = folder
        run_grid(options.rows, options.texts)


if __name__ == "__main__":
    main()
