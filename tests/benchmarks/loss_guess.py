"""Fit the law of small runs (`core/measure/outlook.py`): a grid of real runs, and what it leaves.

    python tests/benchmarks/loss_guess.py run rows.jsonl [--texts python-docs ...]
    python tests/benchmarks/loss_guess.py fit rows.jsonl

`run` trains the grid on one thread, seed 0, and appends a line a run; what stands there already is
not run again. `fit` prints the constants of the module and how far the law is from each text when
it was fitted on the others. The runs themselves are thrown away.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("run", "fit"))
    parser.add_argument("rows", type=Path)
    parser.add_argument("--texts", nargs="+", default=list(TEXTS))
    options = parser.parse_args()
    if options.what == "fit":
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MINITF_HOME"] = folder
        run_grid(options.rows, options.texts)


if __name__ == "__main__":
    main()
