"""What a person can ask of a whole training run: budgets, and saving on the way."""

from __future__ import annotations

import math
from typing import Any

import pytest

from core import recipes
from core.config import RunConfig
from core.events import CheckpointSaved, Controlled, RunFinished, SetupProgressed, StepCompleted
from core.store.find import find_run
from core.store.metrics import read_metrics
from core.store.run import Run
from core.testing import tiny_run_config


@pytest.fixture
def config(text_file: str) -> RunConfig:
    return tiny_run_config(text_file)


def drive(session: recipes.Session) -> list[Any]:
    return list(session.run())


def train(config: RunConfig, name: str = "tiny", **changes: Any) -> Run:
    drive(recipes.training(config.with_changes(**changes), name=name))
    return find_run(name).run


def kinds(events: list[Any]) -> list[tuple[type, int]]:
    return [(type(e), e.step) for e in events]


def test_saving_keeps_the_step_at_hand_and_training_goes_on(config: RunConfig) -> None:
    session = recipes.training(config.with_changes(checkpoint_interval=0), name="tiny")
    events = []
    for event in session.run():
        events.append(event)
        if isinstance(event, StepCompleted) and event.step == 1:
            assert session.save()
    found = [e for e in events if isinstance(e, StepCompleted | CheckpointSaved)]
    expected = [(StepCompleted, 1), (CheckpointSaved, 1), (StepCompleted, 2)]
    assert kinds(found[1:4]) == expected
    told = [e for e in read_metrics(find_run("tiny").run.path) if e["event"] == "CheckpointSaved"]
    assert [e["step"] for e in told][:2] == [0, 1]


def test_a_run_that_nobody_pulls_saves_as_soon_as_somebody_does(config: RunConfig) -> None:
    session = recipes.training(config.with_changes(checkpoint_interval=0), name="tiny")
    events = session.run()
    while not isinstance(next(events), StepCompleted):
        pass
    session.save()
    assert isinstance(next(events), Controlled)
    saved = next(events)
    assert isinstance(saved, CheckpointSaved)
    assert find_run("tiny").run.checkpoint_steps() == [0, 1]
    events.close()


def test_a_wish_to_save_during_the_set_up_is_granted_with_the_first_checkpoint(
    config: RunConfig,
) -> None:
    session = recipes.training(config.with_changes(checkpoint_interval=0), name="tiny")
    events = []
    for event in session.run():
        events.append(event)
        if isinstance(event, SetupProgressed):
            session.save()
    saved = [e.step for e in events if isinstance(e, CheckpointSaved)]
    assert saved[0] == 0
    assert find_run("tiny").run.checkpoint_steps()[-1] == 4


def test_other_jobs_have_nothing_to_save() -> None:
    assert not recipes.evaluation("none").save()
    assert not recipes.generation("none").save()
    assert not recipes.benchmarking("none").save()


def test_a_budget_in_tokens_becomes_steps_when_the_run_is_made(config: RunConfig) -> None:
    run = train(config, tokens=97, grad_accum=1)
    started = read_metrics(run.path)[0]
    assert started["steps"] == run.config.train.steps == math.ceil(97 / (2 * 16)) == 4
    both = train(config, "both", tokens=97, steps=2, grad_accum=1)
    assert both.config.train.steps == 2


def test_accumulated_batches_count_in_budgets(config: RunConfig) -> None:
    run = train(config, tokens=192, grad_accum=3)
    assert run.config.train.steps == 2
    assert run.checkpoint_state(2)["tokens"] == 192
    epochs = train(config, "epochs", epochs=1.5, grad_accum=3, eval_interval=0, sample_interval=0)
    train_tokens = read_metrics(epochs.path)[0]["train_tokens"]
    assert epochs.config.train.steps == math.ceil(1.5 * train_tokens / (2 * 3 * 16))


def test_accumulation_learns_what_the_big_batch_does(config: RunConfig) -> None:
    big = train(config, "big", batch_size=6, schedule="constant")
    small = train(config, "small", batch_size=2, grad_accum=3, schedule="constant")

    def losses(run: Run) -> list[float]:
        return [e["loss"] for e in read_metrics(run.path) if e["event"] == "StepCompleted"]

    assert losses(small) == pytest.approx(losses(big), abs=1e-5)


def test_a_finished_run_goes_on_to_a_budget_in_tokens(config: RunConfig) -> None:
    train(config)
    finished = drive(recipes.resuming("tiny", tokens=6 * 32))[-1]
    assert isinstance(finished, RunFinished)
    assert (finished.result.steps, finished.result.tokens) == (6, 192)
    changed = find_run("tiny").run.config.train
    assert (changed.steps, changed.tokens, changed.seconds, changed.epochs) == (6, 192, 0, 0)
