"""One repetition: a prompt read and some tokens written, by one variant, against the clock.

A contestant is made once and repeats as often as it is asked: what it keeps between repetitions
(weights laid out, buffers) is the set-up that nobody waits for twice.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice, pairwise
from typing import Protocol

import torch

from core.device import Device, synchronize
from core.events import Variant
from core.infer.decoder import Decoder
from core.measure.rivals import Rival

LEAST_TOKENS = 2

IsStopping = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Repetition:
    """What one repetition took."""

    prefill_ms: float
    decode_ms: float
    tokens: int
    """Decoded; fewer than asked for where that would have taken too long, or it was stopped."""
    steps_ms: tuple[float, ...] = ()
    """Of each of them; empty where they are written in one go."""
    prefill_bytes: int = 0
    decode_bytes: int = 0


class Contestant(Protocol):
    """Something that decodes, again and again."""

    variant: Variant

    def repeat(self, is_stopping: IsStopping) -> Repetition:
        """Read the prompt and write the tokens once."""
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


class Own:
    """minitf itself: a decoder over one of its engines."""

    def __init__(
        self,
        variant: Variant,
        decoder: Decoder,
        device: Device,
        text: Sequence[int],
        n: int,
        *,
        limit_s: float = math.inf,
    ) -> None:
        """`text` is repeated until it is as long as the depth.

        Args:
            n: tokens to decode in each repetition.
            limit_s: if the first repetition has not decoded them by then, it and all later ones
                make do with fewer, at least two.
        """
        self.variant = variant
        self._decoder, self._device = decoder, device
        context = list(islice(cycle(text), variant.depth))
        self._before = context[: variant.depth - variant.prompt_tokens]
        self._prompt = context[len(self._before) :]
        self._n, self._limit_s = n, limit_s
        # On a GPU each look at a choice would hold up the next step, and an engine of one
        # compiled step writes many tokens in one go: there, only the whole has a time.
        self._is_stepwise = decoder.engine.name == "torch" and device.type == "cpu"

    def repeat(self, is_stopping: IsStopping) -> Repetition:
        """See `Contestant.repeat`."""
        self._hold_context()
        with _undisturbed(self._device):
            began = _now(self._device)
            token = int(self._decoder.feed(self._prompt).argmax())
            prefilled, held = _now(self._device), self._decoder.cache_bytes
            if self._is_stepwise:
                times = self._step(token, prefilled, is_stopping)
            else:
                self._decoder.write(token, self._n)
                times = []
            ended = times[-1] if times else _now(self._device)
        tokens = len(times) or self._n
        if times and not is_stopping():
            self._n, self._limit_s = tokens, math.inf
        return Repetition(
            prefill_ms=1000 * (prefilled - began),
            decode_ms=1000 * (ended - prefilled),
            tokens=tokens,
            steps_ms=tuple(1000 * (b - a) for a, b in pairwise([prefilled, *times])),
            prefill_bytes=held,
            decode_bytes=self._decoder.cache_bytes,
        )

    def close(self) -> None:
        """See `Contestant.close`."""

    def _step(self, token: int, began: float, is_stopping: IsStopping) -> list[float]:
        """The time after each token."""
        times: list[float] = []
        while len(times) < self._n and not is_stopping():
            token = int(self._decoder.feed([token]).argmax())
            times.append(time.perf_counter())
            if times[-1] - began > self._limit_s and len(times) >= LEAST_TOKENS:
                break
        return times

    def _hold_context(self) -> None:
        """Hold what lies before the prompt and nothing else, whatever the cache let go of."""
        decoder, before = self._decoder, self._before
        decoder.rewind(min(decoder.length, len(before)))
        if before and (decoder.length < len(before) or decoder.engine.length < decoder.window):
            decoder.rewind(min(decoder.length, len(before) - 1))
            decoder.feed(before[decoder.length :])


class Foreign:
    """Another program, in a process of its own that may be shared."""

    def __init__(self, variant: Variant, rival: Rival, text: Sequence[int], n: int) -> None:
        """`text` is repeated until it is as long as the prompt."""
        self.variant = variant
        self._rival, self._n = rival, n
        self._prompt = list(islice(cycle(text), variant.prompt_tokens))

    def repeat(self, is_stopping: IsStopping) -> Repetition:
        """See `Contestant.repeat`. It cannot be stopped in the middle."""
        found = self._rival.repetition(self._prompt, self._n)
        return Repetition(found.prefill_ms, found.decode_ms, self._n)

    def close(self) -> None:
        """See `Contestant.close`; the process may end more than once."""
        self._rival.close()


@contextmanager
def _undisturbed(device: Device) -> Iterator[None]:
    """With the threads of the variant, and without the garbage collector."""
    if torch.get_num_threads() != device.threads:
        torch.set_num_threads(device.threads)
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _now(device: Device) -> float:
    synchronize(device.type)
    return time.perf_counter()
