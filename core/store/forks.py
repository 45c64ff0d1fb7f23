"""What a fork begins with: the steps of another run up to a checkpoint, and that checkpoint.

    fork/   model.safetensors  state.safetensors  state.json

It outlives the checkpoints, of which training drops the first ones: a replay begins there. The
metrics begin with those of the other run, so that the curve is whole. Never imports torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.errors import CheckpointError
from core.events import Controlled
from core.store.files import link
from core.store.metrics import MetricsWriter, events_at
from core.store.run import Run, checkpoint_folder, read_state

FOLDER = "fork"
FILES = ("model.safetensors", "state.safetensors", "state.json")
_ABOUT_ONE_PROCESS = ("Resumed", "RunStarted", "CheckpointSaved", "CheckpointFailed")
"""Events that say nothing of another run."""


def begun_at(run: Run) -> int | None:
    """The step from which a fork, or the replay of one, goes on; None for any other run."""
    step = run.provenance.get("fork_step")
    return step if isinstance(step, int) else None


def begin_fork(source: Run, told: Controlled, folder: Path) -> None:
    """Write a checkpoint of `source` and its story until then into the folder of a new run.

    Args:
        told: of the fork itself.

    Raises:
        CheckpointError: the checkpoint is gone, or damaged.
        OSError: it cannot be written.
    """
    _take(source, source.checkpoint_path(told.step), told.step, folder)
    with MetricsWriter(folder) as metrics:
        metrics.write(told)


def fork_again(source: Run, folder: Path) -> None:
    """Have the replay of a fork begin where that began; nothing for any other run.

    Raises:
        CheckpointError: that is gone, or damaged.
        OSError: it cannot be written.
    """
    step = begun_at(source)
    if step is not None:
        _take(source, source.path / FOLDER, step, folder)


def _take(source: Run, checkpoint: Path, step: int, folder: Path) -> None:
    try:
        state = read_state(checkpoint, step)
        files = [path for path in checkpoint.iterdir() if path.is_file()]
        for place in (folder / FOLDER, checkpoint_folder(folder, step)):
            place.mkdir(parents=True)
            for path in files:
                link(path, place / path.name)
        past = list(_past(source, step, state))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"The checkpoint at step {step} of {source.name} cannot be taken over: {error}.",
            hint=f"It may have been dropped meanwhile; try {source.name} for the newest one.",
        ) from error
    with MetricsWriter(folder) as metrics:
        metrics.copy(past)


def _past(source: Run, step: int, state: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What the source told until then."""
    known = {"returns": state.get("returns", 0), "controls": state.get("controls", [])}
    for event in events_at(source.path, step, **known):
        if event["event"] not in _ABOUT_ONE_PROCESS:
            yield event
