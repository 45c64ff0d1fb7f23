"""The corpus `markov`: characters of which each depends on the few before it, by known odds.

The corpus is called `markov:ORDER:ALPHABET:CHARS:SEED`: CHARS characters, each drawn by odds that
its ORDER predecessors decide, out of a space and ALPHABET - 1 letters. The odds are drawn from the
seed, too; powers of two, so that some contexts leave little doubt and others much. All draws
are integers from PCG64, whose stream numpy promises never to change (NEP 19).

The entropy rate is exact: that of the odds after each context, weighed by how often the chain is in
it in the long run. The floor of a held-out stretch is the sum of -log p of its characters, given
those before; it leaves out the first word, which the model is not scored on. It cannot be crossed
in expectation: a model that is told less than the ORDER characters before, or is given credit
for one spelling in tokens only, expects a greater loss.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from core.text.generated import Floor, first_word, random_bits
from core.text.grammar import Bits

ALPHABET = " abcdefghijklmnopqrstuvwxyz"
STATES = 1 << 16
"""Contexts that a chain may have, so that its entropy takes a moment only."""

_NAME = re.compile(r"markov:(\d+):(\d+):(\d+):(\d+)")
_PIECE = 1 << 14
_BLOCK = 256
_POWERS = 8
_SETTLED = 1e-13


@dataclass(frozen=True, slots=True)
class Chain:
    """S contexts, A characters: `weights[s, a]` are the odds of `a` after the context `s`, int64 of
    shape (S, A). The last character of a context is the last digit of its number in base A."""

    weights: NDArray[np.int64]

    @property
    def odds(self) -> NDArray[np.float64]:
        """Probabilities: each row sums to 1."""
        return self.weights / self.weights.sum(1, keepdims=True)

    def entropy(self) -> float:
        """Of a character given all before it, in nats: the entropy rate."""
        odds = self.odds
        return float(self.stationary() @ -(odds * np.log(odds)).sum(1))

    def stationary(self) -> NDArray[np.float64]:
        """How often the chain is in each context in the long run; by power iteration, which
        converges since all odds are positive."""
        odds = self.odds
        n_states, n_chars = odds.shape
        share = np.full(n_states, 1 / n_states)
        while True:
            # From context (c1 … ck) by the character a to (c2 … ck a), whatever c1 was.
            moved = share[:, None] * odds
            after = moved.reshape(n_chars, -1).sum(0)
            if np.abs(after - share).sum() < _SETTLED:
                return after
            share = after


def is_markov(name: str) -> bool:
    """`name` is that of a text by a Markov chain."""
    return _NAME.fullmatch(name) is not None


def markov_pieces(name: str) -> Iterator[str]:
    """The text `name`, piece by piece."""
    order, size, n_chars, seed = _numbers(name)
    bits = random_bits(seed)
    weights = _drawn_weights(order, size, bits)
    sums = [list(accumulate(row)) for row in weights.tolist()]
    context, n_states = 0, len(sums)
    for begin in range(0, n_chars, _PIECE):
        found = []
        for _ in range(min(_PIECE, n_chars - begin)):
            row = sums[context]
            char = bisect_right(row, bits() % row[-1])
            found.append(ALPHABET[char])
            context = (context * size + char) % n_states
        yield "".join(found)


def chain_of(name: str) -> Chain:
    """The chain that writes the text `name`."""
    order, size, _, seed = _numbers(name)
    return Chain(_drawn_weights(order, size, random_bits(seed)))


def markov_floor(name: str, begin: int, end: int, n_tokens: int) -> Floor:
    """Of the characters `begin` … `end - 1` of the text `name`, held out as `n_tokens` tokens,
    of which the first is not scored."""
    order = _numbers(name)[0]
    text = _stretch(name, max(0, begin - order), end)
    before = min(order, begin)
    known = before + first_word(text[before:])
    nats = _costs(chain_of(name), text)[known:]
    scored = n_tokens - 1
    return Floor(float(nats.sum()) / scored, _error_of_sum(nats) / scored)


def _stretch(name: str, begin: int, end: int) -> str:
    """Characters `begin` … `end - 1`."""
    parts, at = [], 0
    for piece in markov_pieces(name):
        parts.append(piece[max(0, begin - at) : max(0, end - at)])
        at += len(piece)
    return "".join(parts)


def _costs(chain: Chain, text: str) -> NDArray[np.float64]:
    """-log p of each character; what stands before the text is taken for spaces, as its writer
    does."""
    n_states, size = chain.weights.shape
    order = round(math.log(n_states, size))
    number_of = np.zeros(128, np.int64)
    number_of[np.frombuffer(ALPHABET.encode(), np.uint8)] = np.arange(len(ALPHABET))
    chars = number_of[np.frombuffer(text.encode(), np.uint8)]
    padded = np.concatenate([np.zeros(order, np.int64), chars])
    context = np.zeros(len(text), np.int64)
    for i in range(order):
        context = context * size + padded[i : i + len(text)]
    return -np.log(chain.odds[context, padded[order:]])


def _error_of_sum(nats: NDArray[np.float64]) -> float:
    """Standard error of a sum of dependent values, from blocks of them."""
    n = len(nats) // _BLOCK
    if n < 2:
        return math.inf
    sums = nats[: n * _BLOCK].reshape(n, _BLOCK).sum(1)
    return float(sums.std(ddof=1)) * math.sqrt(len(nats) / _BLOCK)


def _drawn_weights(order: int, size: int, bits: Bits) -> NDArray[np.int64]:
    draws = [1 << bits() % _POWERS for _ in range(size ** (order + 1))]
    return np.array(draws, np.int64).reshape(size**order, size)


def _numbers(name: str) -> tuple[int, int, int, int]:
    found = _NAME.fullmatch(name)
    assert found is not None
    order, size, n_chars, seed = map(int, found.groups())
    return order, size, n_chars, seed
