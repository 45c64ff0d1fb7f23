"""The training loop: its story, and what it has learned."""

from __future__ import annotations

import numpy as np

from core.config import EvalConfig, TrainConfig
from core.events import CheckpointDue, SampleCompleted, ValidationCompleted
from core.testing import CPU, tiny_model
from core.text.batches import RandomBatches
from core.training.optimizer import make_optimizer
from core.training.progress import Progress
from core.training.schedule import learning_rate
from core.training.trainer import Probes, Trainer
from tests.core.small_trainers import make_trainer, probes, steps


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


def test_recorded_rates_of_undone_steps_are_not_used_again() -> None:
    trainer = make_trainer(rates=dict.fromkeys(range(1, 7), 0.5), warmup_steps=0)
    assert trainer.repeats_to == 6
    trainer.go_back(Progress(step=2, tokens=64, lr_factor=0.5, returns=1))
    assert trainer.repeats_to == 2
    told = steps(list(trainer.run()))
    assert [e.lr for e in told] == [
        0.5 * learning_rate(trainer._config, n, (n - 1) / 8) for n in range(3, 9)
    ]


def test_no_event_holds_a_tensor() -> None:
    for event in make_trainer().run():
        for name in event.__slots__:
            value = getattr(event, name)
            assert value is None or isinstance(value, int | float | str | bool | tuple), name
