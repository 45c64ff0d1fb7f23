"""How near a fast path comes to the plain model: the same tokens, logits and distributions.

The plain side is the model itself, run over whole windows without any cache: one pass gives the
logits of every position, and no engine's code takes part in it.

Shape suffixes: T positions · V vocab_size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from core.device import Device
from core.events import Proof
from core.infer.decoder import Decoder, window_start
from core.model.transformer import Transformer

MAX_HELD_OUT, LEAST_HELD_OUT = 512, 64
MAX_WORK = 1 << 33
"""Held-out positions times the parameters: a few seconds, for each is a step of its own."""
MAX_LOGITS = 1 << 25
"""Held-out positions times the vocabulary: 128 MiB of logits."""


@dataclass(frozen=True, slots=True)
class Rounding:
    """How far two ways to compute the same may lie apart."""

    near_tie: float
    """Between the plain model's best logit and that of the choice: closer, and both are right."""
    kld: float
    """Nats, as a mean over positions."""


ROUNDING = {"float32": Rounding(1e-4, 1e-6), "bfloat16": Rounding(0.125, 1e-2)}

IsStopping = Callable[[], bool]


class Plain:
    """What the model itself says, without engine or cache."""

    def __init__(self, model: Transformer, device: Device) -> None:
        self._model, self._device = model.eval(), device
        self.max_seq_len = model.config.max_seq_len
        n_parameters = sum(weight.numel() for weight in model.parameters())
        most = max(LEAST_HELD_OUT, MAX_WORK // n_parameters)
        most = min(MAX_HELD_OUT, most, max(2, MAX_LOGITS // model.config.vocab_size))
        self.held_out_tokens = min(most, self.max_seq_len)
        """That are followed at most."""

    def logits(self, ids: Sequence[int], first: int = 0) -> Iterator[Tensor]:
        """Logits (V,) after each token from place `first` on, seen through the windows of
        `core.infer.decoder`; a pass for each window."""
        places = range(first, len(ids))
        for start, group in groupby(places, lambda i: window_start(i + 1, self.max_seq_len)):
            inside = list(group)
            logits_TV = self._pass(ids[start : inside[-1] + 1])
            yield from (logits_TV[i - start] for i in inside)

    @torch.inference_mode()
    def _pass(self, ids: Sequence[int]) -> Tensor:
        with self._device.autocast():
            logits_BTV: Tensor = self._model(torch.tensor([list(ids)], device=self._device.type))
        return logits_BTV[0].float()


class _Comparison:
    """Sums over the positions compared so far."""

    def __init__(self) -> None:
        self.positions = 0
        self.largest = self.kld = 0.0

    def add(self, plain_V: Tensor, fast_V: Tensor) -> tuple[Tensor, Tensor]:
        """Compare two logits; returns their log probabilities, in float64."""
        left_V, right_V = (log_softmax(x.double(), -1) for x in (plain_V, fast_V))
        self.positions += 1
        self.largest = max(self.largest, (plain_V - fast_V).abs().max().item())
        self.kld += (left_V.exp() * (left_V - right_V)).sum().item()
        return left_V, right_V


def prove(
    plain: Plain,
    fast: Decoder,
    prompt: Sequence[int],
    n: int,
    held_out: Sequence[int],
    *,
    is_exact: bool = True,
    dtype: str = "float32",
    is_stopping: IsStopping = lambda: False,
) -> Proof:
    """Compare a decoder that holds nothing yet with the plain model, position by position.

    The decoder writes as it does when it is timed, and then says its logits of what it wrote.
    The plain model follows its choices, so that one near tie does not make everything after it
    differ; on held-out text both follow the text. (Once `is_stopping`, the proof is void.)

    Args:
        n: tokens to write after the prompt.
        held_out: its first tokens are followed: at most 512, what the context holds, and fewer
            of a large model.
        is_exact: whether `fast` promises the same numbers up to the rounding of `dtype`.
    """
    rounding = ROUNDING[dtype]
    seen = _Comparison()
    identical, near_ties = _generated(plain, fast, prompt, n, rounding, seen, is_stopping)
    text = held_out[: plain.held_out_tokens]
    loss_difference = _held_out(plain, fast, text, seen, is_stopping)
    kld = max(seen.kld / max(1, seen.positions), 0.0)  # in this order a NaN stays one
    return Proof(
        identical_tokens=identical,
        of=n,
        near_ties=near_ties,
        max_logit_diff=seen.largest,
        held_out_tokens=len(text),
        mean_kld=kld,
        passes=identical + near_ties >= n and kld <= rounding.kld,
        is_exact=is_exact,
        loss_difference=loss_difference,
    )


def _generated(
    plain: Plain,
    fast: Decoder,
    prompt: Sequence[int],
    n: int,
    rounding: Rounding,
    seen: _Comparison,
    is_stopping: IsStopping,
) -> tuple[int, int]:
    """How many of n choices are the same, and how many others are near ties."""
    first = int(fast.feed(prompt).argmax())
    chosen = [first, *fast.write(first, n - 1)]
    ids = [*prompt, *chosen[:-1]]
    fast.rewind(0)
    portions = [list(prompt), *([token] for token in chosen[:-1])]
    identical = near_ties = 0
    right_sides = plain.logits(ids, len(prompt) - 1)
    for portion, choice, plain_V in zip(portions, chosen, right_sides, strict=True):
        if is_stopping():
            break
        seen.add(plain_V, fast.feed(portion))
        right = int(plain_V.argmax())
        if choice == right:
            identical += 1
        elif (plain_V[right] - plain_V[choice]).item() < rounding.near_tie:
            near_ties += 1
    return identical, near_ties


def _held_out(
    plain: Plain,
    fast: Decoder,
    text: Sequence[int],
    seen: _Comparison,
    is_stopping: IsStopping,
) -> float:
    """Token by token along a text; by how much the fast one's loss is above the plain one's."""
    fast.rewind(0)
    difference = 0.0
    for i, plain_V in enumerate(plain.logits(text)):
        if is_stopping():
            break
        left_V, right_V = seen.add(plain_V, fast.feed([text[i]]))
        if i + 1 < len(text):
            difference += (left_V[text[i + 1]] - right_V[text[i + 1]]).item()
    return difference / max(1, len(text) - 1)
