"""What a run began with, where its weights came from elsewhere.

    init.safetensors    weights, by parameter name; run.toml knows them by `init_sha256`

They outlive the checkpoints, of which training drops the first ones: a replay needs them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from core.errors import RunError
from core.store.checkpoint import save_tensors
from core.store.files import link, write_synced
from core.store.run import Run, checkpoint_folder
from core.store.run_toml import FORMAT

FILE_NAME = "init.safetensors"
HASH = "init_sha256"
"""In a run's provenance, where there is such a file."""
_NOTHING_DONE: dict[str, Any] = {
    "step": 0,
    "tokens": 0,
    "best_loss": None,
    "last_validation": None,
    "validation": None,
    "spent_s": {},
}
"""The state of a checkpoint before the first step."""


def fingerprint(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, shapes and numbers, in hexadecimal; takes no memory.

    Args:
        weights: by name, float32, contiguous, on the CPU.
    """
    found = hashlib.sha256()
    for name in sorted(weights):
        found.update(f"{name} {tuple(weights[name].shape)}\n".encode())
        found.update(weights[name].detach().numpy().reshape(-1).view("u1").data)
    return found.hexdigest()


def write_start(folder: Path, weights: Mapping[str, Tensor]) -> None:
    """Step 0 of a run that is being made, without moments, and what outlives it: one file
    under two names where the disk can do that.

    Args:
        folder: of the run; nobody sees it yet.
        weights: by parameter name, float32.

    Raises:
        OSError: they cannot be written.
    """
    link(write_weights(folder, 0, weights), folder / FILE_NAME)


def write_weights(
    folder: Path,
    step: int,
    tensors: Mapping[str, Tensor],
    validation: Mapping[str, Any] | None = None,
) -> Path:
    """The only checkpoint of a run that is being made, without moments; the file of the tensors.

    Args:
        folder: of the run; nobody sees it yet.
        validation: what the weights came to, as a checkpoint says it.

    Raises:
        OSError: they cannot be written.
    """
    path = checkpoint_folder(folder, step)
    path.mkdir(parents=True)
    save_tensors(path / "model.safetensors", tensors)
    state = {"format": FORMAT, **_NOTHING_DONE, "step": step, "validation": validation}
    write_synced(path / "state.json", json.dumps(state).encode())
    return path / "model.safetensors"


def read_start(run: Run) -> dict[str, Tensor] | None:
    """The weights that a run began with; None if its seed made them.

    Raises:
        RunError: they are missing, damaged, or others.
    """
    if HASH not in run.provenance:
        return None
    try:
        weights = load_file(run.path / FILE_NAME)
        if fingerprint(weights) != run.provenance[HASH]:
            raise ValueError("they have changed")
    except (OSError, SafetensorError, ValueError, TypeError) as error:
        raise RunError(
            f"The weights that {run.name} began with cannot be read: {error}.",
            hint=f"Restore its {FILE_NAME}.",
        ) from error
    return weights
