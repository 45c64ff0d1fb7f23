"""The learning rate, planned, taken and to come."""

from __future__ import annotations

import numpy as np
import pytest

from core import recipes
from core.config import RunConfig
from core.presets import QUICK
from minitf_tui.course import course_figure, lowered, own_rates, planned_figure
from minitf_tui.history import History
from tests.tui.events import step

STEPS = QUICK.with_changes(steps=1000)


def history_of(config: RunConfig, n: int, **changes: float) -> History:
    """The first steps of a run that keeps to its plan."""
    from core.training.schedule import learning_rate

    history = History()
    for k in range(1, n + 1):
        lr = learning_rate(config.train, k, (k - 1) / 1000)
        history.add_step(step(k, lr=lr, train_s=0.01 * k, **changes))
    return history


def test_a_plan_counts_steps_where_it_knows_them() -> None:
    figure = planned_figure(recipes.planned_lr(STEPS), 1000, dots="*")
    assert figure.x_label == "step"
    assert (figure.curves[0].x[0], figure.curves[0].x[-1]) == (0, 1000)
    figure = planned_figure(recipes.planned_lr(QUICK), 0, dots="*")
    assert figure.x_label == "% of the run"
    assert figure.curves[0].x[-1] == 100


def test_a_plan_shows_the_rates_of_kinds_that_have_their_own() -> None:
    config = STEPS.with_changes(matrix_lr=0.012, embedding_lr=0.0, head_lr=STEPS.train.lr)
    own = own_rates(config.train)
    assert own == {"matrix": pytest.approx(2.0)}
    lr, matrix = planned_figure(recipes.planned_lr(config), 1000, dots="*", own=own).curves
    assert (lr.name, matrix.name) == ("lr", "matrix")
    assert matrix.y == pytest.approx(2 * lr.y)


@pytest.mark.parametrize("n", [1, 30, 400, 999])
def test_what_is_to_come_joins_what_was(n: int) -> None:
    history = history_of(STEPS, n)
    plan = recipes.planned_lr(STEPS, 1000)
    ahead, taken = course_figure(history, plan, 1000, 0.0, dots="*").curves
    assert taken.x[-1] == n
    assert ahead.x[0] > n
    assert ahead.x[-1] == pytest.approx(1000)
    assert (np.diff(ahead.x) > 0).all()
    # A point of the plan later, the rate has moved by no more than a step or two.
    largest = np.abs(np.diff([rate for _, rate in plan])).max()
    assert ahead.y[0] == pytest.approx(taken.y[-1], abs=2.1 * largest)


def test_a_budget_in_seconds_ends_where_the_pace_says() -> None:
    history = history_of(QUICK, 100)
    ahead, _ = course_figure(history, recipes.planned_lr(QUICK), 0, 5.0, dots="*").curves
    assert ahead.x[-1] == pytest.approx(500)


def test_nothing_is_ahead_of_a_run_that_is_over_or_has_not_begun() -> None:
    plan = recipes.planned_lr(STEPS)
    assert len(course_figure(history_of(STEPS, 1000), plan, 1000, 0.0, dots="*").curves) == 1
    assert len(course_figure(History(), plan, 1000, 0.0, dots="*").curves) == 1


def test_after_a_return_the_plan_is_lower() -> None:
    assert lowered([(0.0, 1.0), (1.0, 0.5)], 0.5) == [(0.0, 0.5), (1.0, 0.25)]
