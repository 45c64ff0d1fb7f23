"""Predictors that only count: what a loss means, in words that everybody knows.

An n-gram says how likely a token is after the n - 1 before it, from how often it followed them
in the training text. A little is taken from each count and left to the next shorter context, down
to the uniform distribution: interpolated, modified Kneser-Ney smoothing (Chen and Goodman 1998,
§3). There the shorter contexts do not count how often a token occurred, but after how many
different tokens.

Every n-gram is a distribution: over the vocabulary it sums to 1, after any context.

Contexts are numbered, not hashed: an n-gram's number is the rank of (number of its first n - 1
tokens, last token) among all that occur, so that no two share one, and all work is sorting.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ORDERS = 6
"""n of the longest n-gram: in a text of a million characters longer ones predict no better."""
DISCOUNTED = 3
"""Counts from here on are discounted alike."""
LEAST_DISCOUNT = 0.05
"""Something must be left for what was never seen."""

Ids = NDArray[Any]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def ngram_probabilities(
    train: Ids, held_out: Ids, vocab_size: int, orders: int = ORDERS
) -> Iterator[Floats]:
    """Of each held-out token, given all of `train` and what is held out before it, by the 1-gram,
    the 2-gram, …: float64 of shape (len(held_out),) each.

    Args:
        train: what is counted; it stands right before `held_out`.
        orders: n of the longest one; no longer than `train`.
    """
    tokens = np.concatenate([train, held_out]).astype(np.int64)
    contexts, n_contexts = np.zeros(len(tokens), np.int64), 1
    backed_off = np.full(len(held_out), 1 / vocab_size)
    shorter: _Grams | None = None
    for n_before in range(min(orders, len(train))):
        n_counted = len(train) - n_before
        grams = _grams(contexts, n_contexts, tokens[n_before:], vocab_size, n_counted)
        if shorter is not None:
            backed_off = shorter.smoothed(grams.continuations(shorter), backed_off)
        yield grams.smoothed(grams.seen, backed_off)
        contexts, n_contexts, shorter = grams.numbers[:-1], len(grams.seen), grams


@dataclass(frozen=True, slots=True)
class _Grams:
    """The n-grams of one n: which stands where, and how often each was counted."""

    numbers: Ints
    """Of the one that ends at each place."""
    seen: Ints
    """By number: how often in the training text."""
    context_of: Ints
    """By number: that of its first n - 1 tokens."""
    n_contexts: int
    n_counted: int
    """Places in the training text; those behind them are held out."""
    contexts: Ints
    """At each held-out place."""

    def continuations(self, shorter: _Grams) -> Ints:
        """Of each n-gram of `shorter`: how many different tokens it was seen to follow."""
        ends_in = np.empty(len(self.seen), np.int64)
        ends_in[self.numbers] = shorter.numbers[1:]
        return np.bincount(ends_in[self.seen > 0], minlength=len(shorter.seen))

    def smoothed(self, counts: Ints, backed_off: Floats) -> Floats:
        """Probability of each held-out token, from what its shorter context says of it."""
        off = _discounts(counts)[np.minimum(counts, DISCOUNTED)]
        total, left = (
            np.bincount(self.context_of, weights=values, minlength=self.n_contexts)[self.contexts]
            for values in (counts, off)
        )
        own = (counts - off)[self.numbers[self.n_counted :]]
        share = (own + left * backed_off) / np.maximum(total, 1)
        return np.where(total > 0, share, backed_off)


def _grams(
    contexts: Ints, n_contexts: int, tokens: Ints, vocab_size: int, n_counted: int
) -> _Grams:
    """Those made of a context and the token behind it."""
    found, numbers = np.unique(contexts * vocab_size + tokens, return_inverse=True)
    return _Grams(
        numbers=numbers,
        seen=np.bincount(numbers[:n_counted], minlength=len(found)),
        context_of=found // vocab_size,
        n_contexts=n_contexts,
        n_counted=n_counted,
        contexts=contexts[n_counted:],
    )


def _discounts(counts: Ints) -> Floats:
    """What is taken from a count of 0, 1, 2, and 3 or more; the one of Ney, Essen and Kneser
    (1994) where too few of these counts occur to tell three apart."""
    n1, n2, n3, n4 = np.bincount(np.minimum(counts, 5), minlength=6)[1:5].tolist()
    share = n1 / (n1 + 2 * n2) if n1 and n2 else 0.5
    if n3 and n4 and n1 and n2:
        found = [1 - 2 * share * n2 / n1, 2 - 3 * share * n3 / n2, 3 - 4 * share * n4 / n3]
    else:
        found = [share] * DISCOUNTED
    return np.array([0.0, *np.clip(found, LEAST_DISCOUNT, range(1, DISCOUNTED + 1))])
