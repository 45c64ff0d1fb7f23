"""How far the predictions of an approximate model are from those of the model in full.

Both read the same windows of a text; every token is scored exactly once, and all numbers are of
pairs at the same token, in float64. Intervals take blocks of neighbouring tokens as independent.

Shape suffixes: T scored positions · V vocab_size.

Source of the figures: llama.cpp, tools/perplexity, --kl-divergence. Unlike there the first half
of a window is scored too, and the interval of a mean is not that of independent tokens.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.device import Device
from core.events import Quality
from core.measure.evaluate import LOGITS_PER_BATCH, batched, interval_of_blocks, windows
from core.model.transformer import Transformer

PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)
BEYOND = 10
"""So many tokens must lie beyond a percentile for it to be told."""
Numbers = NDArray[np.float64]


class Pairs:
    """What two models say about the same tokens, in the order of the text."""

    def __init__(self) -> None:
        self._rows: list[Numbers] = []

    def add(self, before_TV: Tensor, after_TV: Tensor, targets_T: Tensor) -> None:
        """Compare logits at T positions, whose right tokens are `targets_T`."""
        logs = [part.double().log_softmax(-1) for part in (before_TV, after_TV)]
        right = [part.gather(1, targets_T[:, None])[:, 0] for part in logs]
        # What has probability 0 adds nothing, whatever the other one gives it.
        share_TV = logs[0].exp()
        kld_T = torch.where(share_TV > 0, share_TV * (logs[0] - logs[1]), 0.0).sum(1)
        same_T = (before_TV.argmax(1) == after_TV.argmax(1)).double()
        figures = torch.stack(
            (-right[0], -right[1], kld_T.clamp(min=0), right[1].exp() - right[0].exp(), same_T)
        )
        self._rows.append(figures.cpu().numpy())

    def result(self, context: int) -> Quality:
        """Of one token or more.

        Args:
            context: length of a block of the text.
        """
        before, after, kld, dp, same = np.concatenate(self._rows, 1)
        mean_before, ci_before = _mean(before, context)
        mean_after, ci_after = _mean(after, context)
        ln_ratio, ln_ratio_ci95 = _mean(after - before, context)
        mean_kld, kld_ci95 = _mean(kld, context)
        square, square_ci95 = _mean(dp * dp, context)
        same_top1, same_top1_ci95 = _mean(same, context)
        return Quality(
            tokens=len(kld),
            context=context,
            loss_before=mean_before,
            loss_after=mean_after,
            perplexity_before=_exp(mean_before),
            perplexity_before_ci95=_both(_exp, ci_before),
            perplexity_after=_exp(mean_after),
            perplexity_after_ci95=_both(_exp, ci_after),
            ln_ratio=ln_ratio,
            ln_ratio_ci95=ln_ratio_ci95,
            kld=mean_kld,
            kld_ci95=kld_ci95,
            kld_percentiles=percentiles(kld),
            kld_max=float(kld.max()),
            rms_dp=math.sqrt(square),
            rms_dp_ci95=_both(_root, square_ci95),
            same_top1=same_top1,
            same_top1_ci95=(max(0.0, same_top1_ci95[0]), min(1.0, same_top1_ci95[1])),
        )


def percentiles(values: Numbers) -> tuple[tuple[float, float], ...]:
    """(percent, value) of those that so many values can tell; the median of any number."""
    n = len(values)
    told = [p for p in PERCENTILES if p == 50 or round(n * (100 - p) / 100, 6) >= BEYOND]
    return tuple((p, float(v)) for p, v in zip(told, np.percentile(values, told), strict=True))


@torch.inference_mode()
def compare(
    before: Transformer, after: Transformer, ids: NDArray[Any], context: int, device: Device
) -> Generator[float, None, Quality]:
    """Score `ids`, at least 2, by both models; tells the share that is done."""
    before.eval()
    after.eval()
    pairs = Pairs()
    size = max(1, LOGITS_PER_BATCH // (context * before.config.vocab_size))
    for batch in batched(windows(len(ids), context, context), size):
        rows = np.stack([ids[w.begin : w.end + 1] for w in batch]).astype(np.int64)
        inputs, targets = device.tensor(rows[:, :-1]), device.tensor(rows[:, 1:])
        with device.autocast():
            left, right = (model(inputs).float().flatten(0, 1) for model in (before, after))
        pairs.add(left, right, targets.flatten())
        yield batch[-1].end / (len(ids) - 1)
    return pairs.result(context)


def _mean(values: Numbers, context: int) -> tuple[float, tuple[float, float]]:
    """Mean, and its interval."""
    return float(values.mean()), interval_of_blocks(values, context)


def _both(function: Any, bounds: Sequence[float]) -> tuple[float, float]:
    return function(bounds[0]), function(bounds[1])


def _exp(loss: float) -> float:
    return math.exp(loss) if loss < 700 else math.inf


def _root(square: float) -> float:
    return math.sqrt(max(0.0, square))
