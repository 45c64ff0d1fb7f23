"""The difference of two trainings on the same batches, with an interval that knows that
neighbouring steps are not independent.

Step t of both is taken on the same tokens, so what is hard about a batch cancels in
`d_t = loss of B - loss of A`. What does not cancel lasts for several steps: as long as one model is
ahead it is so on each batch. An interval that took steps as independent would be too short, so the
wider of two is told:

* an effective sample size: the long-run variance is summed over autocovariances as far as the
  initial positive, decreasing sequence of their pairs goes (Geyer 1992, "Practical Markov Chain
  Monte Carlo", §3.3), corrected for the line that was taken out, with Student's t on as many
  degrees of freedom as there are effective steps;
* the means of five batches of neighbouring steps as independent samples (Schmeiser 1982, "Batch
  Size Effects in the Analysis of Simulation Output"), which needs no model of the correlation.

A difference changes as training goes on. So the mean is that of the newest quarter of the steps,
and a straight line, fitted by least squares, is taken out before the spread is looked at: that one
side pulls ahead steadily is no noise.

On autoregressive noise of correlation 0, 0.5 and 0.9 it held the truth in 98, 97 and 91 % of
windows of 100 steps, and in 99, 97 and 97 % of 400; of 0.97 in 78 and 92 %.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from core.measure.statistics import t_quantile

Interval = tuple[float, float]
Floats = NDArray[np.float64]

LEAST_STEPS = 16
"""Below this many there is no interval."""
LEAST_WINDOW, WINDOW_SHARE = 100, 0.25
BATCHES = 5
CORRECTIONS = 4


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
    around = _without_line(values)
    half = max(_half_by_autocovariance(around), _half_by_batches(around))
    return (mean - half, mean + half)


def _without_line(values: Floats) -> Floats:
    times = np.arange(len(values)) - (len(values) - 1) / 2
    centred = values - values.mean()
    around: Floats = centred - times * (times @ centred) / (times @ times)
    return around


def _half_by_batches(around: Floats) -> float:
    size = len(around) // BATCHES
    means = around[len(around) - size * BATCHES :].reshape(BATCHES, size).mean(axis=1)
    degrees = BATCHES - 2  # mean and slope are known
    return t_quantile(degrees) * math.sqrt(float((means**2).sum()) / degrees / BATCHES)


def _half_by_autocovariance(around: Floats) -> float:
    n = len(around)
    spectrum = np.fft.rfft(around, 2 * n)
    seen = np.fft.irfft(spectrum * spectrum.conj())[:n] / n
    fading = 1 - np.arange(n) / n
    long_run = 0.0
    for _ in range(CORRECTIONS):  # each autocovariance lacks the variances of mean and slope
        covariances = seen + 2 * long_run / n * fading
        pairs = covariances[: n // 6 * 2].reshape(-1, 2).sum(axis=1)
        ends = np.flatnonzero(pairs <= 0)
        positive = pairs[: ends[0]] if len(ends) else pairs
        total = float(np.minimum.accumulate(positive).sum()) if len(positive) else 0.0
        long_run = max(2 * total - float(covariances[0]), float(covariances[0]))
    if long_run <= 0:
        return 0.0
    effective = int(max(3.0, n * float(covariances[0]) / long_run))
    return t_quantile(effective - 2) * math.sqrt(long_run / n)
