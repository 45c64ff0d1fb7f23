"""The training loop: its steps, its story, its clock, its ends."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from core.config import EvalConfig, TrainConfig
from core.events import (
    CheckpointDue,
    Controlled,
    Diverged,
    Evaluation,
    SampleCompleted,
    StepCompleted,
    ValidationCompleted,
)
from core.testing import CPU, tiny_model
from core.text.batches import RandomBatches
from core.training.clock import ACTIVITIES, Clock
from core.training.control import Control
from core.training.optimizer import clip_gradients, make_optimizer
from core.training.progress import Progress
from core.training.schedule import learning_rate
from core.training.step import compute_gradients
from core.training.trainer import Probes, Trainer, Written
from core.training.wishes import Wishes

IDS = np.random.default_rng(0).integers(0, 31, 500)
EVALUATION = Evaluation(
    loss=2.0,
    loss_ci95=(1.9, 2.1),
    perplexity=math.exp(2),
    bits_per_byte=3.0,
    top1=0.1,
    top5=0.2,
    tokens=10,
    bytes=10,
    stride=8,
    context=8,
)


class FakeTime:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


def probes(losses: Iterator[float] | None = None) -> Probes:
    losses = losses or itertools.count(5.0, -0.1)
    return Probes(
        evaluate=lambda _: replace(EVALUATION, loss=next(losses)),
        sample=lambda _: Written("p", "t"),
    )


EXTRAS = ("clock", "control", "probes", "rates", "progress")


def make_trainer(model: nn.Module | None = None, **changes: Any) -> Trainer:
    every = {"eval_interval": 3, "sample_interval": 4}
    every |= {k: changes.pop(k) for k in list(changes) if k in every}
    extras = {k: changes.pop(k) for k in list(changes) if k in EXTRAS}
    wishes, recorded = changes.pop("wishes", None), changes.pop("recorded", ())
    fields = {"context": 8, "batch_size": 4, "steps": 8, "checkpoint_interval": 5, "lr": 1e-2}
    config = TrainConfig(**(fields | changes))
    model = model or tiny_model()
    if wishes or recorded:
        extras["control"] = Control(wishes or Wishes(), config, recorded)
    return Trainer(
        model,
        make_optimizer(model, config),
        RandomBatches(IDS, batch_size=4, context=8, seed=config.seed),
        extras.pop("probes", None) or probes(),
        config,
        EvalConfig(**every),
        device=CPU,
        **extras,
    )


def steps(events: list[Any]) -> list[StepCompleted]:
    return [e for e in events if isinstance(e, StepCompleted)]


@pytest.mark.parametrize("grad_clip", [0.0, 0.05])
@pytest.mark.parametrize("switches", [{}, {"bias": True, "tied_head": True, "norm": "rmsnorm"}])
def test_the_steps_are_those_of_a_hand_written_loop(
    grad_clip: float, switches: dict[str, Any]
) -> None:
    """Against PyTorch's own AdamW, bit for bit."""
    model, twin = tiny_model(**switches), tiny_model(**switches)
    trainer = make_trainer(model, grad_clip=grad_clip, weight_decay=0.3, warmup_steps=3)
    told = steps(list(trainer.run()))

    decayed = [p for p in twin.parameters() if p.dim() >= 2]
    others = [p for p in twin.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.3}, {"params": others, "weight_decay": 0.0}],
        betas=(0.9, 0.95),
        fused=True,
    )
    batches, config = RandomBatches(IDS, batch_size=4, context=8, seed=0), trainer._config
    twin.train()
    for event in told:
        inputs, targets = map(torch.from_numpy, batches.at(event.step))
        loss = F.cross_entropy(twin(inputs).flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        gradients = torch.cat([p.grad.flatten() for p in twin.parameters()])
        assert event.loss == loss.item()
        assert event.grad_norm == pytest.approx(gradients.norm().item(), rel=1e-5)
        if grad_clip:
            assert event.grad_norm > grad_clip
            nn.utils.clip_grad_norm_(twin.parameters(), grad_clip)
        assert event.lr == learning_rate(config, event.step, (event.step - 1) / 8)
        for group in optimizer.param_groups:
            group["lr"] = event.lr
        optimizer.step()
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(one, other)


def test_matrices_decay_and_vectors_do_not() -> None:
    model = tiny_model(bias=True)
    optimizer = make_optimizer(model, TrainConfig(steps=1, weight_decay=0.5))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    optimizer.step(0.1)
    for name, parameter in model.named_parameters():
        share = 0.95 if parameter.dim() >= 2 else 1.0
        torch.testing.assert_close(parameter, before[name] * share)


def test_clipping_scales_all_gradients_together() -> None:
    model = nn.Linear(3, 2)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 2.0)
    assert clip_gradients(model, 0.0).item() == pytest.approx(math.sqrt(32))
    assert model.bias.grad.tolist() == [2.0, 2.0]
    assert clip_gradients(model, 1.0).item() == pytest.approx(math.sqrt(32))
    assert model.bias.grad.tolist() == pytest.approx([2 / math.sqrt(32)] * 2, rel=1e-5)
    assert clip_gradients(model, 5.0).item() == pytest.approx(1.0, rel=1e-5)
    assert model.bias.grad.tolist() == pytest.approx([2 / math.sqrt(32)] * 2, rel=1e-5)


def test_a_parameter_outside_the_loss_is_a_mistake() -> None:
    model = nn.Linear(3, 2)
    with pytest.raises(RuntimeError, match="a parameter has no gradient"):
        make_optimizer(model, TrainConfig(steps=1)).step(0.1)


def test_moments_that_do_not_fit_are_refused() -> None:
    optimizer = make_optimizer(tiny_model(), TrainConfig(steps=1))
    state = optimizer.state()
    with pytest.raises(KeyError):
        optimizer.load_state({})
    state["head.weight.exp_avg"] = torch.zeros(1)
    with pytest.raises(ValueError, match=r"head.weight.exp_avg is \(1,\), not \(31, 32\)"):
        optimizer.load_state(state)


def test_events_come_in_order() -> None:
    events = list(make_trainer().run())
    found = [(type(e).__name__, e.step) for e in events]
    assert found == [
        ("CheckpointDue", 0),
        ("StepCompleted", 1),
        ("StepCompleted", 2),
        ("StepCompleted", 3),
        ("ValidationCompleted", 3),
        ("CheckpointDue", 3),
        ("StepCompleted", 4),
        ("SampleCompleted", 4),
        ("StepCompleted", 5),
        ("CheckpointDue", 5),
        ("StepCompleted", 6),
        ("ValidationCompleted", 6),
        ("CheckpointDue", 6),
        ("StepCompleted", 7),
        ("StepCompleted", 8),
        ("ValidationCompleted", 8),
        ("SampleCompleted", 8),
        ("CheckpointDue", 8),
    ]
    assert [e.tokens for e in steps(events)] == [32 * n for n in range(1, 9)]


def test_only_a_better_validation_is_a_reason_to_save() -> None:
    losses = iter([3.0, 4.0, 2.0, 2.0])
    trainer = make_trainer(
        eval_interval=2, checkpoint_interval=0, sample_interval=0, probes=probes(losses)
    )
    events = list(trainer.run())
    found = [(e.step, e.is_best) for e in events if isinstance(e, ValidationCompleted)]
    assert found == [(2, True), (4, False), (6, True), (8, False)]
    saved = [(e.step, e.val_loss) for e in events if isinstance(e, CheckpointDue)]
    assert saved == [(0, None), (2, 3.0), (6, 2.0), (8, 2.0)]


def test_a_probe_that_was_cut_short_is_not_told() -> None:
    nothing = Probes(evaluate=lambda _: None, sample=lambda _: None)
    events = list(make_trainer(probes=nothing).run())
    assert not any(isinstance(e, ValidationCompleted | SampleCompleted) for e in events)


def test_the_loss_falls_on_a_text_that_can_be_learned_by_heart() -> None:
    model = tiny_model()
    config = TrainConfig(context=8, batch_size=4, steps=60, lr=1e-2)
    trainer = Trainer(
        model,
        make_optimizer(model, config),
        RandomBatches(np.arange(300) % 3, batch_size=4, context=8, seed=0),
        probes(),
        config,
        EvalConfig(eval_interval=0, sample_interval=0),
        device=CPU,
    )
    losses = [e.loss for e in steps(list(trainer.run()))]
    assert losses[-1] < 0.1 < 2 < losses[0]


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


def test_small_batches_of_a_step_are_the_rows_of_the_big_one() -> None:
    small = RandomBatches(IDS, batch_size=3, context=8, seed=5)
    big = RandomBatches(IDS, batch_size=12, context=8, seed=5)
    for step in (1, 2, 10**9):
        for side in (0, 1):
            rows = np.concatenate([small.at(step, micro)[side] for micro in range(4)])
            assert np.array_equal(rows, big.at(step)[side])


@pytest.mark.parametrize("grad_clip", [0.0, 0.05])
def test_accumulated_gradients_are_those_of_the_big_batch(grad_clip: float) -> None:
    found = []
    for batch_size, grad_accum in ((12, 1), (3, 4), (1, 12)):
        model = tiny_model(bias=True, tied_head=True)
        config = TrainConfig(
            steps=1, context=8, batch_size=batch_size, grad_accum=grad_accum, grad_clip=grad_clip
        )
        batches = RandomBatches(IDS, batch_size=batch_size, context=8, seed=0)
        loss, norm = compute_gradients(model, batches, config, CPU, 1)
        found.append((loss, norm, [p.grad for p in model.parameters()]))
    (loss, norm, gradients), *others = found
    for other_loss, other_norm, other_gradients in others:
        assert other_loss == pytest.approx(loss, rel=1e-6)
        assert other_norm == pytest.approx(norm, rel=1e-5)
        for one, other in zip(gradients, other_gradients, strict=True):
            torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-7)


def test_a_step_of_several_batches_counts_all_its_tokens() -> None:
    trainer = make_trainer(grad_accum=3, steps=2)
    assert [e.tokens for e in steps(list(trainer.run()))] == [96, 192]
    assert trainer.progress.tokens == 192


def test_every_batch_of_a_step_has_its_own_dropout() -> None:
    witness = Witness()
    list(make_trainer(witness, grad_accum=3, steps=2).run())
    assert len(set(witness.throws)) == len(witness.throws) == 6


def test_recorded_rates_of_undone_steps_are_not_used_again() -> None:
    trainer = make_trainer(rates=dict.fromkeys(range(1, 7), 0.5), warmup_steps=0)
    assert trainer.repeats_to == 6
    trainer.go_back(Progress(step=2, tokens=64, lr_factor=0.5, returns=1))
    assert trainer.repeats_to == 2
    told = steps(list(trainer.run()))
    assert [e.lr for e in told] == [
        0.5 * learning_rate(trainer._config, n, (n - 1) / 8) for n in range(3, 9)
    ]


def test_closing_the_stream_ends_the_run() -> None:
    trainer = make_trainer()
    with closing(trainer.run()) as events:
        list(itertools.islice(events, 4))
    assert trainer.progress.step == 3


def test_dropout_is_drawn_from_seed_and_step() -> None:
    """Whatever the global generator did before."""
    runs = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        trainer = make_trainer(tiny_model(dropout=0.5))
        found = []
        for event in trainer.run():
            torch.rand(seed)
            found += [event.loss] if isinstance(event, StepCompleted) else []
        runs.append(found)
    assert runs[0] == runs[1]
    assert runs[0] != [e.loss for e in steps(list(make_trainer().run()))]


class Witness(nn.Module):
    """Throws the dice where dropout would, and remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.model, self.throws = tiny_model(), []

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        self.throws.append(torch.rand(1).item())
        return self.model(ids)


def test_every_step_and_every_seed_has_its_own_dropout() -> None:
    throws = []
    for seed in (0, 1):
        witness = Witness()
        list(make_trainer(witness, seed=seed).run())
        throws += witness.throws
    assert len(set(throws)) == len(throws) == 16


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


def test_no_event_holds_a_tensor() -> None:
    for event in make_trainer().run():
        for name in event.__slots__:
            value = getattr(event, name)
            assert value is None or isinstance(value, int | float | str | bool | tuple), name
