"""Exponential moving averages of a growing series, exact and without a loop over its values.

Invariant: what is returned for n values is what the recurrence s = keep*s + (1 - keep)*x gives
step by step, divided by the weight seen so far (Adam, arXiv:1412.6980 §3). A value that is not
finite leaves the average as it was.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BLOCK = 128
"""Values averaged by one product with a triangular matrix."""


class Smoothed:
    """The average of one series at one level; only new values cost anything."""

    def __init__(self, keep: float) -> None:
        self.keep = keep
        powers = keep ** np.arange(BLOCK + 1)
        rows, columns = np.indices((BLOCK, BLOCK))
        self._weights = np.tril((1 - keep) * powers[np.maximum(rows - columns, 0)])
        self._powers = powers[1:]
        self._sum = 0.0
        self._count = 0
        """Finite values seen."""
        self._means = np.empty(1024)
        self._length = 0

    def of(self, values: Floats) -> Floats:
        """The average after each value.

        Args:
            values: the series; it begins with all that was given before.
        """
        fresh = values[self._length :]
        if len(fresh):
            self._keep_means(self._means_of(fresh))
        return self._means[: len(values)]

    def _means_of(self, values: Floats) -> Floats:
        is_finite = np.isfinite(values)
        last = self._mean(self._sum, self._count)
        means = np.concatenate([[last], self._averaged(values[is_finite])])
        return means[np.cumsum(is_finite)]

    def _averaged(self, values: Floats) -> Floats:
        sums = np.empty(len(values))
        for start in range(0, len(values), BLOCK):
            part = values[start : start + BLOCK]
            n = len(part)
            block = self._weights[:n, :n] @ part + self._powers[:n] * self._sum
            sums[start : start + n] = block
            self._sum = float(block[-1])
        seen = self._count + np.arange(1, len(values) + 1)
        self._count += len(values)
        return sums / (1 - self.keep**seen)

    def _mean(self, total: float, count: int) -> float:
        return total / (1 - self.keep**count) if count else float("nan")

    def _keep_means(self, means: Floats) -> None:
        needed = self._length + len(means)
        if needed > len(self._means):
            grown = np.empty(max(needed, 2 * len(self._means)))
            grown[: self._length] = self._means[: self._length]
            self._means = grown
        self._means[self._length : needed] = means
        self._length = needed
