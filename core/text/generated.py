"""The corpus `generated`: small stories whose probabilities are known, so that the least loss
any model can reach on them is known as well.

The corpus is called `generated:CHARS:SEED`; its text is ASCII, and made of whole stories until
there are at least CHARS characters. It depends on the grammar and the seed alone: draws are
integers from PCG64, whose stream numpy promises never to change (NEP 19).

The floor of a held-out stretch of the text is -log p of it, given all that stands before it and
given its first word. The expected loss of a model is not below it, whatever the model is, because

* the model is told less: neither what stands before the stretch nor what its window leaves out;
* of all the ways to spell the text in tokens it is given credit for one;
* the first token, which is not scored, is decided by the first word and what stands before.

That makes the floor too low by what the stretch's first story shares with its beginning, some
20 nats in all. What a model loses by its window is far more: with windows that do not overlap it
has often not seen how a story began. A split in tokens may end inside a story; the part that is
there has its own probability.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from core.text.grammar import Bits, Grammar, Written
from core.text.grammar_analysis import Moments, moments
from core.text.stories import stories

_NAME = re.compile(r"generated:(\d+):(\d+)")
_BLANK = re.compile(r"\s")
_DRAWS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class Floor:
    """The least loss on a held-out text, in nats per token."""

    loss: float
    se: float
    """How far luck in drawing the stories takes `loss` from the entropy of the grammar, per
    token of this text: the standard error of a ratio estimator with stories as blocks."""


def is_generated(name: str) -> bool:
    """`name` is that of a generated text."""
    return _NAME.fullmatch(name) is not None


def generated_pieces(name: str) -> Iterator[str]:
    """The stories of the text `name`, one after another."""
    return (story.text for story in _stories(name))


def entropy() -> Moments:
    """Of a story, exactly: its mean -log p and length."""
    return moments(stories())


def floor_of(name: str, begin: int, end: int, n_tokens: int) -> Floor:
    """Of the characters `begin` ... `end - 1` of the text `name`, held out as `n_tokens`
    tokens, of which the first is not scored."""
    grammar = stories()
    blocks: list[tuple[float, int]] = []
    total, at, known = 0.0, 0, -1
    for story in _stories(name):
        start, at = at, at + len(story.text)
        if at <= begin:
            continue
        if start >= end:
            break
        if known < 0:
            known = begin + first_word(story.text[begin - start :])
        total += _nats(grammar, story, known - start, end - start)
        if start >= begin and at <= end:
            blocks.append((story.nats, len(story.text)))
    scored = n_tokens - 1
    return Floor(total / scored, _error_of_mean(blocks) * (end - begin) / scored)


def first_word(text: str) -> int:
    """Characters up to the blank that ends the first word, the blank included. A blank at the
    start belongs to the word behind it; the newline at the end of a story stands alone."""
    blank = _BLANK.search(text, 1)
    return blank.end() if blank else len(text)


def _nats(grammar: Grammar, story: Written, known: int, end: int) -> float:
    """-log p of what is in the story from `known` to `end`, given what is before."""
    nats = story.nats
    if end < len(story.text):
        nats = -math.log(grammar.probability_of_beginning(story.text[:end]))
    if known > 0:
        nats += math.log(grammar.probability_of_beginning(story.text[: min(known, end)]))
    return nats


def _error_of_mean(blocks: list[tuple[float, int]]) -> float:
    """Of nats per character; infinite when there are too few stories to tell."""
    n = len(blocks)
    if n < 2:
        return math.inf
    nats, chars = np.array(blocks, float).T
    residuals = nats - nats.sum() / chars.sum() * chars
    return math.sqrt(n / (n - 1) * float((residuals**2).sum())) / float(chars.sum())


def _stories(name: str) -> Iterator[Written]:
    found = _NAME.fullmatch(name)
    assert found is not None
    n_chars, seed = int(found[1]), int(found[2])
    grammar, bits, written = stories(), random_bits(seed), 0
    while written < n_chars:
        story = grammar.write(bits)
        written += len(story.text)
        yield story


def random_bits(seed: int) -> Bits:
    """A source of 64 random bits at a time."""
    source = np.random.PCG64(seed)
    numbers = iter(lambda: source.random_raw(_DRAWS_AT_ONCE).tolist(), None)
    return chain.from_iterable(numbers).__next__
