"""Rows of a task's text, drawn at random: each begins with a problem.

Invariant: as in `core.text.batches`, a batch is a function of (seed, step, micro) alone.
"""

from __future__ import annotations

import numpy as np

from core.config import RunConfig
from core.errors import DataError
from core.text import batches
from core.text.batches import Batches
from core.text.problems import Ids, Problems, find_problems
from core.text.tokenizer import Tokenizer

IGNORED = -100
"""A target that is not learned: what cross entropy leaves out, unless it is told otherwise."""


def make_batches(config: RunConfig, tokenizer: Tokenizer, ids: Ids) -> Batches:
    """The rows that a run learns from: of a task those that begin with a problem.

    Raises:
        DataError: the text is too short for them.
    """
    train = config.train
    if not config.text.is_task:
        return batches.make_batches(ids, train)
    size = {"batch_size": train.batch_size, "context": train.context, "seed": train.seed}
    problems = find_problems(ids, tokenizer, begins_with_one=True)
    return ProblemBatches(ids, problems, **size, answers_only=train.answers_only)


class ProblemBatches:
    """Windows of `context` tokens that start where a problem does, all problems equally likely."""

    def __init__(
        self,
        ids: Ids,
        problems: Problems,
        *,
        batch_size: int,
        context: int,
        seed: int,
        answers_only: bool,
    ) -> None:
        """
        Args:
            answers_only: targets that are not part of an answer become `IGNORED`; the mean over
                the others is the loss.

        Raises:
            DataError: a problem does not fit into a row, or there is no room for one.
        """
        longest = int(problems.lengths.max(initial=0))
        if not longest or longest > context + 1:
            raise DataError(
                f"The longest problem has {longest} tokens, and context={context} has room for"
                f" {context + 1}.",
                hint=f"Try context={max(longest - 1, 1)}." if longest else "Choose a longer text.",
            )
        self._starts = problems.starts[problems.starts + context < len(ids)]
        if not len(self._starts):
            raise DataError(
                f"The training text has no room for a row: {len(ids)} tokens, context={context}.",
                hint="Choose a longer text or a shorter context.",
            )
        self._ids, self._batch_size, self._seed = ids, batch_size, seed
        self._is_learned = problems.is_answer if answers_only else None
        self._window = np.arange(context + 1)

    def at(self, step: int, micro: int = 0) -> tuple[Ids, Ids]:
        """`(inputs, targets)` of one of a step's batches, int64 of shape (batch_size,
        context); targets are inputs shifted by one, or `IGNORED`."""
        draw = np.random.default_rng((self._seed, step))
        drawn = draw.integers(0, len(self._starts), (micro + 1) * self._batch_size)
        places = self._starts[drawn[-self._batch_size :], None] + self._window
        rows = self._ids[places].astype(np.int64)
        targets = rows[:, 1:]
        if self._is_learned is not None:
            targets = np.where(self._is_learned[places[:, 1:]], targets, IGNORED)
        return rows[:, :-1], targets
