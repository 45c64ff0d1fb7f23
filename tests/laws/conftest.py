"""Runs, and what of them must be equal when they are taken again."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

import pytest

from core import paths, recipes
from core.config import RunConfig, read_command
from core.events import RunFinished, StepCompleted, TrainResult
from core.store.metrics import read_metrics
from core.store.run import Run
from core.testing import tiny_run_config


class Equality:
    """Reads from a run what does not depend on time."""

    def finish(self, session: recipes.Session) -> TrainResult:
        """Drive it to its end, which must be a good one."""
        *_, last = session.run()
        assert isinstance(last, RunFinished), last
        return last.result

    def train(self, config: RunConfig, name: str = "whole") -> Run:
        """A whole run."""
        from core.store.find import find_run

        self.finish(recipes.training(config, name=name))
        return find_run(name).run

    def drive(
        self,
        session: recipes.TrainingJob,
        script: Mapping[int, str],
        *,
        killed_at: int = 0,
        name: str = "",
    ) -> list[Any]:
        """Pull a session and ask what the script says, by the step after which it is asked; or
        take the folder away after a step, as a kill would have left it."""
        events, told = session.run(), []
        for event in events:
            told.append(event)
            if isinstance(event, StepCompleted):
                if event.step in script:
                    assert session.control(read_command(script[event.step].split()))
                if event.step == killed_at:
                    shutil.copytree(paths.runs_dir() / name, paths.runs_dir() / "copy")
                    break
        events.close()
        if killed_at:
            shutil.rmtree(paths.runs_dir() / name)
            (paths.runs_dir() / "copy").rename(paths.runs_dir() / name)
        return told

    def tensors(self, run: Run, step: int | None = None) -> dict[str, bytes]:
        """Weights and moments of a checkpoint, the newest by default."""
        folder = run.checkpoint_path(run.checkpoint_steps()[-1] if step is None else step)
        names = ("model.safetensors", "state.safetensors")
        return {name: (folder / name).read_bytes() for name in names}

    def told(self, run: Run, kind: str = "StepCompleted") -> list[dict[str, Any]]:
        """Its events of one kind, times left out."""
        timed = ("train_s", "eval_s", "save_s", "tokens_per_s", "path")
        return [
            {name: value for name, value in event.items() if name not in timed}
            for event in read_metrics(run.path)
            if event["event"] == kind
        ]

    def story(self, run: Run) -> list[list[dict[str, Any]]]:
        """All that was measured, by kind."""
        kinds = ("StepCompleted", "ValidationCompleted", "SampleCompleted", "ReturnedToCheckpoint")
        return [self.told(run, kind) for kind in kinds]


@pytest.fixture
def equality() -> Equality:
    return Equality()


@pytest.fixture
def config(text_file: str) -> RunConfig:
    """Twelve steps in which everything happens that can happen between steps."""
    return tiny_run_config(
        text_file,
        dropout=0.2,
        steps=12,
        checkpoint_interval=3,
        eval_interval=4,
        sample_interval=6,
        lr=1e-2,
        warmup_steps=3,
    )
