"""How the next token is chosen: frozen rules over the full vocabulary, one after another.

Shape suffix: V vocab_size.

First come the penalties, which also see the tokens so far, those of the prompt included:
repetition, then presence and frequency. Then temperature, top-k, top-p and min-p, which see
the logits alone. Each takes logits and returns logits, with -inf for what it cuts; a penalty
cuts nothing, a rule leaves at least the best token. Temperature 0 is greedy, not a division by
zero: the best token after the penalties.

Sources: repetition penalty, arXiv:1909.05858 §4.1, and for negative logits the definition of
Hugging Face transformers (`RepetitionPenaltyLogitsProcessor`); presence and frequency
penalty, OpenAI's API reference (`logit -= presence * [count > 0] + frequency * count`);
top-k, arXiv:1805.04833 §5; top-p, arXiv:1904.09751 §3.1; min-p, arXiv:2407.01082.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.config import SamplingConfig
from core.errors import MinitfError

Rule = Callable[[Tensor], Tensor]
Penalty = Callable[[Tensor, Sequence[int]], Tensor]
"""Logits and the ids of the text so far, oldest first, to logits."""

TINIEST_TEMPERATURE = 1e-30


@dataclass(frozen=True, slots=True)
class RepetitionPenalty:
    """Divide a positive logit of a token that was seen, multiply a negative one."""

    penalty: float
    window: int = 0
    """Newest tokens looked at; 0 is all."""

    def __call__(self, logits_V: Tensor, ids: Sequence[int]) -> Tensor:
        """Shape (V,) to (V,)."""
        is_seen_V = _counts(ids, self.window, logits_V) > 0
        lowered_V = torch.where(logits_V > 0, logits_V / self.penalty, logits_V * self.penalty)
        return torch.where(is_seen_V, lowered_V, logits_V)


@dataclass(frozen=True, slots=True)
class CountPenalty:
    """Take `presence` off the logit of a token that was seen, and `frequency` for each time."""

    presence: float
    frequency: float
    window: int = 0
    """Newest tokens looked at; 0 is all."""

    def __call__(self, logits_V: Tensor, ids: Sequence[int]) -> Tensor:
        """Shape (V,) to (V,)."""
        count_V = _counts(ids, self.window, logits_V)
        return logits_V - self.presence * (count_V > 0) - self.frequency * count_V


def _counts(ids: Sequence[int], window: int, logits_V: Tensor) -> Tensor:
    """How often each token is among the newest `window` ids, shape (V,)."""
    recent = torch.tensor(ids[-window:], dtype=torch.int64)  # from -0 on: all of them
    return recent.bincount(minlength=logits_V.numel()).to(logits_V.device)


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
    """Penalties, then rules, each in order; then one throw of the dice, or the best token."""

    rules: tuple[Rule, ...] = ()
    penalties: tuple[Penalty, ...] = ()
    is_greedy: bool = False

    def choose(self, logits_V: Tensor, generator: torch.Generator, ids: Sequence[int] = ()) -> int:
        """The next token id, after the `ids` so far.

        Raises:
            MinitfError: a logit is NaN or all are infinite: the model is broken.
        """
        best = logits_V.max().item()
        if not math.isfinite(best):
            raise MinitfError(
                f"The model's largest logit is {best}: its weights are damaged.",
                hint="Use an earlier checkpoint: RUN@STEP.",
            )
        for penalty in self.penalties:
            logits_V = penalty(logits_V, ids)
        if self.is_greedy:
            return int(logits_V.argmax())
        for rule in self.rules:
            logits_V = rule(logits_V)
        return int(logits_V.softmax(0).cpu().multinomial(1, generator=generator))


def make_sampler(config: SamplingConfig) -> Sampler:
    """The penalties and rules that the config switches on, in its order."""
    penalties: list[Penalty] = []
    if config.repetition_penalty != 1:
        penalties.append(RepetitionPenalty(config.repetition_penalty, config.penalty_window))
    if config.presence_penalty or config.frequency_penalty:
        penalties.append(
            CountPenalty(config.presence_penalty, config.frequency_penalty, config.penalty_window)
        )
    if config.temperature == 0:
        return Sampler((), tuple(penalties), is_greedy=True)
    rules: list[Rule] = [Temperature(config.temperature)]
    if config.top_k:
        rules.append(TopK(config.top_k))
    if config.top_p < 1:
        rules.append(TopP(config.top_p))
    if config.min_p:
        rules.append(MinP(config.min_p))
    return Sampler(tuple(rules), tuple(penalties))
