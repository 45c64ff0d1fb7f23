"""Runs that are stopped, left or at their budget's end, and how they go on."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from core import paths, recipes
from core.config import RunConfig
from core.errors import CheckpointError, ConfigError, RunError
from core.events import (
    CheckpointSaved,
    Controlled,
    RunFinished,
    RunStarted,
    SetupProgressed,
    StepCompleted,
    ValidationCompleted,
)
from core.store.find import find_run
from core.store.metrics import read_metrics
from core.store.summary import list_runs
from tests.core.driven_runs import config as config
from tests.core.driven_runs import drive, refused, train


def test_stopping_saves_and_says_so(config: RunConfig) -> None:
    session = recipes.training(config, name="tiny")
    events = []
    for event in session.run():
        events.append(event)
        if isinstance(event, StepCompleted):
            session.stop()
    kinds = [StepCompleted, Controlled, CheckpointSaved, RunFinished]
    assert [type(e) for e in events[-4:]] == kinds
    assert (events[-1].reason, events[-1].result.steps) == ("stopped", 1)
    assert events[-1].result.val_loss is None
    run = find_run("tiny").run
    assert run.checkpoint_steps() == [0, 1]
    assert list_runs()[0].state == "stopped"


def test_stopping_cuts_a_validation_short(config: RunConfig) -> None:
    session = recipes.training(config, name="tiny")
    events = []
    for event in session.run():
        events.append(event)
        if isinstance(event, StepCompleted) and event.step == 2:
            session.stop()
    assert not any(isinstance(e, ValidationCompleted) for e in events)


def test_resuming_a_finished_run_says_so(config: RunConfig) -> None:
    run = train(config)
    before = (run.path / "metrics.jsonl").read_bytes()
    *_, last = drive(recipes.resuming("tiny"))
    assert isinstance(last, RunFinished)
    assert last.reason == "finished already"
    assert (last.result.steps, last.result.tokens) == (4, 128)
    assert last.result.val_loss is not None
    assert last.result.train_s > 0
    assert (run.path / "metrics.jsonl").read_bytes() == before


def test_a_larger_budget_wakes_a_finished_run(config: RunConfig) -> None:
    train(config)
    events = drive(recipes.resuming("tiny", steps=6))
    started = next(e for e in events if isinstance(e, RunStarted))
    assert (started.step, started.steps) == (4, 6)
    assert [e.step for e in events if isinstance(e, StepCompleted)] == [5, 6]
    assert events[-1].reason == "budget"
    assert [e["step"] for e in read_metrics(find_run("tiny").run.path)
            if e["event"] == "StepCompleted"] == [1, 2, 3, 4, 5, 6]  # fmt: skip


def test_a_budget_in_seconds_ends_a_run(config: RunConfig) -> None:
    train(config)
    *_, last = drive(recipes.resuming("tiny", seconds=1e-6))
    assert last.reason == "finished already"
    assert find_run("tiny").run.config.train.steps == 0


def test_a_run_goes_on_from_its_newest_checkpoint_alone(config: RunConfig) -> None:
    train(config)
    assert refused(recipes.resuming("tiny@2"), RunError) == (
        "A run goes on from its newest checkpoint, not from 'tiny@2'.",
        "Leave out @2.",
    )


def test_a_run_killed_before_its_first_checkpoint_starts_again(config: RunConfig) -> None:
    events = recipes.training(config, name="tiny").run()
    while not isinstance(next(events), RunStarted):
        pass
    events.close()
    run = find_run("tiny", needs_checkpoint=False).run
    for path in run.checkpoint_path(0).glob("*"):
        path.unlink()
    if run.checkpoint_path(0).exists():
        run.checkpoint_path(0).rmdir()
    *_, last = drive(recipes.resuming("tiny"))
    assert last.result.steps == 4
    steps = [e["step"] for e in read_metrics(run.path) if e["event"] == "StepCompleted"]
    assert steps == [1, 2, 3, 4]


def test_a_second_trainer_on_a_run_is_refused(config: RunConfig) -> None:
    events = recipes.training(config, name="tiny").run()
    while not isinstance(next(events), StepCompleted):
        pass
    expected = (
        "The run tiny is in use by another minitf.",
        "Wait for it to end, or stop it there.",
    )
    assert refused(recipes.resuming("tiny"), RunError) == expected
    assert refused(recipes.resuming("tiny", steps=9), RunError) == expected
    assert find_run("tiny").run.config.train.steps == 4
    assert list_runs()[0].state == "running"
    events.close()
    assert list_runs()[0].state == "stopped"


def test_a_run_resumes_from_another_folder_and_without_its_cache(
    config: RunConfig, text_file: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(Path(text_file).parent)
    run = train(config, corpus=Path(text_file).name)
    assert run.config.text.corpus == text_file
    for path in (paths.cache_dir() / "tokens").iterdir():
        path.unlink()
    monkeypatch.chdir("/")
    *_, last = drive(recipes.resuming("tiny", steps=5))
    assert last.result.steps == 5


def test_a_corpus_that_changed_stops_a_resume(config: RunConfig, text_file: str) -> None:
    train(config)
    Path(text_file).write_text("another text " * 400, encoding="utf-8")
    *_, last = drive(recipes.resuming("tiny", steps=5))
    assert last.result.steps == 5, "the cache still has the old text"
    for path in (paths.cache_dir() / "tokens").iterdir():
        path.unlink()
    message, hint = refused(recipes.resuming("tiny", steps=6), RunError)
    assert message == f"The corpus {text_file!r} has changed since tiny was made."
    assert hint == (
        "Restore the old text, or start a new run. What comes with Python changes with Python."
    )


def test_a_run_closed_with_broken_weights_does_not_save_them(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = recipes.training(config, name="tiny").run()
    for event in events:
        if isinstance(event, StepCompleted):
            break
    monkeypatch.setattr("core.training.session.first_not_finite", lambda _: "head.weight")
    events.close()
    assert find_run("tiny").run.checkpoint_steps() == [0]


def test_a_full_disk_does_not_hide_why_a_run_was_left(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    events = recipes.training(config, name="tiny").run()
    for event in events:
        if isinstance(event, StepCompleted):
            break
    monkeypatch.setattr("core.training.session.save_checkpoint", fail)
    events.close()
    assert find_run("tiny").run.checkpoint_steps() == [0]
    assert list_runs()[0].state == "stopped"


@pytest.mark.slow
def test_epochs_are_counted_in_steps_once_the_text_is_known(config: RunConfig) -> None:
    run = train(config, epochs=1.5)
    started = read_metrics(run.path)[0]
    wanted = math.ceil(1.5 * started["train_tokens"] / (2 * 16))
    assert started["event"] == "RunStarted"
    assert started["steps"] == run.config.train.steps == wanted
    assert run.checkpoint_steps()[-1] == wanted


def test_the_nearest_of_several_budgets_ends_the_run(config: RunConfig) -> None:
    assert train(config, steps=3, epochs=50.0).config.train.steps == 3


def test_a_validation_that_a_stop_prevented_is_made_up_for(config: RunConfig) -> None:
    session = recipes.training(config, name="tiny")
    events = session.run()
    for event in events:
        if isinstance(event, StepCompleted) and event.step == 4:  # the last step of the budget
            session.stop()
    run = find_run("tiny").run
    assert run.checkpoint_state(4)["validation"] is None
    finished = drive(recipes.resuming("tiny"))[-1]
    assert isinstance(finished, RunFinished)
    assert finished.reason == "budget"
    assert finished.result.val_loss is not None
    assert run.checkpoint_state(4)["validation"]["step"] == 4
    assert drive(recipes.resuming("tiny"))[-1].reason == "finished already"


def test_a_state_that_lacks_a_field_is_a_damaged_checkpoint(config: RunConfig) -> None:
    run = train(config)
    path = run.checkpoint_path(4) / "state.json"
    state = json.loads(path.read_bytes())
    del state["spent_s"]
    path.write_text(json.dumps(state), encoding="utf-8")
    message, hint = refused(recipes.resuming("tiny"), CheckpointError)
    assert message == "The checkpoint at step 4 of tiny is damaged: state.json: 'spent_s'."
    assert hint == f"Delete {run.checkpoint_path(4)} to go on from the one before."


@pytest.mark.slow
def test_a_run_of_epochs_cannot_be_resumed_without_an_end(config: RunConfig) -> None:
    train(config, epochs=0.5)
    assert refused(recipes.resuming("tiny", steps=0), ConfigError) == (
        "tiny cannot go on: its new budget is steps=0, seconds=0, epochs=0 and tokens=0.",
        "Give steps, seconds, epochs or tokens; the nearest ends the run.",
    )
    assert find_run("tiny").run.config.train.steps > 0


def test_a_stop_during_the_set_up_leaves_nothing(config: RunConfig) -> None:
    session = recipes.training(config, name="tiny")
    events = session.run()
    next(events)
    session.stop()
    assert all(isinstance(event, SetupProgressed) for event in events)
    assert not (paths.runs_dir() / "tiny").exists()


def test_a_run_in_use_is_not_read_before_it_is_free(config: RunConfig) -> None:
    run = train(config)
    with run.lock():
        message, _ = refused(recipes.resuming("tiny", steps=9), RunError)
    assert message == "The run tiny is in use by another minitf."
    assert find_run("tiny").run.config.train.steps == 4
