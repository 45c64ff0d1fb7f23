"""The run folder, and how a run is named on the command line.

    <data dir>/runs/<run>/   run.toml        config and provenance
                             tokenizer.json
                             metrics.jsonl
                             rates.json      of a replay
                             corpus.txt      the text, of a run that came in a capsule, and of
                                             its replays; see `core.store.tokens`
                             checkpoints/step-00000500/
                             evaluations/*.json  benchmarks/*.json
                             lock            the operating system's, held while training

A folder without a readable run.toml is not a run. Never imports torch.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core import paths
from core.config import BUDGETS, RunConfig
from core.errors import CheckpointError, ConfigError, RunError, StoreError
from core.store.files import (
    locked,
    new_folder,
    remove_folder,
    sweep,
    write_atomically,
    write_synced,
)
from core.store.metrics import finite
from core.store.run_names import check_new_name, free_names, taken
from core.store.run_toml import FORMAT, check_readable, read_run_toml, to_run_toml
from core.text.sources import run_stem

TEXT_NAME = "corpus.txt"
FACT = "quantization"
"""In the provenance of a quantised run: how it was made, and of which."""
CACHES = ("tokens", "tokenizers", "texts", "baselines")
LEFT_ALONE_S = 86_400
"""What is half done for a day has nobody who goes on with it."""
_CHECKPOINT_NAME = re.compile(r"step-(\d{8,})")


@dataclass(frozen=True, slots=True)
class Run:
    """One training run on disk."""

    path: Path
    config: RunConfig
    provenance: Mapping[str, Any]
    """Versions, corpus sha256, device, dtype, threads, parameters, creation time."""

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def text_path(self) -> Path:
        """Of the text that came with the run; most have none and read it where it was."""
        return self.path / TEXT_NAME

    @property
    def tokenizer_path(self) -> Path:
        """Of the run's own tokenizer.json."""
        return self.path / "tokenizer.json"

    def checkpoint_path(self, step: int) -> Path:
        """Where the checkpoint of that step is, or would be."""
        return checkpoint_folder(self.path, step)

    def checkpoint_steps(self) -> list[int]:
        """Steps that have a whole checkpoint, ascending."""
        folder = self.path / "checkpoints"
        names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
        return sorted(int(m[1]) for m in map(_CHECKPOINT_NAME.fullmatch, names) if m)

    def checkpoint_state(self, step: int) -> dict[str, Any]:
        """What a checkpoint says of itself: step, times, validation.

        Raises:
            CheckpointError: it is missing or damaged.
        """
        try:
            return read_state(self.checkpoint_path(step), step)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"The checkpoint at step {step} of {self.name} is damaged: {error}.",
                hint=f"Use another one: {self.name}@STEP.",
            ) from error

    def best_step(self) -> int | None:
        """Step of the checkpoint with the lowest validation loss."""
        losses = {step: loss for step, loss, _ in self._validated()}
        return min(losses, key=losses.__getitem__) if losses else None

    def best_validation(self) -> tuple[float, float] | None:
        """`(loss, bits_per_byte)` of the best checkpoint."""
        return min(((loss, bits) for _, loss, bits in self._validated()), default=None)

    def _validated(self) -> Iterator[tuple[int, float, float]]:
        for step in self.checkpoint_steps():
            try:
                validation = self.checkpoint_state(step)["validation"]
            except (CheckpointError, KeyError):
                continue
            if validation:
                yield step, float(validation["loss"]), float(validation["bits_per_byte"])

    def lock(self) -> AbstractContextManager[None]:
        """Hold the run; a second trainer on it gets a RunError."""
        return locked(self.path / "lock", f"The run {self.name}")

    def save_report(self, kind: str, report: Mapping[str, Any]) -> Path:
        """Keep an evaluation or benchmark as JSON under `kind`; returns its path.

        Raises:
            StoreError: the run is gone, or its folder cannot be written.
            OSError: the file cannot be.
        """
        if not self.path.is_dir():  # do not make a folder that somebody has removed
            raise StoreError(f"The run {self.name} is not there any more.")
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        path = self.path / kind / f"{stamp}-{time.monotonic_ns():020d}.json"
        whole = finite({"format": FORMAT} | dict(report))
        text = json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False)
        write_atomically(path, text.encode("utf-8", "replace"))
        return path

    def reports(self, kind: str) -> list[dict[str, Any]]:
        """What `save_report` kept, oldest first; damaged files are left out."""
        found = []
        for path in sorted((self.path / kind).glob("*.json")):
            try:
                found.append(json.loads(path.read_bytes()))
            except (OSError, ValueError):
                continue
        return found


def checkpoint_folder(run_folder: Path, step: int) -> Path:
    """Where in a run's folder the checkpoint of that step is, or would be."""
    return run_folder / "checkpoints" / f"step-{step:08d}"


def read_state(checkpoint: Path, step: int) -> dict[str, Any]:
    """What the checkpoint in that folder says of itself.

    Raises:
        OSError, ValueError, KeyError, TypeError: it is missing or damaged.
    """
    state: dict[str, Any] = json.loads((checkpoint / "state.json").read_bytes())
    if state["format"] != FORMAT or state["step"] != step:
        raise ValueError("wrong format or step")
    return state


def create_run(
    name: str | None,
    config: RunConfig,
    provenance: Mapping[str, Any],
    tokenizer_json: str,
    fill: Callable[[Path], object] | None = None,
    *,
    stem: str = "",
) -> Run:
    """Make the folder. Without a name it is called after its corpus and counted. What killed
    processes left half done, here and in the cache, goes first.

    Args:
        fill: writes more into the folder, which nobody sees before it returns; what it raises
            leaves nothing behind.
        stem: what a run without a name is called instead, counted if that is taken.

    Raises:
        RunError: the name is taken or not a name, or a setting is no text that can be kept.
    """
    created = datetime.now(UTC).isoformat(timespec="seconds")
    text = to_run_toml(config, {"created": created, **provenance})
    check_readable(text)
    for shared in (paths.runs_dir(), *map(paths.cache_dir().joinpath, CACHES)):
        sweep(shared, untouched_s=LEFT_ALONE_S)
    free = free_names(stem or run_stem(config.text.corpus), plain=stem)
    for candidate in [name] if name else free:
        if name:
            check_new_name(candidate)
        path = paths.runs_dir() / candidate
        try:
            with new_folder(path) as folder:
                write_synced(folder / "run.toml", text)
                write_synced(folder / "tokenizer.json", tokenizer_json.encode())
                if fill is not None:
                    fill(folder)
        except OSError:
            if path.exists():  # somebody was faster
                continue
            raise
        return open_run(path)
    raise taken(str(name))


def change_budget(run: Run, budget: Mapping[str, Any]) -> Run:
    """The run with another budget, on disk too: the one thing about it that may change.

    Raises:
        ConfigError: the budget is no limit at all.
    """
    config = run.config.with_changes(**(BUDGETS | dict(budget)))
    if config.train.is_untrained:
        raise ConfigError(
            f"{run.name} cannot go on: its new budget is steps=0, seconds=0, epochs=0 and"
            " tokens=0.",
            hint="Give steps, seconds, epochs or tokens; the nearest ends the run.",
        )
    config = replace(config, train=replace(config.train, steps=config.train.planned_steps))
    write_atomically(run.path / "run.toml", to_run_toml(config, run.provenance))
    return replace(run, config=config)


def open_run(path: Path) -> Run:
    """Read a run folder.

    Raises:
        RunError: it is not one, or its run.toml is damaged.
    """
    try:
        config, provenance = read_run_toml((path / "run.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, ConfigError) as error:
        raise RunError(
            f"The run {path.name!r} cannot be read: {error}.",
            hint="Restore its run.toml, or delete the folder.",
        ) from error
    return Run(path, config, provenance)


def delete_run(run: Run) -> None:
    """Remove the folder.

    Raises:
        RunError: a trainer works on it.
    """
    with run.lock():
        if sys.platform != "win32":  # where a folder with an open file cannot be moved
            remove_folder(run.path)
            return
    remove_folder(run.path)
