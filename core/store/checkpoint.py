"""Weights and training state on disk, whole or not at all.

    checkpoints/step-00000500/  model.safetensors   weights, by parameter name; packed ones in
                                                    parts, see `core.store.packed_weights`
                                state.safetensors   optimiser moments, by parameter name
                                state.json          step, times, last validation

Safetensors hold numbers only: loading a checkpoint runs no code.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from core.errors import CheckpointError
from core.model.packed import PackedMatrix
from core.model.transformer import Transformer
from core.store.files import new_folder, remove_folder, write_atomically, write_synced
from core.store.packed_weights import from_tensors
from core.store.run import Run
from core.store.run_toml import FORMAT

KEPT_CHECKPOINTS = 2
FULL = (errno.ENOSPC, errno.EDQUOT)
_OS_ERROR = re.compile(r"os error (\d+)")


class Optimizer(Protocol):
    """What the store needs of one."""

    def state(self) -> dict[str, Tensor]:
        """Tensors by name."""

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take them over; KeyError or ValueError if they do not fit."""


def save_checkpoint(
    run: Run,
    step: int,
    model: nn.Module,
    optimizer: Optimizer,
    state: Mapping[str, Any],
) -> Path:
    """Keep everything that training needs to go on from `step`, then drop old checkpoints
    but the last two and the best; on a full disk, all but the last and the best before.

    Raises:
        OSError: it cannot be written; the checkpoints before it stay.
        StoreError: its folder cannot be made.
    """
    path = run.checkpoint_path(step)
    text = json.dumps({"format": FORMAT, "step": step, **state}, indent=1)
    if path.exists():  # the same tensors, validated since
        write_atomically(path / "state.json", text.encode())
    else:
        try:
            _write(path, model, optimizer, text)
        except OSError as error:
            if error.errno not in FULL or not _prune(run, kept=1):
                raise
            _write(path, model, optimizer, text)
    _prune(run)
    return path


def _write(path: Path, model: nn.Module, optimizer: Optimizer, text: str) -> None:
    with new_folder(path) as folder:
        save_tensors(folder / "model.safetensors", weights_of(model))
        save_tensors(folder / "state.safetensors", optimizer.state())
        write_synced(folder / "state.json", text.encode())


def forget_moved_budget(run: Run) -> None:
    """A budget that is given anew takes the place of what commands have made of the one before.

    Raises:
        CheckpointError: the newest checkpoint is damaged.
        OSError: it cannot be written.
    """
    for step in run.checkpoint_steps()[-1:]:
        state = run.checkpoint_state(step)
        if state.get("budget") is not None:
            text = json.dumps(state | {"budget": None}, indent=1)
            write_atomically(run.checkpoint_path(step) / "state.json", text.encode())


def load_weights(run: Run, step: int, model: Transformer) -> None:
    """Fill `model` with a checkpoint's weights, and give it the packed ones beside.

    Raises:
        CheckpointError: it is missing, damaged or of another model.
    """
    weights, packed = _read(run, step)
    take_weights(run, step, weights, model)
    model.packed = packed


def read_weights(run: Run, step: int) -> dict[str, Tensor]:
    """A checkpoint's weights, packed ones dequantised; their file may be dropped then.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    return _read(run, step)[0]


def take_weights(run: Run, step: int, weights: Mapping[str, Tensor], model: nn.Module) -> None:
    """Fill `model` with weights that were read.

    Raises:
        CheckpointError: they are of another model.
    """
    own = weights_of(model)
    _check_same_tensors(run, step, weights, own)
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(weights[name])


def load_moments(run: Run, step: int, optimizer: Optimizer) -> None:
    """Fill `optimizer` with a checkpoint's moments. At step 0 they are zero, as in a new
    optimiser, and weights that came from elsewhere have no file of them.

    Raises:
        CheckpointError: they are missing, damaged or of another model.
    """
    if step == 0 and not (run.checkpoint_path(0) / "state.safetensors").exists():
        optimizer.load_state({k: torch.zeros_like(v) for k, v in optimizer.state().items()})
        return
    tensors = _load_tensors(run, step, "state.safetensors")
    try:
        optimizer.load_state(tensors)
    except KeyError as error:
        raise _damaged(run, step, f"{error.args[0]} is missing") from error
    except ValueError as error:
        raise _damaged(run, step, str(error)) from error


def drop_checkpoints_after(run: Run, step: int) -> None:
    """Remove those of later steps, which were undone."""
    for later in run.checkpoint_steps():
        if later > step:
            remove_folder(run.checkpoint_path(later))


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Parameters by name; a shared one once."""
    return {name: p.detach() for name, p in model.named_parameters()}


def save_tensors(
    path: Path, tensors: Mapping[str, Tensor], *, metadata: dict[str, str] | None = None
) -> None:
    """Write and wait until the disk has it.

    Args:
        metadata: what the header says beside names and shapes.

    Raises:
        OSError: it cannot be written.
    """
    try:
        plain = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
        save_file(plain, path, metadata)
    except SafetensorError as error:
        number = _OS_ERROR.search(str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _read(run: Run, step: int) -> tuple[dict[str, Tensor], dict[str, PackedMatrix]]:
    tensors = _load_tensors(run, step, "model.safetensors")
    try:
        return from_tensors(tensors)
    except ValueError as error:
        raise _damaged(run, step, str(error)) from error


def _load_tensors(run: Run, step: int, name: str) -> dict[str, Tensor]:
    path = run.checkpoint_path(step) / name
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise _damaged(run, step, f"{name}: {error}") from error


def _check_same_tensors(
    run: Run, step: int, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> None:
    if missing := sorted(wanted.keys() - found.keys()):
        raise _damaged(run, step, f"{missing[0]} is missing")
    if extra := sorted(found.keys() - wanted.keys()):
        raise _damaged(run, step, f"{extra[0]} is not part of the model")
    for name, tensor in wanted.items():
        if found[name].shape != tensor.shape:
            raise _damaged(
                run, step, f"{name} is {tuple(found[name].shape)}, not {tuple(tensor.shape)}"
            )


def _prune(run: Run, *, kept: int = KEPT_CHECKPOINTS) -> bool:
    """Drop all but the last `kept` checkpoints and the best; whether there was one to drop."""
    steps = run.checkpoint_steps()
    doomed = sorted(set(steps) - {*steps[-kept:], run.best_step()})
    for step in doomed:
        with suppress(OSError):  # somebody reads it; the next save tries again
            remove_folder(run.checkpoint_path(step))
    return bool(doomed)


def _damaged(run: Run, step: int, what: str) -> CheckpointError:
    return CheckpointError(
        f"The checkpoint at step {step} of {run.name} does not fit: {what}.",
        hint=f"Use another one: {run.name}@STEP.",
    )
