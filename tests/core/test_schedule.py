"""The learning rate's course."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import recipes
from core.config import RunConfig, TrainConfig
from core.config.train import SCHEDULES
from core.training.schedule import learning_rate


def config(**changes: object) -> TrainConfig:
    fields = {"steps": 100, "lr": 0.5, "min_lr": 0.1, "warmup_steps": 10}
    return TrainConfig(**(fields | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(("step", "expected"), [(1, 0.05), (5, 0.25), (10, 0.5)])
def test_warm_up_rises_in_equal_steps_and_is_never_zero(step: int, expected: float) -> None:
    assert learning_rate(config(), step, 0.9) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("progress", "expected"), [(0, 0.5), (1 / 3, 0.3875), (0.5, 0.275), (2 / 3, 0.1625), (1, 0.05)]
)
def test_the_cosine_falls_from_lr_to_its_share(progress: float, expected: float) -> None:
    assert learning_rate(config(), 11, progress) == pytest.approx(expected)


@given(step=st.integers(11, 10_000), progress=st.floats(0, 1))
def test_constant_stays(step: int, progress: float) -> None:
    assert learning_rate(config(schedule="constant"), step, progress) == 0.5


@given(step=st.integers(1, 300), progress=st.floats(0, 1))
def test_the_rate_stays_between_its_bounds(step: int, progress: float) -> None:
    assert 0 < learning_rate(config(), step, progress) <= 0.5


def test_without_warm_up_the_first_step_has_the_full_rate() -> None:
    assert learning_rate(config(warmup_steps=0), 1, 0.0) == 0.5


@pytest.mark.parametrize(
    ("progress", "expected"), [(0, 0.5), (0.25, 0.3875), (0.5, 0.275), (1, 0.05)]
)
def test_linear_falls_evenly_from_lr_to_its_share(progress: float, expected: float) -> None:
    assert learning_rate(config(schedule="linear"), 11, progress) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("share", "progress", "expected"),
    [
        (0.2, 0.0, 0.5),
        (0.2, 0.8, 0.5),
        (0.2, 0.85, 0.275),  # a quarter of the decay: sqrt(1/4) of the way down
        (0.2, 1.0, 0.05),
        (1.0, 0.25, 0.275),
        (0.5, 0.5, 0.5),
        (0.5, 0.625, 0.275),
    ],
)
def test_wsd_is_stable_and_then_falls(share: float, progress: float, expected: float) -> None:
    found = learning_rate(config(schedule="wsd", decay_share=share), 11, progress)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("share", "progress", "expected"),
    [(0.5, 0.0, 0.5), (0.5, 0.5, 0.5), (0.5, 0.75, 0.275), (1.0, 0.5, 0.275), (0.1, 1.0, 0.05)],
)
def test_flat_linear_is_flat_and_then_a_straight_line(
    share: float, progress: float, expected: float
) -> None:
    found = learning_rate(config(schedule="flat_linear", decay_share=share), 11, progress)
    assert found == pytest.approx(expected)


def test_a_line_over_all_of_the_run_is_linear_and_may_end_at_zero() -> None:
    settings = {"decay_share": 1.0, "min_lr": 0.0}
    for progress in (0.0, 0.3, 0.99, 1.0):
        found, straight = (
            learning_rate(config(schedule=schedule, **settings), 11, progress)
            for schedule in ("flat_linear", "linear")
        )
        assert found == pytest.approx(straight) == pytest.approx(0.5 * (1 - progress))


@given(
    schedule=st.sampled_from(["cosine", "linear", "wsd", "flat_linear"]),
    share=st.floats(0.01, 1),
    progress=st.lists(st.floats(0, 1), min_size=2, max_size=2).map(sorted),
)
def test_after_the_warm_up_every_schedule_only_falls_and_ends_at_the_lowest(
    schedule: str, share: float, progress: list[float]
) -> None:
    for lowest in (0.0, 0.1, 1.0):
        settings = config(schedule=schedule, decay_share=share, min_lr=lowest)
        early, late = (learning_rate(settings, 11, p) for p in progress)
        assert 0.5 >= early >= late >= 0.5 * lowest
        assert learning_rate(settings, 11, 1.0) == pytest.approx(0.5 * lowest, abs=1e-12)


def run_config(**changes: object) -> RunConfig:
    return RunConfig(train=config(**changes))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_planned_course_is_what_the_steps_will_have(schedule: str) -> None:
    planned = run_config(schedule=schedule)
    course = recipes.planned_lr(planned, points=101)
    assert [share for share, _ in course] == [i / 100 for i in range(101)]
    taken = [learning_rate(planned.train, k + 1, k / 100) for k in range(100)]
    assert [rate for _, rate in course[:-1]] == taken


def test_a_budget_in_tokens_plans_its_steps() -> None:
    by_steps = run_config(steps=50, batch_size=4, grad_accum=2, context=10)
    by_tokens = run_config(steps=0, tokens=50 * 80 - 79, batch_size=4, grad_accum=2, context=10)
    assert by_tokens.train.planned_steps == by_steps.train.planned_steps == 50
    assert recipes.planned_lr(by_tokens, 51) == recipes.planned_lr(by_steps, 51)
    assert run_config(steps=7, tokens=10**6).train.planned_steps == 7


def test_a_budget_in_seconds_takes_the_steps_it_is_told_or_assumes_a_thousand() -> None:
    by_time = run_config(steps=0, seconds=60.0)
    known = run_config(steps=200)
    assert recipes.planned_lr(by_time, steps=200) == recipes.planned_lr(known)
    assert recipes.planned_lr(by_time) == recipes.planned_lr(run_config(steps=1000))
    assert recipes.planned_lr(known, steps=9) == recipes.planned_lr(known)
    assert by_time.train.planned_steps == 0


def test_a_course_of_one_point_is_its_beginning() -> None:
    assert recipes.planned_lr(run_config(), points=1) == ((0.0, 0.05),)
