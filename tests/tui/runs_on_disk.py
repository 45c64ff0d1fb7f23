"""Runs as a trainer leaves them, without one: no model in them, and made in a moment."""

from __future__ import annotations

import json
import math
import os
from typing import Any

from core.presets import preset
from core.store.files import write_atomically
from core.store.metrics import MetricsWriter
from core.store.run import Run, create_run
from tests.tui.events import finished, sample, started, step, validation

CONFIG = preset("seed")


def make_run(
    name: str,
    *,
    steps: int = 40,
    loss: float = 1.5,
    age_s: float = 0.0,
    started_with: dict[str, Any] | None = None,
    text: str = "the model wrote this",
    is_finished: bool = True,
    **changes: Any,
) -> Run:
    """A run of so many steps, last worked on `age_s` ago, its checkpoint validated at `loss`."""
    run = create_run(name, CONFIG.with_changes(**changes), {"n_params": 454_016}, "{}")
    limits = {"steps": run.config.train.steps, "seconds": run.config.train.seconds}
    with MetricsWriter(run.path) as metrics:
        metrics.write(started(**{"run": name} | limits | (started_with or {})))
        for n in range(1, steps + 1):
            metrics.write(step(n))
        metrics.write(validation(steps))
        metrics.write(sample(steps, text))
        if is_finished:
            metrics.write(finished(steps=steps))
    for at in (0, steps):
        seen = {"loss": loss, "bits_per_byte": loss / math.log(2) / 2.9} if at else None
        state = {"format": 1, "step": at, "validation": seen}
        write_atomically(run.checkpoint_path(at) / "state.json", json.dumps(state).encode())
    then = (run.path / "metrics.jsonl").stat().st_mtime - age_s
    os.utime(run.path / "metrics.jsonl", (then, then))
    return run
