"""What looks wrong is said, in words, once; what is right raises nothing."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.config import RunConfig
from core.events import (
    AlertRaised,
    Diverged,
    HealthMeasured,
    StepCompleted,
    TrainEvent,
    ValidationCompleted,
)
from core.presets import preset
from core.training import alerts
from core.training.alarm import Alarm
from core.training.budget import Budget

CURVES = Path(__file__).parents[1] / "data" / "curves.json"
CONFIG = RunConfig().with_changes(steps=2000, lr=0.003, warmup_steps=20)


def step(n: int, loss: float, norm: float = 0.5, steps_s: float = 0.02) -> StepCompleted:
    return StepCompleted(
        step=n,
        loss=loss,
        lr=0.003,
        grad_norm=norm,
        tokens=n,
        tokens_per_s=1.0,
        train_s=n * steps_s,
    )


def validated(n: int, loss: float, half: float = 0.02) -> ValidationCompleted:
    return ValidationCompleted(
        step=n,
        loss=loss,
        loss_ci95=(loss - half, loss + half),
        perplexity=math.exp(loss),
        bits_per_byte=loss,
        train_s=0.02 * n,
        eval_s=0.1,
        is_best=False,
    )


def health(n: int, **changes: Any) -> HealthMeasured:
    values: dict[str, Any] = {
        "step": n,
        "layers": ("embedding", "1", "2", "head"),
        "weight_norms": (5.0, 30.0, 30.0, 6.0),
        "grad_norms": (0.1, 0.2, 0.2, 0.3),
        "update_ratios": (2e-3, 1e-3, 1e-3, 1e-3),
        "dead_shares": (0.0, 0.1),
        "attention_entropies": (0.8, 0.5),
        "logit_low": -5.0,
        "logit_high": 6.0,
        "clip_rate": 0.1,
        "probed_tokens": 256,
        "cost_s": 0.005,
    }
    return HealthMeasured(**values | changes)


def alarm_of(config: RunConfig, floor: float | None = None) -> Alarm:
    return Alarm(config, Budget.of(config.train).share, floor)


def heard(
    events: list[TrainEvent], config: RunConfig = CONFIG, floor: float | None = None
) -> list[AlertRaised]:
    alarm = alarm_of(config, floor)
    return [alert for event in events for alert in alarm.hear(event)]


def learning(n: int, noise: float = 0.1, seed: int = 0) -> list[float]:
    """Losses as they are: a fast fall, a slow one, and noise."""
    dice = np.random.default_rng(seed)
    return [1.5 + 4 * math.exp(-i / 60) - 0.2 * i / n + dice.normal(0, noise) for i in range(n)]


def test_a_loss_that_jumps_and_stays_is_a_spike() -> None:
    losses = learning(600)
    losses[400:440] = [4.0] * 40
    (alert,) = heard([step(i, loss) for i, loss in enumerate(losses, 1)])
    assert (alert.step, alert.kind) == (403, "spike")
    assert alert.sentence == ("The loss rose to 4 by step 403, from a median of 1.39 before.")
    assert alert.hint == (
        "Try a lower lr than 0.003 (it was 0.003 here), a longer warm-up than 20 steps, or"
        " on_spike=return, which goes back by itself."
    )


def test_a_loss_far_above_the_first_one_is_a_spike_already() -> None:
    (alert,) = heard([step(i, v) for i, v in enumerate([6.2, 6.5, 8.0, 10.6, 12, 11, 6], 1)])
    assert (alert.step, alert.kind) == (5, "spike")


@pytest.mark.parametrize("length", [1, 2])
def test_a_bad_batch_is_no_spike(length: int) -> None:
    losses = learning(600)
    losses[400 : 400 + length] = [9.0] * length
    assert heard([step(i, loss) for i, loss in enumerate(losses, 1)]) == []


def test_a_second_spike_is_said_once_the_first_has_gone() -> None:
    losses = learning(900)
    losses[300:310], losses[312:320] = [4.0] * 10, [4.0] * 8
    losses[600:610] = [4.0] * 10
    told = heard([step(i, loss) for i, loss in enumerate(losses, 1)])
    assert [a.step for a in told if a.kind == "spike"] == [303, 603]


def test_a_loss_that_stays_up_is_the_usual_one_after_a_while() -> None:
    losses = learning(300) + [loss + 3 for loss in learning(300)]
    told = heard([step(i, loss) for i, loss in enumerate(losses, 1)])
    assert [a.kind for a in told] == ["spike"]


def flat(level: float = 2.0) -> list[TrainEvent]:
    dice = np.random.default_rng(1)
    falls = [max(level, 5.0 - i / 100) for i in range(1, 2001)]
    return [step(i, loss + dice.normal(0, 0.05)) for i, loss in enumerate(falls, 1)]


def test_a_loss_that_does_not_fall_any_more_is_a_plateau() -> None:
    (alert,) = heard(flat())
    assert alert.kind == "plateau"
    assert 500 <= alert.step <= 900
    assert alert.sentence.startswith(
        "The training loss stays at 2: over the last fifth of the budget it fell by less than 0.0"
    )
    assert alert.hint == (
        "More steps alone will not help. Try another lr than 0.003, or a larger model than"
        " n_layers=4 and d_model=128."
    )


def test_a_loss_that_climbs_slowly_rises() -> None:
    dice = np.random.default_rng(1)
    levels = [max(2.0, 5.0 - i / 100, 2.0 + (i - 700) / 1000) for i in range(1, 2001)]
    told = heard([step(i, loss + dice.normal(0, 0.05)) for i, loss in enumerate(levels, 1)])
    (alert,) = [a for a in told if a.kind != "plateau"]
    assert alert.kind == "rising"
    assert 720 <= alert.step <= 1150
    assert alert.sentence.startswith("The training loss rises: over the last fifth of the budget")
    assert alert.hint.startswith("Steps that are too large undo what was learned.")


def test_at_the_floor_there_is_nothing_to_do() -> None:
    (alert,) = heard(flat(), floor=1.99)
    assert (
        alert.hint == "The floor of this text is 1.99: there is nothing more to learn; stop here."
    )


def test_a_slow_fall_in_much_noise_is_no_plateau() -> None:
    for noise in (0.05, 0.2, 0.5):
        events = [step(i, loss) for i, loss in enumerate(learning(2000, noise), 1)]
        assert [a.kind for a in heard(events)] == []


def test_a_short_run_has_no_plateau() -> None:
    events = [step(i, 2.0 + 0.01 * (i % 2)) for i in range(1, 101)]
    assert heard(events, CONFIG.with_changes(steps=100)) == []


def test_a_budget_in_seconds_is_one_too() -> None:
    config = CONFIG.with_changes(seconds=40.0)
    assert [a.kind for a in heard(flat(), config)] == ["plateau"]


def overfit(rises: bool, falls: bool, times: int = 6) -> list[TrainEvent]:
    events: list[TrainEvent] = []
    for i in range(1, 100 * times + 1):
        events.append(step(i, 3.0 - 0.003 * i * falls))
        if i % 100 == 0:
            turn = abs(i - 300) / 1000 if rises else -i / 1000
            events.append(validated(i, 2.5 + turn))
    return events


def test_overfitting_is_a_validation_that_rises_while_training_falls() -> None:
    (alert,) = heard(overfit(rises=True, falls=True))
    assert (alert.step, alert.kind) == (500, "overfitting")
    assert alert.sentence == (
        "The held-out loss has risen from 2.500 at step 300 to 2.700, out of its ± 0.020, while"
        " the training loss fell to 1.649."
    )
    assert alert.hint == (
        "The checkpoint of the best validation is kept. Try more text, fewer steps, dropout=0.1,"
        " or a smaller model."
    )


@pytest.mark.parametrize(("rises", "falls"), [(False, True), (True, False)])
def test_one_of_both_alone_is_no_overfitting(rises: bool, falls: bool) -> None:
    assert "overfitting" not in [a.kind for a in heard(overfit(rises, falls))]


def test_a_rise_within_its_interval_is_none() -> None:
    events = [step(i, 3.0 - 0.01 * i) for i in range(1, 101)]
    assert heard([*events, validated(100, 2.5), *events, validated(200, 2.515)] * 3) == []


def test_a_dead_layer_is_said_when_it_is_seen_twice() -> None:
    dead = {"dead_shares": (0.2, 0.953)}
    assert heard([health(1, **dead), health(2)] * 3) == []
    (alert,) = heard([health(30, **dead), health(60, **dead), health(90, **dead)])
    assert (alert.step, alert.kind) == (60, "dead layer")
    assert alert.sentence == (
        "95% of the feed-forward's units in layer 2 were 0 for all of 256 tokens."
    )
    assert alert.hint == (
        "Units that never fire do not learn. Try a lower lr than 0.003, a longer warm-up than 20"
        " steps, or activation=gelu."
    )


def test_large_updates_are_said_after_the_warm_up() -> None:
    large = {"update_ratios": (0.35, 1e-3, 1e-3, 1e-3)}
    (alert,) = heard([health(n, **large) for n in (5, 10, 30, 60, 90)])
    assert (alert.step, alert.kind) == (60, "large updates")
    assert alert.sentence == (
        "Step 60 changed the embedding by 35% of its weights; about 0.1 % is usual."
    )
    assert alert.hint == "Try a lower lr than 0.003, or a longer warm-up than 20 steps."


def test_clipping_that_is_always_on_is_said() -> None:
    losses = learning(2000)
    (alert,) = heard([step(i, loss, norm=3.2) for i, loss in enumerate(losses, 1)])
    assert (alert.step, alert.kind) == (400, "always clipped")
    assert alert.sentence == (
        "399 of the last 399 steps were clipped: the gradient's norm is 3.2 on average, and"
        " grad_clip=1."
    )
    assert alert.hint == (
        "All steps are then of one length. Try grad_clip=6, or a lower lr than 0.003."
    )
    unclipped = CONFIG.with_changes(grad_clip=0.0)
    assert heard([step(i, v, norm=3.2) for i, v in enumerate(losses, 1)], unclipped) == []


def test_a_number_that_is_none_is_said_with_what_may_help() -> None:
    event = Diverged(step=9, what="the loss is nan", checkpoint_step=None)
    (alert,) = heard([event], CONFIG.with_changes(grad_clip=0.0, on_divergence="return"))
    assert alert == AlertRaised(
        step=9,
        kind="nan",
        sentence="The loss is nan at step 9.",
        hint="Try a lower lr than 0.003, or grad_clip=1.",
    )


def test_an_alarm_goes_on_from_its_state_as_if_nothing_had_been() -> None:
    losses = learning(900)
    losses[400:440] = [4.0] * 40
    events: list[TrainEvent] = []
    for i, loss in enumerate(losses, 1):
        events.append(step(i, loss, norm=1.5))
        events += [validated(i, 2 + abs(i - 300) / 900)] if i % 60 == 0 else []
        events += [health(i, dead_shares=(0.95, 0.1))] if i % 70 == 0 else []
    config = CONFIG.with_changes(steps=900)
    alarm, torn = alarm_of(config), alarm_of(config)
    for i, event in enumerate(events):
        assert torn.hear(event) == alarm.hear(event)
        if i % 7 == 0:
            state = json.loads(json.dumps(torn.state()))
            torn = alarm_of(config)
            torn.load(state)


@pytest.mark.parametrize("state", [{"losses": 3}, {"now": [1]}, {"kinds": []}, {"best": "x"}, None])
def test_a_state_that_is_not_ours_is_forgotten(state: Any) -> None:
    alarm = alarm_of(CONFIG)
    alarm.load(state)
    assert alarm.state() == alarm_of(CONFIG).state()


@pytest.mark.parametrize("name", sorted(json.loads(CURVES.read_text())))
def test_the_presets_raise_nothing(name: str) -> None:
    """On curves that were recorded from real runs of them."""
    told = json.loads(CURVES.read_text())[name]
    config = preset(name).with_changes(steps=len(told["loss"]))
    events: list[TrainEvent] = []
    for i, (loss, norm) in enumerate(zip(told["loss"], told["norm"], strict=True), 1):
        events.append(step(i, loss, norm))
        events += [health(i, **found) for found in told["health"] if found["step"] == i]
        events += [validated(i, *found[1:]) for found in told["validations"] if found[0] == i]
    assert heard(events, config) == []


def test_a_level_is_robust_against_what_it_is_to_find() -> None:
    losses = learning(600)[-60:] + [9.0] * 5
    assert 1.6 < alerts.spike_level(losses) < 3
