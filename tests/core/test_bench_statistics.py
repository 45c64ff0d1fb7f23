"""The figures of a benchmark, each held against another way to compute it."""

from __future__ import annotations

import itertools
import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.measure.course import is_stable
from core.measure.statistics import (
    RESAMPLES,
    interval,
    outliers,
    paired_ratio,
    summarize,
    t_quantile,
)

LLAMA_BENCH_NS = (75_100_000_000, 75_300_000_000, 75_120_000_000, 75_390_000_000)
"""Times whose sum of squares overflows 64 unsigned bits: there llama-bench printed an sd of
seconds for samples that lie within 0.15 s."""
FINITE = st.floats(1e-3, 1e9)


def test_the_spread_that_llama_bench_gets_wrong() -> None:
    n = len(LLAMA_BENCH_NS)
    wrapped = sum(x * x for x in LLAMA_BENCH_NS) % 2**64  # what a uint64 keeps of it
    theirs = math.sqrt(abs(wrapped / (n - 1) - (sum(LLAMA_BENCH_NS) / n) ** 2 * n / (n - 1)))
    ours = summarize([x / 1e9 for x in LLAMA_BENCH_NS])
    assert ours.sd == pytest.approx(np.std(np.array(LLAMA_BENCH_NS) / 1e9, ddof=1), rel=1e-12)
    assert ours.sd == pytest.approx(0.1408, abs=1e-4)
    assert theirs / 1e9 > 10 * ours.sd, "the sum of squares does overflow"
    assert summarize(LLAMA_BENCH_NS).sd == pytest.approx(1e9 * ours.sd, rel=1e-9)


@given(st.lists(FINITE, min_size=2, max_size=30))
def test_mean_spread_median_and_interval(samples: list[float]) -> None:
    found, (low, high) = summarize(samples), interval(samples) or (0.0, 0.0)
    mean, sd = np.mean(samples, dtype=np.longdouble), np.std(samples, ddof=1, dtype=np.longdouble)
    assert found.mean == pytest.approx(float(mean))
    assert found.sd == pytest.approx(float(sd), rel=1e-6, abs=1e-12 * max(samples))
    assert found.median == pytest.approx(float(np.median(samples)))
    half = t_quantile(len(samples) - 1) * found.sd / math.sqrt(len(samples))
    assert (high - low) / 2 == pytest.approx(half, abs=1e-9 * max(samples))
    assert (high + low) / 2 == pytest.approx(found.mean)


def test_one_sample_has_no_interval() -> None:
    assert interval([3.0]) is None


def test_an_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    for n in (4, 5, 12):
        found = [interval(rng.normal(5.0, 1.0, n).tolist()) or (0.0, 0.0) for _ in range(2000)]
        share = sum(low <= 5.0 <= high for low, high in found) / len(found)
        assert 0.91 <= share <= 0.98, n


def test_outliers_by_the_modified_z_score() -> None:
    """Iglewicz and Hoaglin's rule, by numpy."""
    samples = [10.0, 10.1, 9.9, 10.2, 9.8, 12.0, 10.0, 7.5]
    values = np.array(samples)
    away = np.abs(values - np.median(values))
    score = 0.6745 * away / np.median(away)
    assert outliers(samples) == tuple(np.flatnonzero(score > 3.5).tolist()) == (5, 7)


@pytest.mark.parametrize(
    ("samples", "marked"),
    [
        ([5.0], ()),
        ([5.0, 5.0, 5.0], ()),
        ([5.0, 9.0], ()),
        ([5.0] * 9 + [6.0], (9,)),  # MAD is 0: the mean distance, 0.1, takes its place
        ([5.0] * 3 + [6.0, 4.0], ()),
    ],
)
def test_outliers_among_few_or_equal_samples(samples: list[float], marked: tuple[int, ...]) -> None:
    assert outliers(samples) == marked


@given(st.lists(FINITE, min_size=3, max_size=40), st.floats(0.01, 100.0))
def test_outliers_do_not_depend_on_the_unit(samples: list[float], unit: float) -> None:
    for power in (0.5, 1024.0):  # exact in binary
        assert outliers([power * x for x in samples]) == outliers(samples)


def test_a_ratio_by_brute_force() -> None:
    """Four pairs, of which the middle two count: every way to draw four of them."""
    left, right = [2.0, 3.0, 9.0, 5.0], [1.0, 2.0, 3.0, 4.0]
    quotients = [a / b for a, b in zip(left, right, strict=True)]

    def middle(values: tuple[float, ...]) -> float:
        _, a, b, _ = sorted(values)
        return math.sqrt(a * b)

    ratio, (low, high) = paired_ratio(left, right)
    assert ratio == pytest.approx(middle(tuple(quotients)))
    every = sorted(middle(draw) for draw in itertools.product(quotients, repeat=4))
    tail = statistics.NormalDist().cdf(-t_quantile(3) * math.sqrt(4 / 3))
    assert tail < 1 / len(every) * 0.05, "so few pairs promise nothing less than their extremes"
    assert (low, high) == (pytest.approx(every[0]), pytest.approx(every[-1]))
    assert RESAMPLES >= 2000


def test_a_ratio_of_more_pairs_by_brute_force() -> None:
    rng = np.random.default_rng(5)
    left, right = rng.uniform(1, 2, 12), rng.uniform(1, 2, 12)
    ratio, (low, high) = paired_ratio(left.tolist(), right.tolist())
    logs = sorted(math.log(a / b) for a, b in zip(left, right, strict=True))
    assert ratio == pytest.approx(math.exp(statistics.fmean(logs[3:-3])))
    means = []
    for _ in range(10_000):
        draw = sorted(logs[i] for i in rng.integers(0, 12, 12))
        means.append(math.exp(statistics.fmean(draw[3:-3])))
    tail = statistics.NormalDist().cdf(-t_quantile(11) * math.sqrt(12 / 11))
    assert (low, high) == pytest.approx(tuple(np.quantile(means, (tail, 1 - tail))), rel=0.02)


@given(st.lists(st.tuples(FINITE, FINITE), min_size=1, max_size=12), st.integers(0, 3))
def test_a_ratio_turned_round_is_its_inverse(pairs: list[tuple[float, float]], seed: int) -> None:
    left, right = zip(*pairs, strict=True)
    ratio, (low, high) = paired_ratio(left, right, seed=seed)
    back, (least, most) = paired_ratio(right, left, seed=seed)
    assert ratio * back == pytest.approx(1.0)
    assert (low * most, high * least) == pytest.approx((1.0, 1.0))
    assert low <= high
    assert paired_ratio(left, right, seed=seed) == (ratio, (low, high))


def drifting_pairs(rng: np.random.Generator, n: int) -> tuple[list[float], list[float]]:
    """A machine that wanders, is now and then taken by somebody else, and times A and A in turns
    of a random order."""
    course = np.exp(np.cumsum(rng.normal(0, 0.01, 2 * n)) + rng.normal(0, 0.02, 2 * n))
    halts = np.where(rng.random(2 * n) < 0.07, 1 + rng.exponential(0.5, 2 * n), 1)
    pairs = (course * (1 + rng.exponential(0.02, 2 * n)) * halts).reshape(n, 2)
    swapped = rng.random(n) < 0.5
    pairs[swapped] = pairs[swapped, ::-1]
    return pairs[:, 0].tolist(), pairs[:, 1].tolist()


@pytest.mark.parametrize(("n", "widest"), [(5, 0.12), (12, 0.06), (40, 0.02)])
def test_the_ratio_of_a_thing_to_itself_is_one_as_often_as_promised(n: int, widest: float) -> None:
    """Measure 5: at least 17 of 20 intervals hold 1; here of 200, on synthetic noise."""
    rng = np.random.default_rng(1)
    found = [paired_ratio(*drifting_pairs(rng, n))[1] for _ in range(200)]
    share = sum(low <= 1 <= high for low, high in found) / len(found)
    assert 0.9 <= share <= 1
    assert statistics.median((high - low) / 2 for low, high in found) <= widest


@pytest.mark.parametrize(
    ("times", "stable"),
    [
        ([], False),
        ([5.0, 5.0], False),
        ([9.0, 5.0, 5.1, 5.2], True),  # within 5 %
        ([9.0, 6.0, 5.0], False),  # still getting faster
        ([9.0, 5.0, 6.0], True),  # the newest is not the fastest
        ([6.0, 6.2, 5.0], False),
    ],
)
def test_when_warming_up_is_over(times: list[float], stable: bool) -> None:
    assert is_stable(times) == stable
