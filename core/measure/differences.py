"""The difference of two trainings on the same batches, with an interval that knows that
neighbouring steps are not independent.

Step t of both is taken on the same tokens, so what is hard about a batch cancels in
`d_t = loss of B - loss of A`. What does not cancel lasts for several steps: as long as one model is
ahead it is so on each batch. An interval that took steps as independent would be too short, so the
wider of two is told:

* an effective sample size: the long-run variance is summed over autocovariances as far as the
  initial positive, decreasing sequence of their pairs goes (Geyer 1992, "Practical Markov Chain
  Monte Carlo", §3.3), corrected for the mean having been estimated, with Student's t on as many
  degrees of freedom as there are effective steps;
* the means of five batches of neighbouring steps as independent samples (Schmeiser 1982, "Batch
  Size Effects in the Analysis of Simulation Output"), which needs no model of the correlation.

On autoregressive noise of correlation 0, 0.5 and 0.9 it held the truth in 98, 98 and 91 % of
windows of 100 steps, and in 98, 99 and 97 % of 400; of 0.97 in 81 and 92 %.

A difference changes as training goes on, so the mean is that of the newest quarter of the steps.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from core.measure.statistics import interval, t_quantile

Interval = tuple[float, float]
Floats = NDArray[np.float64]

LEAST_STEPS = 16
"""Below this many there is no interval."""
LEAST_WINDOW, WINDOW_SHARE = 100, 0.25
BATCHES = 5
CORRECTIONS = 3


class Differences:
    """Differences of one step after another, and the mean of the newest."""

    def __init__(self) -> None:
        self._held: Floats = np.zeros(256)
        self._n = 0

    def add(self, difference: float) -> None:
        """That of the next step."""
        if self._n == len(self._held):
            self._held = np.concatenate([self._held, np.zeros(self._n)])
        self._held[self._n] = difference
        self._n += 1

    @property
    def window(self) -> int:
        """How many steps the mean is of."""
        return min(self._n, max(LEAST_WINDOW, round(WINDOW_SHARE * self._n)))

    def mean(self) -> tuple[float, Interval | None]:
        """The mean of the window and its 95 % interval, None with few steps."""
        newest = self._held[self._n - self.window : self._n]
        return float(newest.mean()), interval_of_steps(newest)


def interval_of_steps(values: Floats) -> Interval | None:
    """95 % interval of the mean of neighbours in time; None below `LEAST_STEPS` of them. Values
    that are all equal have no width.

    Args:
        values: float64 of shape (steps,), oldest first.
    """
    if len(values) < LEAST_STEPS:
        return None
    mean = float(values.mean())
    if float(np.ptp(values)) == 0.0:
        return (mean, mean)
    half = max(_half_by_autocovariance(values), _half_by_batches(values))
    return (mean - half, mean + half)


def _half_by_batches(values: Floats) -> float:
    size = len(values) // BATCHES
    means = values[len(values) - size * BATCHES :].reshape(BATCHES, size).mean(axis=1)
    low, high = interval(means.tolist()) or (-math.inf, math.inf)
    return (high - low) / 2


def _half_by_autocovariance(values: Floats) -> float:
    n = len(values)
    spectrum = np.fft.rfft(values - values.mean(), 2 * n)
    seen = np.fft.irfft(spectrum * spectrum.conj())[:n] / n
    long_run = 0.0
    for _ in range(CORRECTIONS):  # each autocovariance lacks about the variance of the mean
        covariances = seen + long_run / n * (1 - np.arange(n) / n)
        pairs = covariances[: n // 6 * 2].reshape(-1, 2).sum(axis=1)
        ends = np.flatnonzero(pairs <= 0)
        positive = pairs[: ends[0]] if len(ends) else pairs
        total = float(np.minimum.accumulate(positive).sum()) if len(positive) else 0.0
        long_run = max(2 * total - float(covariances[0]), float(covariances[0]))
    effective = int(max(2.0, n * float(covariances[0]) / long_run))
    return t_quantile(effective - 1) * math.sqrt(long_run / n)
