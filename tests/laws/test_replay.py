"""A run by the clock can be taken again: resumed after a kill, and replayed from its seed."""

from __future__ import annotations

import itertools
import math
import random
import shutil
from collections.abc import Mapping
from typing import Any

import pytest

from core import api, launch, paths, recipes
from core.config import RunConfig
from core.errors import RunError
from core.events import RunFinished, StepCompleted
from core.store.find import find_run
from core.store.metrics import read_metrics
from core.store.rates import given_rates, rates_to_repeat
from core.store.run import Run
from core.testing import tiny_run_config
from core.training import trainer as trainer_module
from core.training.clock import Clock
from core.training.schedule import learning_rate

KILLED_AT, CHECKPOINT = 17, 10


@pytest.fixture(autouse=True)
def irregular_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run has a clock of its own, and no two go alike."""
    seeds = itertools.count()

    def clock(spent: Mapping[str, float] | None = None) -> Clock:
        dice, seconds = random.Random(next(seeds)), [0.0]

        def now() -> float:
            seconds[0] += dice.uniform(0, 0.2)
            return seconds[0]

        return Clock(spent, now=now)

    monkeypatch.setattr(launch, "Clock", clock)


@pytest.fixture
def config(text_file: str) -> RunConfig:
    """By the clock alone: about thirty steps, and no two runs of the same rates."""
    return tiny_run_config(
        text_file,
        dropout=0.2,
        seconds=20.0,
        checkpoint_interval=CHECKPOINT,
        eval_interval=0,
        sample_interval=0,
        lr=1e-2,
        warmup_steps=3,
    )


def kill(session: recipes.Session, name: str, at_step: int) -> list[StepCompleted]:
    """Take the run's folder away after a step, as a kill would have left it; its steps."""
    events, steps = session.run(), []
    for event in events:
        if isinstance(event, StepCompleted):
            steps.append(event)
            if event.step == at_step:
                shutil.copytree(paths.runs_dir() / name, paths.runs_dir() / "copy")
                break
    events.close()
    shutil.rmtree(paths.runs_dir() / name)
    (paths.runs_dir() / "copy").rename(paths.runs_dir() / name)
    assert steps[-1].step == at_step
    return steps


def figures(event: Any) -> tuple[Any, ...]:
    if isinstance(event, dict):
        return tuple(event[name] for name in ("step", "loss", "lr", "grad_norm", "tokens"))
    return (event.step, event.loss, event.lr, event.grad_norm, event.tokens)


def told(run: Run) -> list[tuple[Any, ...]]:
    return [figures(e) for e in read_metrics(run.path) if e["event"] == "StepCompleted"]


def test_a_killed_run_repeats_its_recorded_steps_and_then_follows_the_clock(
    config: RunConfig, equality: Any
) -> None:
    steps = kill(recipes.training(config, name="run"), "run", KILLED_AT)
    run = find_run("run").run
    assert run.checkpoint_steps()[-1] == CHECKPOINT
    result = equality.finish(recipes.resuming("run"))
    assert told(run)[:KILLED_AT] == [figures(e) for e in steps]
    assert result.steps > KILLED_AT
    assert result.train_s == pytest.approx(20, abs=2)
    assert [step for step, *_ in told(run)] == list(range(1, result.steps + 1))


def test_killed_once_more_while_it_repeats_it_still_knows_the_rest(
    config: RunConfig, equality: Any
) -> None:
    steps = kill(recipes.training(config, name="run"), "run", KILLED_AT)
    again = kill(recipes.resuming("run"), "run", 13)
    assert [figures(e) for e in again] == [figures(e) for e in steps[CHECKPOINT:13]]
    equality.finish(recipes.resuming("run"))
    assert told(find_run("run").run)[:KILLED_AT] == [figures(e) for e in steps]


def test_steps_that_are_recorded_are_taken_although_the_time_is_over(config: RunConfig) -> None:
    """The clock of a checkpoint may be nearly at its end."""
    kill(recipes.training(config.with_changes(seconds=1e9), name="run"), "run", KILLED_AT)
    run = find_run("run").run
    toml = (run.path / "run.toml").read_text().replace("seconds = 1000000000.0", "seconds = 1e-6")
    (run.path / "run.toml").write_text(toml)
    steps = [e.step for e in recipes.resuming("run").run() if isinstance(e, StepCompleted)]
    assert steps == list(range(CHECKPOINT + 1, KILLED_AT + 1))


def test_a_new_budget_has_a_new_schedule(config: RunConfig, equality: Any) -> None:
    kill(recipes.training(config, name="run"), "run", KILLED_AT)
    changed = kill(recipes.resuming("run", seconds=1e9), "run", 15)
    assert all(e.lr == pytest.approx(1e-2, rel=1e-3) for e in changed)
    assert max(rates_to_repeat(find_run("run").run.path)) == 15


def test_a_run_by_the_clock_is_replayed_bit_for_bit(config: RunConfig, equality: Any) -> None:
    run = equality.train(config, "run")
    result = equality.finish(recipes.replaying("run", name="again"))
    again = find_run("again").run
    assert result.steps == len(told(run)) > 10
    assert told(again) == told(run)
    assert equality.tensors(again) == equality.tensors(run)
    assert again.provenance["replay_of"] == "run"
    assert (again.config.train.steps, again.config.train.seconds) == (result.steps, 0)


def test_a_run_that_was_killed_and_resumed_is_replayed_too(
    config: RunConfig, equality: Any
) -> None:
    kill(recipes.training(config, name="run"), "run", KILLED_AT)
    equality.finish(recipes.resuming("run"))
    api.replay("run", name="again")
    run, again = find_run("run").run, find_run("again").run
    assert told(again) == told(run)
    assert equality.tensors(again) == equality.tensors(run)


def test_a_replay_that_was_killed_goes_on_with_its_rates(config: RunConfig, equality: Any) -> None:
    run = equality.train(config, "run")
    kill(recipes.replaying("run", name="again"), "again", KILLED_AT)
    equality.finish(recipes.resuming("again"))
    assert equality.tensors(find_run("again").run) == equality.tensors(run)


def planned(name: str, steps: list[StepCompleted], factor: float = 1.0) -> list[float]:
    """What the schedule says of these steps, for the run as it is on disk."""
    train = find_run(name).run.config.train
    return [factor * learning_rate(train, e.step, (e.step - 1) / train.steps) for e in steps]


def test_a_replay_with_a_new_budget_keeps_its_new_schedule(
    config: RunConfig, equality: Any
) -> None:
    equality.train(config, "run")
    kill(recipes.replaying("run", name="again"), "again", KILLED_AT)
    changed = kill(recipes.resuming("again", steps=60), "again", 15)
    assert [e.lr for e in changed] == planned("again", changed)
    again = kill(recipes.resuming("again"), "again", KILLED_AT)
    assert [e.lr for e in again] == planned("again", again)


def test_a_replay_that_returned_keeps_its_lower_rates(
    config: RunConfig, equality: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    equality.train(config.with_changes(on_divergence="return"), "run")
    take, is_bad = trainer_module.compute_gradients, iter([True])

    def compute(*given: Any) -> tuple[float, float]:
        loss, norm = take(*given)
        return (math.nan if given[-1] == KILLED_AT and next(is_bad, False) else loss), norm

    monkeypatch.setattr(trainer_module, "compute_gradients", compute)
    kill(recipes.replaying("run", name="again"), "again", KILLED_AT)
    assert find_run("again").run.checkpoint_state(CHECKPOINT)["returns"] == 1
    again = kill(recipes.resuming("again"), "again", 15)
    assert [e.lr for e in again] == planned("again", again, factor=0.5)


def test_a_replay_without_a_name_is_called_after_its_text(config: RunConfig) -> None:
    api.train(config.with_changes(steps=2), name="run")
    assert api.replay("run").run == "river-1"


def test_a_replay_keeps_what_it_was_given(config: RunConfig) -> None:
    api.train(config.with_changes(steps=2), name="run")
    api.replay("run", name="again")
    run, again = find_run("run").run, find_run("again").run
    assert given_rates(run) == {}
    assert given_rates(again) == {step: rate for step, _, rate, *_ in told(run)}


def refused(session: recipes.Session) -> tuple[str, str]:
    with pytest.raises(RunError) as caught:
        list(session.run())
    return str(caught.value), caught.value.hint


def test_what_cannot_be_replayed_is_refused(config: RunConfig) -> None:
    api.train(config.with_changes(steps=3), name="run")
    run = find_run("run").run
    assert refused(recipes.replaying("run@2", name="x")) == (
        "A run is replayed from its seed, not from 'run@2'.",
        "Leave out @2.",
    )
    assert refused(recipes.replaying("run", name="run"))[0] == "A run named 'run' exists already."
    metrics = run.path / "metrics.jsonl"
    lines = metrics.read_text().splitlines(keepends=True)
    metrics.write_text("".join(line for line in lines if '"step": 2, "loss"' not in line))
    assert refused(recipes.replaying("run", name="x")) == (
        "The metrics of run lack step 2, so it cannot be replayed.",
        "Restore its metrics.jsonl.",
    )
    metrics.unlink()
    assert refused(recipes.replaying("run", name="x")) == (
        "The run run has taken no step that could be replayed.",
        "Train it first: minitf train --resume run",
    )
    assert not (paths.runs_dir() / "x").exists()


@pytest.mark.parametrize("content", ["{", '{"format": 2, "rates": []}', '{"format": 1}', "[1]"])
def test_rates_that_are_damaged_are_refused(config: RunConfig, content: str) -> None:
    api.train(config.with_changes(steps=2), name="run")
    api.replay("run", name="again")
    (find_run("again").run.path / "rates.json").write_text(content)
    message, hint = refused(recipes.resuming("again"))
    assert message.startswith("The rates of the replay again cannot be read: ")
    assert hint == "Restore its rates.json, or replay again."


def test_a_replay_can_be_stopped_before_it_begins(config: RunConfig) -> None:
    api.train(config.with_changes(steps=2), name="run")
    session = recipes.replaying("run", name="again")
    session.stop()
    assert not any(isinstance(e, RunFinished) for e in session.run())
    assert not (paths.runs_dir() / "again").exists()
