"""Means, spreads and intervals, in float64.

Sources: expansion of the t quantile, Abramowitz and Stegun, 26.7.5; modified z-score, Iglewicz and
Hoaglin 1993, "How to Detect and Handle Outliers" (hyperfine marks by it, too); expanded percentile
interval, Hesterberg 2015, "What Teachers Should Know About the Bootstrap", §5.2; interval of a
trimmed mean, Tukey and McLaughlin 1963.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_NORMAL = statistics.NormalDist()
_Z = _NORMAL.inv_cdf(0.975)
MOST_Z = 3.5
"""Modified z-score above which a sample is an outlier."""
RESAMPLES = 4000
TRIMMED = 0.25
"""Share of the paired ratios left out at each end: the interquartile mean (arXiv:2108.13264), whose
interval is short and still holds the truth where a machine drifts and halts (docs/lab-notes.md)."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a handful of samples says."""

    mean: float
    sd: float
    """Sample standard deviation (n - 1), two passes; 0 with one sample."""
    median: float
    min: float


def summarize(samples: Sequence[float]) -> Summary:
    """Of one or more finite numbers."""
    return Summary(
        mean=math.fsum(samples) / len(samples),
        sd=statistics.stdev(samples) if len(samples) > 1 else 0.0,
        median=statistics.median(samples),
        min=min(samples),
    )


def interval(samples: Sequence[float]) -> tuple[float, float] | None:
    """95 % interval of the mean of independent samples (Student's t); None below two."""
    if len(samples) < 2:
        return None
    mean = math.fsum(samples) / len(samples)
    half = t_quantile(len(samples) - 1) * statistics.stdev(samples) / math.sqrt(len(samples))
    return (mean - half, mean + half)


def outliers(samples: Sequence[float]) -> tuple[int, ...]:
    """Places of the samples whose modified z-score, `0.6745 |x - median| / MAD`, is above 3.5.

    Where more than half of them are equal the MAD is 0, and the mean distance takes its place:
    `|x - median| / (1.2533 · mean distance)`.
    """
    median = statistics.median(samples)
    distances = [abs(x - median) for x in samples]
    mad, mean = statistics.median(distances), math.fsum(distances) / len(distances)
    unit = mad / 0.6745 if mad else 1.253314 * mean
    return tuple(i for i, distance in enumerate(distances) if distance > MOST_Z * unit > 0)


def paired_ratio(
    left: Sequence[float], right: Sequence[float], *, seed: int = 0
) -> tuple[float, tuple[float, float]]:
    """What left is as a multiple of right, and its 95 % interval: measured in pairs, one of each
    at about the same time, so that what both suffer cancels.

    The estimate is the trimmed mean of the pairs' log ratios; its interval comes from resampling
    the pairs with a fixed seed, between percentiles widened for few of them. It is the one value
    twice where there is one pair.

    Args:
        left: positive; its i-th sample and that of `right` are a pair.
    """
    logs = np.log(np.asarray(left, np.float64)) - np.log(np.asarray(right, np.float64))
    ratio = math.exp(_trimmed_mean(logs[None])[0])
    n = len(logs)
    if n < 2:
        return ratio, (ratio, ratio)
    picks = np.random.default_rng(seed).integers(0, n, (RESAMPLES, n))
    tail = _NORMAL.cdf(-t_quantile(n - 1) * math.sqrt(n / (n - 1)))
    low, high = np.exp(np.quantile(_trimmed_mean(logs[picks]), (tail, 1 - tail)))
    return ratio, (float(low), float(high))


def _trimmed_mean(rows_RN: NDArray[np.float64]) -> NDArray[np.float64]:
    n = rows_RN.shape[1]
    cut = int(TRIMMED * n)
    kept: NDArray[np.float64] = np.sort(rows_RN, axis=1)[:, cut : n - cut].mean(axis=1)
    return kept


def t_quantile(degrees: int) -> float:
    """0.975 quantile of Student's t: half a 95 % interval, in standard errors.

    Within 0.2 % from 3 degrees of freedom on; exact for 1 and 2.
    """
    if degrees <= 2:
        return (math.inf, 12.7062, 4.30265)[max(0, degrees)]
    z, v = _Z, degrees
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * v**4)
    )


def interval_of_mean(sums: NDArray[np.float64], counts: NDArray[np.int64]) -> tuple[float, float]:
    """95 % interval of sum(sums) / sum(counts), taking blocks, not tokens, as independent.

    Neighbouring tokens share their luck, so their own spread would promise too much. The
    variance is that of a ratio estimator over blocks. With one block it is infinite.
    """
    mean = float(sums.sum() / counts.sum())
    n = len(sums)
    if n < 2:
        return (-math.inf, math.inf)
    residuals = sums - mean * counts
    variance = n / (n - 1) * float((residuals**2).sum()) / float(counts.sum()) ** 2
    half = t_quantile(n - 1) * math.sqrt(variance)
    return (mean - half, mean + half)
