"""Rows of a token stream, drawn at random.

Invariant: a batch is a function of (seed, step, micro) alone. A resumed run needs no more
than the step to draw what an uninterrupted one would have. The batches of a step are the
rows, in order, of the one big batch they stand for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError

Ids = NDArray[np.int64]


class RandomBatches:
    """Windows of `context` tokens that start anywhere, all starts equally likely."""

    def __init__(self, ids: NDArray[Any], *, batch_size: int, context: int, seed: int) -> None:
        """`ids` is one-dimensional and may be memory-mapped.

        Raises:
            DataError: there are fewer than `context + 1` tokens.
        """
        if len(ids) <= context:
            raise DataError(
                f"The training text is too short: {len(ids)} tokens for context={context}.",
                hint=f"Choose a longer text, or context={max(1, len(ids) // 8)}.",
            )
        self._ids, self._batch_size, self._seed = ids, batch_size, seed
        self._window = np.arange(context + 1)

    def at(self, step: int, micro: int = 0) -> tuple[Ids, Ids]:
        """`(inputs, targets)` of one of a step's batches, int64 of shape (batch_size,
        context); targets are inputs shifted by one."""
        draw = np.random.default_rng((self._seed, step))
        n_starts = len(self._ids) - len(self._window) + 1
        starts = draw.integers(0, n_starts, (micro + 1) * self._batch_size)[-self._batch_size :]
        rows = self._ids[starts[:, None] + self._window].astype(np.int64)
        return rows[:, :-1], rows[:, 1:]
