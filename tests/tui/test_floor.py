"""The least loss there is, where the source of a text is known: a line, a gap, and facts."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.events import EvaluationCompleted, RunStarted
from minitf_tui import readings
from minitf_tui.figure import Figure
from minitf_tui.history import History
from minitf_tui.plotting import limits
from tests.tui.events import started, step, validation
from tests.tui.pilot import screen_text, settle
from tests.tui.scripted import Script, app_with
from tests.tui.stories import evaluation_story, training_story

KNOWN: dict[str, Any] = {"floor_loss": 1.25, "floor_se": 0.0125, "entropy_per_char": math.log(2)}


def history(steps: int) -> History:
    found = History()
    for n in range(1, steps + 1):
        found.add_step(step(n))
    found.add_validation(validation(steps))
    return found


def values(groups: tuple[readings.Group, ...]) -> dict[tuple[str, str], tuple[str, str]]:
    return {(g.heading, r.label): (r.value, r.unit) for g in groups for r in g.readings}


def test_the_floor_is_a_line_from_the_first_step_to_the_last() -> None:
    losses = readings.loss_figure(history(50), log_y=False, dots="*")
    floor, *others = readings.with_floor(losses, 1.25).curves
    assert tuple(others) == losses.curves
    assert (floor.name, floor.value) == ("floor", "1.250")
    assert floor.x.tolist() == [1, 50]
    assert floor.y.tolist() == [1.25, 1.25]
    _, (low, high) = limits([*losses.curves, floor], losses)
    assert low == 1.25
    assert high > 3


@pytest.mark.parametrize("floor", [None, 1.25])
def test_without_a_floor_or_a_step_the_figure_stays_as_it_is(floor: float | None) -> None:
    for figure in (Figure("loss"), readings.loss_figure(History(), log_y=False, dots="*")):
        assert readings.with_floor(figure, floor) is figure
    losses = readings.loss_figure(history(3), log_y=False, dots="*")
    assert readings.with_floor(losses, None) is losses


def test_the_gap_takes_the_place_of_the_perplexity() -> None:
    known = values(readings.training_groups(history(80), None, started=started(**KNOWN)))
    loss = validation(80).loss
    assert known["held out", "to floor"] == (f"+{loss - 1.25:.3f}", "nats/tok")
    assert ("held out", "perplexity") not in known
    for event in (None, started()):
        unknown = values(readings.training_groups(history(80), None, started=event))
        assert ("held out", "to floor") not in unknown
        assert ("held out", "perplexity") in unknown


def test_before_the_first_validation_the_gap_is_a_dash() -> None:
    known = values(readings.training_groups(None, None, started=started(**KNOWN)))
    assert known["held out", "to floor"] == ("–", "nats/tok")


def test_the_facts_of_a_run_tell_the_floor_and_the_entropy() -> None:
    known = values((readings.run_group(started(**KNOWN)),))
    assert known["run", "floor"] == ("1.250 ± 0.013", "nats/tok")
    assert known["run", "entropy"] == ("1.000", "bits/char")
    assert ("run", "floor") not in values((readings.run_group(started()),))


def test_an_evaluation_tells_the_gap() -> None:
    event = evaluation_story()[-1]
    assert isinstance(event, EvaluationCompleted)
    assert ("result", "to floor") not in values(readings.evaluation_groups(event))
    with_floor = replace(event, result=replace(event.result, floor_loss=1.25))
    known = values(readings.evaluation_groups(with_floor))
    assert known["result", "to floor"] == ("+0.097", "nats/tok")


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
@pytest.mark.parametrize("log_y", [False, True])
async def test_the_train_pane_draws_the_floor(size: tuple[int, int], log_y: bool) -> None:
    events = [
        replace(event, **KNOWN) if isinstance(event, RunStarted) else event
        for event in training_story(300)
    ]
    app = app_with(training=Script(events))
    async with app.run_test(size=size) as pilot:
        await pilot.press("r")
        await settle(pilot)
        if log_y:
            await pilot.press("y")
            await settle(pilot)
        text = screen_text(app)
        assert "floor 1.250" in text
        assert "to floor" in text
        curves = app.query_one("#loss").figure.curves  # type: ignore[attr-defined]
        assert [c.name for c in curves if np.all(c.y == 1.25)] == ["floor"]
