"""Rows of a token stream, drawn anywhere or, shuffled, each once a pass.

Invariant: a batch is a function of (seed, step, micro) alone. A resumed run needs no more
than the step to draw what an uninterrupted one would have. The batches of a step are the
rows, in order, of the one big batch they stand for.

Source: why a pass without repetition learns more than draws, arXiv:1202.4184.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from core.config import TrainConfig
from core.errors import DataError

Ids = NDArray[np.int64]


class Batches(Protocol):
    """Where a run's rows come from."""

    def at(self, step: int, micro: int = 0) -> tuple[Ids, Ids]:
        """`(inputs, targets)` of one of a step's batches, int64 of shape (batch_size,
        context); targets are inputs shifted by one."""


class RandomBatches:
    """Windows of `context` tokens that start anywhere, all starts equally likely."""

    def __init__(self, ids: NDArray[Any], *, batch_size: int, context: int, seed: int) -> None:
        """`ids` is one-dimensional and may be memory-mapped.

        Raises:
            DataError: there are fewer than `context + 1` tokens.
        """
        _check_length(ids, context)
        self._ids, self._batch_size, self._seed = ids, batch_size, seed
        self._window = np.arange(context + 1)

    def at(self, step: int, micro: int = 0) -> tuple[Ids, Ids]:
        """`(inputs, targets)` of one of a step's batches, int64 of shape (batch_size,
        context); targets are inputs shifted by one."""
        draw = np.random.default_rng((self._seed, step))
        n_starts = len(self._ids) - len(self._window) + 1
        starts = draw.integers(0, n_starts, (micro + 1) * self._batch_size)[-self._batch_size :]
        return _rows(self._ids, starts, self._window)


class ShuffledBatches:
    """Windows of `context` tokens that tile the text, in another order and from another offset
    for each pass over it: no token is a target twice before (nearly) all have been one once.
    Of each pass up to two windows' worth at the ends is left out."""

    def __init__(
        self,
        ids: NDArray[Any],
        *,
        batch_size: int,
        context: int,
        seed: int,
        grad_accum: int = 1,
    ) -> None:
        """`ids` is one-dimensional and may be memory-mapped; a step has `grad_accum` batches.

        Raises:
            DataError: there are fewer than `context + 1` tokens.
        """
        _check_length(ids, context)
        self._ids, self._batch_size, self._grad_accum = ids, batch_size, grad_accum
        self._window = np.arange(context + 1)
        self._n_offsets = min(context, len(ids) - context)
        self._n_windows = max(1, (len(ids) - self._n_offsets) // context)
        # A batch may reach from one pass into the next.
        self._starts = lru_cache(maxsize=2)(self._starts_of_pass)
        self._seed = seed

    def at(self, step: int, micro: int = 0) -> tuple[Ids, Ids]:
        """See `Batches.at`."""
        first = ((step - 1) * self._grad_accum + micro) * self._batch_size
        passes, places = np.divmod(np.arange(first, first + self._batch_size), self._n_windows)
        starts = np.concatenate(
            [self._starts(int(n))[places[passes == n]] for n in np.unique(passes)]
        )
        return _rows(self._ids, starts, self._window)

    def _starts_of_pass(self, n: int) -> Ids:
        """First tokens of the windows of the n-th pass over the text, in the order of the day."""
        draw = np.random.default_rng((self._seed, n))
        offset = draw.integers(0, self._n_offsets)
        return offset + draw.permutation(self._n_windows) * (len(self._window) - 1)


def make_batches(ids: NDArray[Any], config: TrainConfig) -> Batches:
    """The rows that the config asks for.

    Raises:
        DataError: there are fewer than `context + 1` tokens.
    """
    size = {"batch_size": config.batch_size, "context": config.context, "seed": config.seed}
    if config.rows == "shuffled":
        return ShuffledBatches(ids, **size, grad_accum=config.grad_accum)
    return RandomBatches(ids, **size)


def _rows(ids: NDArray[Any], starts: Ids, window: Ids) -> tuple[Ids, Ids]:
    rows = ids[starts[:, None] + window].astype(np.int64)
    return rows[:, :-1], rows[:, 1:]


def _check_length(ids: NDArray[Any], context: int) -> None:
    if len(ids) <= context:
        raise DataError(
            f"The training text is too short: {len(ids)} tokens for context={context}.",
            hint=f"Choose a longer text, or context={max(1, len(ids) // 8)}.",
        )
