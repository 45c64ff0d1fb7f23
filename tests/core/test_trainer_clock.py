"""The clock of the training loop, and budgets of time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from core.events import CheckpointDue, Evaluation, ValidationCompleted
from core.testing import tiny_model
from core.training.clock import ACTIVITIES, Clock
from core.training.schedule import learning_rate
from core.training.trainer import Probes, Trainer, Written
from tests.core.small_trainers import EVALUATION, make_trainer, steps


class FakeTime:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


def test_activities_sum_to_the_wall_time() -> None:
    time = FakeTime()
    clock = Clock(now=time)
    time.pass_(1)
    with clock.during("train"):
        time.pass_(2)
        with clock.during("eval"):
            time.pass_(4)
        with clock.during("idle"):
            time.pass_(8)
        time.pass_(16)
    time.pass_(32)
    expected = {"setup": 33, "train": 18, "eval": 4, "idle": 8, "sample": 0, "save": 0}
    assert clock.spent() == expected
    assert set(expected) == set(ACTIVITIES)
    assert sum(clock.spent().values()) == time.now


def test_a_clock_goes_on_from_another() -> None:
    time = FakeTime()
    clock = Clock({"train": 10.0}, now=time)
    time.pass_(1)
    assert clock.seconds("train") == 10
    assert clock.seconds("setup") == 1


def test_an_activity_that_fails_is_counted_too() -> None:
    time = FakeTime()
    clock = Clock(now=time)

    @clock.during("eval")
    def fail() -> None:
        time.pass_(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    time.pass_(1)
    assert (clock.seconds("eval"), clock.seconds("setup")) == (3, 1)


class SlowModel(nn.Module):
    """Takes ten seconds a step."""

    def __init__(self, time: FakeTime) -> None:
        super().__init__()
        self.model, self._time = tiny_model(), time

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        self._time.pass_(10)
        return self.model(ids)


def slow_trainer(time: FakeTime, **changes: Any) -> Trainer:
    def evaluate(_: nn.Module) -> Evaluation:
        time.pass_(100)
        return EVALUATION

    def sample(_: nn.Module) -> Written:
        time.pass_(1000)
        return Written("p", "t")

    slow = Probes(evaluate=evaluate, sample=sample)
    return make_trainer(SlowModel(time), clock=Clock(now=time), probes=slow, **changes)


def test_training_time_is_training_alone() -> None:
    """Evaluation takes 100 s, sampling 1,000, whoever pulls 10,000 for saving."""
    time = FakeTime()
    trainer = slow_trainer(time)
    events = []
    for event in trainer.run():
        events.append(event)
        if isinstance(event, CheckpointDue):
            time.pass_(10_000)
    spent = trainer.clock.spent()
    assert spent["train"] == 80
    assert spent["eval"] == 300
    assert spent["sample"] == 2000
    assert spent["save"] == 40_000
    assert sum(spent.values()) == time.now
    assert [e.train_s for e in steps(events)] == [10.0 * n for n in range(1, 9)]
    assert {e.tokens_per_s for e in steps(events)} == {3.2}
    validations = [e for e in events if isinstance(e, ValidationCompleted)]
    assert {e.eval_s for e in validations} == {100}
    assert [e.train_s for e in validations] == [30, 60, 80]


def test_a_budget_in_seconds_ends_by_training_time() -> None:
    trainer = slow_trainer(FakeTime(), steps=0, seconds=45.0, warmup_steps=0)
    events = list(trainer.run())
    assert trainer.progress.step == 5
    assert isinstance(events[-1], CheckpointDue)
    assert [type(e).__name__ for e in events[-4:]] == [
        "StepCompleted",
        "ValidationCompleted",
        "SampleCompleted",
        "CheckpointDue",
    ]
    assert [e.lr for e in steps(events)] == [
        learning_rate(trainer._config, n + 1, 10 * n / 45) for n in range(5)
    ]


def test_the_nearer_of_two_budgets_ends_the_run() -> None:
    assert len(steps(list(slow_trainer(FakeTime(), steps=3, seconds=45.0).run()))) == 3
    assert len(steps(list(slow_trainer(FakeTime(), steps=30, seconds=45.0).run()))) == 5
