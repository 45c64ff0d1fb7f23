"""How near a fast path comes to the plain engine: the same tokens, logits and distributions.

Shape suffixes: V vocab_size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from core.events import Proof
from core.infer.decoder import Decoder

MAX_HELD_OUT = 512


@dataclass(frozen=True, slots=True)
class Rounding:
    """How far two ways to compute the same may lie apart."""

    near_tie: float
    """Between the plain engine's two best logits: closer than this, either choice is right."""
    kld: float
    """Nats, as a mean over positions."""


ROUNDING = {"float32": Rounding(1e-4, 1e-6), "bfloat16": Rounding(0.125, 1e-2)}


@dataclass(slots=True)
class _Comparison:
    """Sums over the positions compared so far."""

    positions: int = 0
    largest: float = 0.0
    kld: float = 0.0
    loss_difference: float = 0.0

    def add(self, plain_V: Tensor, fast_V: Tensor) -> tuple[Tensor, Tensor]:
        """Compare two logits; returns their log probabilities, in float64."""
        left_V, right_V = (log_softmax(x.double(), -1) for x in (plain_V, fast_V))
        self.positions += 1
        self.largest = max(self.largest, (plain_V - fast_V).abs().max().item())
        self.kld += (left_V.exp() * (left_V - right_V)).sum().item()
        return left_V, right_V


def prove(
    plain: Decoder,
    fast: Decoder,
    prompt: Sequence[int],
    n: int,
    held_out: Sequence[int],
    *,
    is_exact: bool = True,
    dtype: str = "float32",
    called: str = "torch, no cache",
    is_stopping: Callable[[], bool] = lambda: False,
) -> Proof:
    """Compare two decoders that hold nothing yet, position by position.

    On generated text both follow the fast one's choices, so that one near tie does not make
    everything after it differ; on held-out text both follow the text.

    Args:
        n: tokens to write after the prompt.
        held_out: its first tokens, at most 512 and what the context holds, are followed.
        is_exact: whether `fast` promises the same numbers up to the rounding of `dtype`.
        called: what `plain` is.
    """
    rounding = ROUNDING[dtype]
    seen = _Comparison()
    identical, near_ties = _generated(plain, fast, prompt, n, rounding, seen, is_stopping)
    text = held_out[: min(MAX_HELD_OUT, plain.max_seq_len)]
    loss_difference = _held_out(plain, fast, text, seen, is_stopping)
    kld = seen.kld / max(1, seen.positions)
    return Proof(
        identical_tokens=identical,
        of=n,
        near_ties=near_ties,
        max_logit_diff=seen.largest,
        held_out_tokens=len(text),
        mean_kld=max(0.0, kld),
        passes=identical + near_ties >= n and kld <= rounding.kld,
        is_exact=is_exact,
        loss_difference=loss_difference,
        plain=called,
    )


def _generated(
    plain: Decoder,
    fast: Decoder,
    prompt: Sequence[int],
    n: int,
    rounding: Rounding,
    seen: _Comparison,
    is_stopping: Callable[[], bool],
) -> tuple[int, int]:
    """How many of n choices are the same, and how many others are near ties."""
    identical = near_ties = 0
    portion = prompt
    for _ in range(n):
        if is_stopping():
            break
        plain_V, fast_V = plain.feed(portion), fast.feed(portion)
        seen.add(plain_V, fast_V)
        choice, right = int(fast_V.argmax()), int(plain_V.argmax())
        if choice == right:
            identical += 1
        elif (plain_V[right] - plain_V[choice]).item() < rounding.near_tie:
            near_ties += 1
        portion = [choice]
    return identical, near_ties


def _held_out(
    plain: Decoder,
    fast: Decoder,
    text: Sequence[int],
    seen: _Comparison,
    is_stopping: Callable[[], bool],
) -> float:
    """Token by token along a text; by how much the fast one's loss is above the plain one's."""
    for decoder in (plain, fast):
        decoder.rewind(0)
    difference = torch.zeros((), dtype=torch.float64)
    for here, following in zip(text, [*text[1:], None], strict=True):
        if is_stopping():
            break
        left_V, right_V = seen.add(plain.feed([here]), fast.feed([here]))
        if following is not None:
            difference += (left_V[following] - right_V[following]).cpu()
    return difference.item() / max(1, len(text) - 1)
