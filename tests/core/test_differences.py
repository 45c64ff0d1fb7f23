"""The interval of a difference over steps holds the truth about as often as it says."""

from __future__ import annotations

import numpy as np
import pytest

from core.measure.differences import LEAST_STEPS, Differences, interval_of_steps


def noise(correlation: float, steps: int, of: int) -> np.ndarray:
    draws = np.random.default_rng(0).standard_normal((of, steps + 100))
    for t in range(1, steps + 100):
        draws[:, t] += correlation * draws[:, t - 1]
    return draws[:, 100:]


@pytest.mark.parametrize(("correlation", "least"), [(0.0, 0.96), (0.5, 0.94), (0.9, 0.88)])
@pytest.mark.parametrize("slope", [0.0, 0.3])
def test_neighbouring_steps_are_not_taken_as_independent(
    correlation: float, least: float, slope: float
) -> None:
    line = slope * np.arange(100)
    held = 0
    for values in noise(correlation, 100, 1000) + line:
        low, high = interval_of_steps(values) or (0.0, 0.0)
        held += low <= line.mean() <= high
    assert held / 1000 >= least


def test_few_steps_and_equal_ones() -> None:
    assert interval_of_steps(np.arange(LEAST_STEPS - 1.0)) is None
    assert interval_of_steps(np.full(40, -0.5)) == (-0.5, -0.5)
    steady = interval_of_steps(np.arange(40.0))
    assert steady == pytest.approx((19.5, 19.5))


def test_the_mean_is_that_of_the_newest_quarter() -> None:
    differences = Differences()
    for step in range(1, 801):
        differences.add(float(step))
    assert differences.window == 200
    assert differences.mean()[0] == pytest.approx(700.5)
