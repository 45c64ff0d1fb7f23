"""What a run would learn from, for those who look ahead of it: its tokens, or as many others."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.config import RunConfig, TrainConfig
from core.store.baselines import with_baselines
from core.store.floor import floor_facts
from core.store.stages import IsStopping, Telling
from core.store.tokens import TokenizedText, tokenize_corpus
from core.text import batches
from core.text.batches import Batches
from core.text.problem_batches import make_batches
from core.text.sources import full_name, size_of

SMALL_BYTES = 4 << 20
"""A text up to this size is read and tokenised at once; a task of any size is."""
BYTES_PER_TOKEN = {"byte": 1.0, "char": 1.0, "bpe": 3.5}
"""Guesses, for a text that is too large to be tokenised for a forecast."""
TOKENIZED_PER_S = 9e6
"""Bytes of such a text, on one core of a laptop; see docs/lab-notes.md, "A gigabyte"."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What a run would learn from and be scored on, or something as large."""

    train_ids: NDArray[Any]
    validation_ids: NDArray[Any]
    n_train: int
    n_validation: int
    vocab_size: int
    text: TokenizedText | None = None
    """None where the text is too large to be read for a forecast."""
    floor: float | None = None
    """The least loss that the held-out text allows, where its source is known; nats per token."""
    setup_s: float = 0.0
    """To have the text again, tokenised and counted."""

    def batches(self, config: RunConfig) -> Batches:
        """What the run's steps would be given."""
        if self.text is None:
            return batches.make_batches(self.train_ids, config.train)
        return make_batches(config, self.text.tokenizer, self.train_ids)

    def settled(self, config: RunConfig) -> RunConfig:
        """With what only the text decides: the number of token ids and of steps."""
        return fitted(config, self.vocab_size, self.n_train)


def fitted(config: RunConfig, vocab_size: int, n_train: int) -> RunConfig:
    """To a text of so many token ids, and tokens to learn from: budgets become one in steps."""
    model = replace(config.model, vocab_size=vocab_size)
    steps = budget_steps(config.train, n_train)
    return replace(config, model=model, train=replace(config.train, steps=steps))


def budget_steps(train: TrainConfig, n_train: int) -> int:
    """At which the nearest of its budgets in steps, tokens and epochs is spent; 0 without one.

    Args:
        n_train: tokens of the text that is learned from.
    """
    limits = [train.planned_steps]
    if train.epochs:
        limits.append(math.ceil(train.epochs * n_train / train.tokens_per_step))
    return min((n for n in limits if n), default=0)


def find_ground(
    config: RunConfig, guessed_vocab: int, is_stopping: IsStopping
) -> Telling[Ground | None]:
    """What its steps would learn from; None if it was stopped. A stream is left to the run
    itself: it can be read only once.

    Args:
        guessed_vocab: number of token ids where the text is too large to find out.

    Raises:
        MinitfError: the text cannot be used.
    """
    n_bytes = size_of(full_name(config.text.source))
    if n_bytes is not None and (n_bytes <= SMALL_BYTES or config.text.is_task):
        return (yield from _read(config, is_stopping))
    n_bytes = n_bytes or SMALL_BYTES
    n_tokens = int(n_bytes / BYTES_PER_TOKEN[config.text.tokenizer])
    n_tokens = min(n_tokens, config.text.max_tokens or n_tokens)
    n_validation = int(n_tokens * config.text.validation_fraction)
    ids = np.random.default_rng(config.train.seed).integers(0, guessed_vocab, SMALL_BYTES)
    return Ground(
        ids,
        ids,
        n_tokens - n_validation,
        n_validation,
        guessed_vocab,
        setup_s=n_bytes / TOKENIZED_PER_S,
    )


def _read(config: RunConfig, is_stopping: IsStopping) -> Telling[Ground | None]:
    """The text, twice: the second time is what the run will do, which finds it in the cache."""
    text = yield from _tokenized(config, is_stopping)
    began = time.perf_counter()
    if text is not None:
        text = yield from _tokenized(config, is_stopping)
    if text is None:
        return None
    return Ground(
        text.train_ids,
        text.validation_ids,
        len(text.train_ids),
        len(text.validation_ids),
        text.tokenizer.vocab_size,
        text=text,
        floor=floor_facts(config.text, text).get("floor_loss"),
        setup_s=time.perf_counter() - began,
    )


def _tokenized(config: RunConfig, is_stopping: IsStopping) -> Telling[TokenizedText | None]:
    return with_baselines(config, tokenize_corpus(config.text, is_stopping), is_stopping)
