"""Means, spreads and intervals, against tables and simulation."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.measure.statistics import interval_of_mean, summarize, t_quantile

TABLE = {
    1: 12.7062,
    2: 4.30265,
    3: 3.18245,
    4: 2.77645,
    5: 2.57058,
    10: 2.22814,
    30: 2.04227,
    100: 1.98397,
    1_000_000: 1.95997,
}


@pytest.mark.parametrize(("degrees", "expected"), TABLE.items())
def test_the_t_quantile_is_that_of_the_tables(degrees: int, expected: float) -> None:
    assert t_quantile(degrees) == pytest.approx(expected, rel=2e-3 if degrees < 5 else 2e-4)


def test_without_degrees_of_freedom_nothing_is_known() -> None:
    assert t_quantile(0) == math.inf
    assert interval_of_mean(np.array([3.0]), np.array([2])) == (-math.inf, math.inf)


@given(
    samples=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20),
    offset=st.sampled_from([0, 1e9]),
)
def test_a_summary_is_the_textbooks(samples: list[float], offset: float) -> None:
    samples = [s + offset for s in samples]
    found, n = summarize(samples), len(samples)
    mean = math.fsum(samples) / n
    sd = math.sqrt(math.fsum((s - mean) ** 2 for s in samples) / (n - 1))
    assert found.mean == mean
    assert found.sd == pytest.approx(sd, rel=1e-6, abs=1e-6)
    assert found.median == statistics.median(samples)
    assert found.min == min(samples)


def test_one_sample_has_no_spread() -> None:
    found = summarize([4.0])
    assert (found.mean, found.sd, found.median, found.min) == (4.0, 0.0, 4.0, 4.0)


def test_equal_blocks_give_students_interval() -> None:
    means = np.array([1.0, 2.0, 4.0, 3.0])
    low, high = interval_of_mean(means * 10, np.full(4, 10))
    half = t_quantile(3) * means.std(ddof=1) / math.sqrt(4)
    assert (low, high) == pytest.approx((2.5 - half, 2.5 + half))


@pytest.mark.parametrize("n_blocks", [4, 40])
@pytest.mark.parametrize("is_ragged", [False, True])
def test_95_of_100_intervals_hold_the_mean(n_blocks: int, is_ragged: bool) -> None:
    """Tokens of a block share their luck; treated as independent they would cover about half."""
    draw = np.random.default_rng(0)
    hits, repeats = 0, 2000
    for _ in range(repeats):
        counts = np.full(n_blocks, 50)
        if is_ragged:
            counts[-1] = 13
        luck = draw.normal(0, 0.5, n_blocks)
        sums = counts * (3 + luck) + draw.normal(0, 1, n_blocks) * np.sqrt(counts)
        low, high = interval_of_mean(sums, counts)
        hits += low <= 3 <= high
    assert 0.92 < hits / repeats < 0.975
