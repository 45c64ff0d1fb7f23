"""The loss of a text: every token scored exactly once.

A window of `context` tokens moves by `stride`; of each window only the tokens that no
earlier one scored are counted. With stride = context windows do not overlap; a smaller
stride gives each token more to look back at and costs more. The first token of a text has
nothing before it and is not scored.

With a KV cache each window is read through it, in one portion: what a cache gives does not depend
on the portions. Each token is scored without it too, so that what it costs is a paired difference.

Shape suffixes: B windows · T positions · N all of them, of all windows · V vocab_size.

Source of the protocol: Hugging Face, "Perplexity of fixed-length models".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from core.config import CacheConfig
from core.device import Device
from core.errors import DataError
from core.events import Evaluation, EvaluationProgressed
from core.measure.statistics import interval_of_mean
from core.model.kv_cache import KVCache, make_cache
from core.model.transformer import Transformer
from core.text.tokenizer import Tokenizer

LOGITS_PER_BATCH = 1 << 20
MIN_BLOCKS = 16
NO_CACHE = CacheConfig()


@dataclass(frozen=True, slots=True)
class Window:
    """Positions `begin` … `end - 1` are read; those from `score_from` on predict a token
    that is scored here."""

    begin: int
    score_from: int
    end: int


def windows(n_tokens: int, context: int, stride: int) -> Iterator[Window]:
    """Cover the `n_tokens - 1` predictions of a text, each exactly once."""
    scored, begin = 0, 0
    while scored < n_tokens - 1:
        end = min(begin + context, n_tokens - 1)
        yield Window(begin, scored, end)
        scored, begin = end, begin + stride


def evaluate(
    model: Transformer,
    tokenizer: Tokenizer,
    ids: NDArray[Any],
    *,
    context: int,
    stride: int,
    device: Device,
    cache: CacheConfig = NO_CACHE,
    keep: Callable[[NDArray[np.float64]], object] | None = None,
) -> Generator[EvaluationProgressed, None, Evaluation]:
    """Score `ids`; returns the evaluation, and tells how far it is after every batch.

    Args:
        cache: the KV cache through which the text is read.
        keep: is given the loss of each scored token, float64 of shape (tokens,).

    Raises:
        DataError: there is nothing to score.
    """
    if len(ids) < 2:
        raise DataError(
            f"The text is too short to evaluate: {len(ids)} tokens.", hint="Choose a longer text."
        )
    model.eval()
    tally = _Tally()
    size = max(1, LOGITS_PER_BATCH // (context * tokenizer.vocab_size))
    for batch in batched(windows(len(ids), context, stride), size):
        tally.add(_score(model, ids, batch, device, cache))
        yield EvaluationProgressed(tokens=tally.tokens, of=len(ids) - 1, loss=tally.loss)
    if keep is not None:
        keep(tally.losses)
    n_bytes = tokenizer.count_bytes(ids[1:])
    return _summed(tally, n_bytes, context=context, stride=stride, cache=cache)


def _summed(
    tally: _Tally, n_bytes: int, *, context: int, stride: int, cache: CacheConfig
) -> Evaluation:
    return Evaluation(
        loss=tally.loss,
        loss_ci95=interval_of_blocks(tally.losses, context),
        perplexity=exponential(tally.loss),
        bits_per_byte=tally.loss * tally.tokens / n_bytes / math.log(2),
        top1=tally.top1 / tally.tokens,
        top5=tally.top5 / tally.tokens,
        tokens=tally.tokens,
        bytes=n_bytes,
        stride=stride,
        context=context,
        cache=cache.label,
        cache_cost=None if tally.costs is None else float(tally.costs.mean()),
        cache_cost_ci95=None if tally.costs is None else interval_of_blocks(tally.costs, context),
    )


@dataclass(frozen=True, slots=True)
class _Scored:
    """Tokens in the order of the text."""

    losses: NDArray[np.float32]
    top1: int
    top5: int
    plain: NDArray[np.float32] | None
    """Losses without the cache; None if there is none."""


class _Tally:
    """Losses of the scored tokens, in the order of the text."""

    def __init__(self) -> None:
        self.tokens = self.top1 = self.top5 = 0
        self._sum = 0.0
        self._losses: list[NDArray[np.float32]] = []
        self._costs: list[NDArray[np.float32]] = []

    def add(self, scored: _Scored) -> None:
        self._losses.append(scored.losses)
        self._sum += float(scored.losses.sum(dtype=np.float64))
        self.tokens += len(scored.losses)
        self.top1 += scored.top1
        self.top5 += scored.top5
        if scored.plain is not None:
            self._costs.append(scored.losses - scored.plain)

    @property
    def loss(self) -> float:
        return self._sum / self.tokens

    @property
    def losses(self) -> NDArray[np.float64]:
        return np.concatenate(self._losses).astype(np.float64)

    @property
    def costs(self) -> NDArray[np.float64] | None:
        """Of the cache, of each token; None without one."""
        return np.concatenate(self._costs).astype(np.float64) if self._costs else None


def interval_of_blocks(values: NDArray[np.float64], context: int) -> tuple[float, float]:
    """95 % interval of the mean of what neighbouring tokens have, from blocks of `context` of
    them, shorter ones in a short text."""
    size = min(context, max(1, len(values) // MIN_BLOCKS))
    starts = np.arange(0, len(values), size)
    sums = np.add.reduceat(values, starts)
    return interval_of_mean(sums, np.diff(starts, append=len(values)))


def batched(found: Iterator[Window], size: int) -> Iterator[list[Window]]:
    """Neighbouring windows of one shape, up to `size` of them."""

    def shape(window: Window) -> tuple[int, int]:
        return window.end - window.begin, window.score_from - window.begin

    for _, alike in groupby(found, shape):
        rows = list(alike)
        yield from (rows[i : i + size] for i in range(0, len(rows), size))


@torch.inference_mode()
def _score(
    model: Transformer,
    ids: NDArray[Any],
    batch: list[Window],
    device: Device,
    cache: CacheConfig,
) -> _Scored:
    """Losses of the scored tokens, and how often one was first or among five."""
    rows = np.stack([ids[w.begin : w.end + 1] for w in batch]).astype(np.int64)
    skipped = batch[0].score_from - batch[0].begin
    inputs = device.tensor(rows[:, :-1])
    targets_BT = device.tensor(rows[:, 1 + skipped :])

    def read(held: KVCache | None) -> tuple[Tensor, NDArray[np.float32]]:
        with device.autocast():
            logits_BTV = model(inputs, held)[:, skipped:].float()
        rows_NV, targets_N = logits_BTV.flatten(0, 1), targets_BT.flatten()
        return logits_BTV, F.cross_entropy(rows_NV, targets_N, reduction="none").cpu().numpy()

    held = make_cache(
        model.config,
        device,
        cache.cache,
        window=cache.window,
        sinks=cache.sinks,
        batch_size=len(batch),
    )
    plain = None if held is None else read(None)[1]
    logits_BTV, losses = read(held)
    rank_BT = ranks(logits_BTV, targets_BT)
    return _Scored(losses, int((rank_BT < 1).sum()), int((rank_BT < 5).sum()), plain)


def ranks(logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
    """How many tokens were rated above the target; ties go by id, as argmax does. A target whose
    logit is no number is rated below all."""
    own_BT1 = logits_BTV.gather(2, targets_BT[..., None])
    above_BT = (~(logits_BTV <= own_BT1)).sum(2)
    ids_V = torch.arange(logits_BTV.size(2), device=logits_BTV.device)
    tied_BTV = (logits_BTV == own_BT1) & (ids_V < targets_BT[..., None])
    return above_BT + tied_BTV.sum(2)


def exponential(loss: float) -> float:
    """Perplexity of a loss; infinite where a float cannot hold it."""
    return math.exp(loss) if loss < 700 else math.inf
