"""Runs for tests that are a folder alone: without weights, their checkpoints a state."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.errors import RunError
from core.presets import preset
from core.store.files import write_atomically
from core.store.run import Run, create_run

CONFIG = preset("seed")


def make(name: str | None = "tiny", **provenance: Any) -> Run:
    facts = {"corpus_sha256": "0", "n_params": 42} | provenance
    return create_run(name, CONFIG, facts, "{}")


def add_checkpoint(run: Run, step: int, loss: float | None = None, bits: float = 1.0) -> None:
    validation = None if loss is None else {"loss": loss, "bits_per_byte": bits}
    state = {"format": 1, "step": step, "validation": validation}
    write_atomically(run.checkpoint_path(step) / "state.json", json.dumps(state).encode())


def refused(work: Any, kind: type[Exception] = RunError) -> tuple[str, str]:
    with pytest.raises(kind) as caught:
        work()
    return str(caught.value), caught.value.hint  # type: ignore[attr-defined]
