"""The ends of the training loop: when it is stopped, asked to save, or diverges."""

from __future__ import annotations

import itertools
import math
from contextlib import closing
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from core.events import CheckpointDue, Controlled, Diverged, StepCompleted, ValidationCompleted
from core.testing import tiny_model
from core.training.wishes import Wishes
from tests.core.small_trainers import make_trainer, probes


def test_stopping_ends_after_the_step_at_hand_with_a_checkpoint() -> None:
    wishes = Wishes()
    trainer = make_trainer(wishes=wishes)
    events = []
    for event in trainer.run():
        events.append(event)
        if isinstance(event, StepCompleted) and event.step == 2:
            wishes.stop()
    assert [type(e) for e in events[-3:]] == [StepCompleted, Controlled, CheckpointDue]
    assert trainer.progress.step == events[-1].step == 2
    assert not trainer.is_finished


def test_a_wish_to_save_is_granted_before_another_step_is_taken() -> None:
    """Whenever it is made: after a step, a validation or a sample, and also twice."""
    unasked = list(make_trainer().run())
    for k in range(len(unasked)):
        wishes = Wishes()
        events = []
        for event in make_trainer(wishes=wishes).run():
            events.append(event)
            if len(events) == k + 1:
                wishes.save()
                wishes.save()
        assert events[: k + 1] == clockless(events[: k + 1], unasked[: k + 1])
        granted = events[k + 1 :]
        if unasked[k].step == 8:  # the end is saved anyway
            continue
        first_step = next(i for i, e in enumerate(granted) if isinstance(e, StepCompleted))
        before = [e for e in granted[:first_step] if isinstance(e, CheckpointDue)]
        assert before
        assert {e.step for e in before} == {unasked[k].step}


def clockless(found: list[Any], expected: list[Any]) -> list[Any]:
    """`expected` with the times that `found` has."""
    timed = ("train_s", "eval_s", "tokens_per_s")
    return [
        replace(e, **{n: getattr(f, n) for n in timed if hasattr(f, n)})
        for f, e in zip(found, expected, strict=True)
    ]


def test_what_was_saved_before_a_validation_learns_of_it() -> None:
    """Else a resumed run would validate once more."""
    wishes = Wishes()
    trainer = make_trainer(
        eval_interval=2,
        checkpoint_interval=0,
        sample_interval=0,
        probes=probes(iter([3.0, 4.0, 5.0, 6.0])),
        wishes=wishes,
    )
    events = []
    for event in trainer.run():
        events.append(event)
        if isinstance(event, StepCompleted) and event.step == 4:
            wishes.save()
    found = [(type(e), e.step) for e in events if e.step == 4]
    kinds = (StepCompleted, Controlled, CheckpointDue, ValidationCompleted, CheckpointDue)
    assert found == [(kind, 4) for kind in kinds]


def test_a_wish_to_save_does_not_offer_broken_weights() -> None:
    model, wishes = tiny_model(), Wishes()
    events = []
    for event in make_trainer(model, wishes=wishes).run():
        events.append(event)
        if isinstance(event, StepCompleted) and event.step == 2:
            poison(model)
            wishes.save()
    what = "embedding.weight holds a number that is not finite"
    assert events[-1] == Diverged(step=2, what=what, checkpoint_step=None)


def test_closing_the_stream_ends_the_run() -> None:
    trainer = make_trainer()
    with closing(trainer.run()) as events:
        list(itertools.islice(events, 4))
    assert trainer.progress.step == 3


def poison(model: nn.Module) -> None:
    with torch.no_grad():
        next(model.parameters()).fill_(math.nan)


def test_a_loss_that_is_nan_ends_the_run_before_the_step() -> None:
    model = tiny_model()
    trainer = make_trainer(model)
    events = []
    for event in trainer.run():
        events.append(event)
        if isinstance(event, StepCompleted) and event.step == 2:
            poison(model)
    assert events[-1] == Diverged(step=3, what="the loss is nan", checkpoint_step=None)
    assert trainer.progress.step == 2
    assert [e.step for e in events if isinstance(e, CheckpointDue)] == [0]


def test_weights_that_are_not_finite_are_not_offered_for_saving() -> None:
    model = tiny_model()
    poison(model)
    (only,) = make_trainer(model).run()
    what = "embedding.weight holds a number that is not finite"
    assert only == Diverged(step=0, what=what, checkpoint_step=None)


def test_a_gradient_that_is_not_finite_ends_the_run() -> None:
    model = tiny_model()
    model.head.weight.register_hook(lambda g: g * math.inf)
    *_, last = make_trainer(model).run()
    assert isinstance(last, Diverged)
    assert last.what in ("the gradient norm is inf", "the gradient norm is nan")


def test_a_validation_that_is_nan_ends_the_run_without_saving() -> None:
    losses = itertools.chain([3.0], itertools.repeat(math.nan))
    events = list(make_trainer(checkpoint_interval=1, probes=probes(losses)).run())
    assert events[-1] == Diverged(step=6, what="the validation loss is nan", checkpoint_step=None)
    assert [e.step for e in events if isinstance(e, CheckpointDue)] == [0, 1, 2, 3, 4, 5]
