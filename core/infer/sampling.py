"""How the next token is chosen: frozen rules over the full vocabulary, one after another.

Shape suffix: V vocab_size.

Every rule takes logits and returns logits, with -inf for what it cuts; each leaves at least
the best token. Temperature 0 is greedy, not a division by zero.

Sources: top-k, arXiv:1805.04833 §5; top-p, arXiv:1904.09751 §3.1; min-p, arXiv:2407.01082.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from core.config import SamplingConfig
from core.errors import MinitfError

Rule = Callable[[Tensor], Tensor]
TINIEST_TEMPERATURE = 1e-30


@dataclass(frozen=True, slots=True)
class Temperature:
    """Sharpen (below 1) or flatten (above 1)."""

    value: float

    def __call__(self, logits_V: Tensor) -> Tensor:
        """Shape (V,) to (V,)."""
        # From the maximum down, so that a tiny temperature cannot overflow; and not so tiny
        # that float32 takes it for zero.
        return (logits_V - logits_V.max()) / max(self.value, TINIEST_TEMPERATURE)


@dataclass(frozen=True, slots=True)
class TopK:
    """Keep the k most likely tokens."""

    k: int

    def __call__(self, logits_V: Tensor) -> Tensor:
        """Shape (V,) to (V,)."""
        if self.k >= logits_V.numel():
            return logits_V
        kept = logits_V.topk(self.k).indices
        return torch.full_like(logits_V, -math.inf).index_copy(0, kept, logits_V[kept])


@dataclass(frozen=True, slots=True)
class TopP:
    """Keep the fewest tokens whose probabilities sum to p or more."""

    p: float

    def __call__(self, logits_V: Tensor) -> Tensor:
        """Shape (V,) to (V,)."""
        ordered_V, order_V = logits_V.sort(descending=True, stable=True)
        probability_V = ordered_V.softmax(0)
        sum_before_V = probability_V.cumsum(0) - probability_V
        is_cut_V = sum_before_V >= self.p
        is_cut_V[0] = False
        return logits_V.index_fill(0, order_V[is_cut_V], -math.inf)


@dataclass(frozen=True, slots=True)
class MinP:
    """Drop tokens less likely than this share of the most likely one."""

    share: float

    def __call__(self, logits_V: Tensor) -> Tensor:
        """Shape (V,) to (V,)."""
        return logits_V.masked_fill(logits_V < logits_V.max() + math.log(self.share), -math.inf)


@dataclass(frozen=True, slots=True)
class Sampler:
    """Rules in order, then one throw of the dice. Without rules it is greedy."""

    rules: tuple[Rule, ...] = ()
    is_greedy: bool = False

    def choose(self, logits_V: Tensor, generator: torch.Generator) -> int:
        """The next token id.

        Raises:
            MinitfError: a logit is NaN or all are infinite: the model is broken.
        """
        best = logits_V.max()
        if not torch.isfinite(best):
            raise MinitfError(
                f"The model's largest logit is {best.item()}: its weights are damaged.",
                hint="Use an earlier checkpoint: RUN@STEP.",
            )
        if self.is_greedy:
            return int(logits_V.argmax())
        for rule in self.rules:
            logits_V = rule(logits_V)
        return int(logits_V.softmax(0).cpu().multinomial(1, generator=generator))


def make_sampler(config: SamplingConfig) -> Sampler:
    """The rules that the config switches on, in its order."""
    if config.temperature == 0:
        return Sampler(is_greedy=True)
    rules: list[Rule] = [Temperature(config.temperature)]
    if config.top_k:
        rules.append(TopK(config.top_k))
    if config.top_p < 1:
        rules.append(TopP(config.top_p))
    if config.min_p:
        rules.append(MinP(config.min_p))
    return Sampler(tuple(rules))
