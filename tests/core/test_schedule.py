"""The learning rate's course."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import TrainConfig
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
