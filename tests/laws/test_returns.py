"""A run that diverges and returns to a checkpoint: what it does, and that it does it again."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from core import paths, recipes
from core.config import RunConfig
from core.events import (
    CheckpointSaved,
    Diverged,
    ReturnedToCheckpoint,
    RunFinished,
    StepCompleted,
)
from core.store.find import find_run
from core.store.run import Run
from core.training import session as session_module
from core.training import trainer as trainer_module
from core.training.schedule import learning_rate

STEPS, BAD_STEP, BACK = 12, 7, 4


@pytest.fixture
def config(config: RunConfig) -> RunConfig:
    """Checkpoints at 0, 3, 4 (the best validation), 6, 8, 9, 12; of those two and the best stay."""
    return config.with_changes(on_divergence="return")


def trace(model: nn.Module) -> float:
    return math.fsum(p.detach().double().abs().sum().item() for p in model.parameters())


def spoil(
    monkeypatch: pytest.MonkeyPatch, is_bad: Callable[[nn.Module, int], bool], value: float
) -> None:
    """Let the loss be `value` where a model and a step are bad: a function of both, like all."""
    take = trainer_module.compute_gradients

    def compute(model: nn.Module, *rest: Any) -> tuple[float, float]:
        loss, norm = take(model, *rest)
        return (value if is_bad(model, rest[-1]) else loss), norm

    monkeypatch.setattr(trainer_module, "compute_gradients", compute)


@pytest.fixture
def doomed(config: RunConfig, monkeypatch: pytest.MonkeyPatch, equality: Any) -> RunConfig:
    """Ends in NaN at step 7, with the weights that the plain schedule leads to and no others."""
    seen: dict[int, float] = {}
    with monkeypatch.context() as patch:
        spoil(patch, lambda model, step: bool(seen.update({step: trace(model)})), math.nan)
        equality.train(config, "plain")
    spoil(monkeypatch, lambda model, step: step == 7 and trace(model) == seen[7], math.nan)
    return config


def events_of(session: recipes.Session) -> list[Any]:
    return list(session.run())


def test_it_goes_on_from_a_checkpoint_with_a_lower_rate(doomed: RunConfig, equality: Any) -> None:
    events = events_of(recipes.training(doomed, name="whole"))
    (back,) = (e for e in events if isinstance(e, ReturnedToCheckpoint))
    assert back == ReturnedToCheckpoint(
        step=BAD_STEP, what="the loss is nan", to_step=BACK, lr_factor=0.5, returns=1
    )
    taken = [e.step for e in events if isinstance(e, StepCompleted)]
    assert taken == [*range(1, BAD_STEP), *range(BACK + 1, STEPS + 1)]
    assert isinstance(events[-1], RunFinished)
    assert events[-1].reason == "budget"

    run = find_run("whole").run
    told = equality.told(run)
    assert [e["step"] for e in told] == list(range(1, STEPS + 1))
    assert [e["tokens"] for e in told] == [32 * n for n in range(1, STEPS + 1)]
    for event in told:
        planned = learning_rate(doomed.train, event["step"], (event["step"] - 1) / STEPS)
        assert event["lr"] == planned * (0.5 if event["step"] > BACK else 1.0)
    assert equality.told(run, "ReturnedToCheckpoint")[0]["to_step"] == BACK
    state = run.checkpoint_state(STEPS)
    assert (state["returns"], state["lr_factor"]) == (1, 0.5)


def test_what_is_undone_was_as_in_a_run_that_does_not_return(
    doomed: RunConfig, equality: Any
) -> None:
    """Up to the checkpoint both are the same, and the first one ends."""
    *_, last = recipes.training(doomed.with_changes(on_divergence="stop"), name="ends").run()
    assert last == Diverged(step=BAD_STEP, what="the loss is nan", checkpoint_step=6)
    returned = equality.train(doomed)
    ended = find_run("ends").run
    assert equality.told(returned)[:BACK] == equality.told(ended)[:BACK]
    assert equality.told(returned)[BACK]["loss"] == equality.told(ended)[BACK]["loss"]
    assert equality.told(returned)[BACK + 1]["loss"] != equality.told(ended)[BACK + 1]["loss"]


def snapshots(config: RunConfig, folder: Path) -> list[Path]:
    """The run's folder as it is at each event: what a kill would leave there."""
    found = []
    for event in recipes.training(config, name="whole").run():
        if isinstance(event, RunFinished):
            break
        if (paths.runs_dir() / "whole").exists():
            found.append(folder / f"{len(found):03}-{type(event).__name__}")
            shutil.copytree(paths.runs_dir() / "whole", found[-1])
    return found


def resumed(folder: Path, equality: Any) -> Run:
    home = paths.runs_dir() / "killed"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(folder, home)
    equality.finish(recipes.resuming("killed"))
    return find_run("killed").run


@pytest.mark.slow
def test_killed_at_any_event_and_resumed_it_ends_the_same(
    doomed: RunConfig, tmp_path: Path, equality: Any
) -> None:
    kept = snapshots(doomed, tmp_path / "kept")
    whole = find_run("whole").run
    assert sum("Returned" in path.name for path in kept) == 1
    for path in kept:
        killed = resumed(path, equality)
        assert equality.tensors(killed) == equality.tensors(whole), path.name
        for one, other in zip(equality.story(killed), equality.story(whole), strict=True):
            assert one == other, path.name


class KilledError(Exception):
    """In the place of SIGKILL."""


@pytest.mark.parametrize("moment", ["load_weights", "save_checkpoint", "drop_checkpoints_after"])
def test_killed_while_it_returns_it_ends_the_same(
    doomed: RunConfig, moment: str, monkeypatch: pytest.MonkeyPatch, equality: Any
) -> None:
    whole = equality.train(doomed)
    real, is_back = getattr(session_module, moment), [False]

    def die(*args: Any, **more: Any) -> Any:
        if is_back[0] or moment == "drop_checkpoints_after":
            raise KilledError
        return real(*args, **more)

    def watch(self: Any, progress: Any, went: Any = trainer_module.Trainer.go_back) -> None:
        is_back[0] = True
        went(self, progress)

    with monkeypatch.context() as patch:
        is_back[0] = moment == "load_weights"
        patch.setattr(trainer_module.Trainer, "go_back", watch)
        patch.setattr(session_module, moment, die)
        with pytest.raises(KilledError):
            events_of(recipes.training(doomed, name="killed"))
    killed = find_run("killed").run
    equality.finish(recipes.resuming("killed"))
    assert equality.tensors(killed) == equality.tensors(whole)
    assert equality.story(killed) == equality.story(whole)


def test_after_three_returns_it_ends_as_it_would_have(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch, equality: Any
) -> None:
    spoil(monkeypatch, lambda _, step: step == BAD_STEP, math.inf)
    events = events_of(recipes.training(config.with_changes(return_lr=0.1), name="whole"))
    returns = [e for e in events if isinstance(e, ReturnedToCheckpoint)]
    assert [e.lr_factor for e in returns] == pytest.approx([0.1, 0.01, 0.001])
    assert [e.returns for e in returns] == [1, 2, 3]
    assert {e.what for e in returns} == {"the loss is inf"}
    assert events[-1] == Diverged(step=BAD_STEP, what="the loss is inf", checkpoint_step=6)
    assert len(equality.told(find_run("whole").run, "ReturnedToCheckpoint")) == 3


def test_a_first_step_that_fails_cannot_be_mended_by_its_rate(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, lambda _, step: step == 1, math.nan)
    events = events_of(recipes.training(config, name="whole"))
    assert events[-1] == Diverged(step=1, what="the loss is nan", checkpoint_step=0)
    assert not any(isinstance(e, ReturnedToCheckpoint) for e in events)


def test_a_rate_that_is_far_too_high_is_lowered(config: RunConfig) -> None:
    """No trick: weights of 1e38 overflow."""
    config = config.with_changes(lr=1e38, warmup_steps=0, return_lr=1e-40)
    events = events_of(recipes.training(config, name="whole"))
    (back,) = (e for e in events if isinstance(e, ReturnedToCheckpoint))
    assert (back.step, back.to_step) == (2, 0)
    assert isinstance(events[-1], RunFinished)


def test_a_validation_that_is_not_finite_leads_back_too(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    validate, count = trainer_module.Trainer._validate, [0]

    def spoilt(self: Any) -> Any:
        count[0] += 1
        found = validate(self)
        return session_module.replace(found, loss=math.nan) if count[0] == 2 else found

    monkeypatch.setattr(trainer_module.Trainer, "_validate", spoilt)
    events = events_of(recipes.training(config, name="whole"))
    (back,) = (e for e in events if isinstance(e, ReturnedToCheckpoint))
    assert (back.step, back.what) == (8, "the validation loss is nan")
    assert back.to_step == 6
    assert isinstance(events[-1], RunFinished)


def test_a_stop_after_a_return_leaves_the_checkpoint(doomed: RunConfig) -> None:
    session = recipes.training(doomed, name="whole")
    events = []
    for event in session.run():
        events.append(event)
        if isinstance(event, ReturnedToCheckpoint):
            # Killed here, the run needs not diverge again to know what happened.
            state = find_run("whole").run.checkpoint_state(BACK)
            assert (state["returns"], state["lr_factor"]) == (1, 0.5)
            session.stop()
    assert isinstance(events[-1], RunFinished)
    assert (events[-1].reason, events[-1].result.steps) == ("stopped", BACK)
    assert find_run("whole").run.checkpoint_steps()[-1] == BACK
    assert not any(isinstance(e, CheckpointSaved) for e in events[-2:])
