"""How fast two models write, in turn, so that a machine that slows down slows both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Generator, Sequence

from core.device import Device
from core.events import DecodeSpeed
from core.infer.decoder import Decoder
from core.infer.engines.choose import make_engine
from core.model.transformer import Transformer

REPETITIONS = 7
TOKENS = 64


def decode_speed(
    before: Transformer, after: Transformer, prompt: Sequence[int], device: Device
) -> Generator[float, None, DecodeSpeed]:
    """Each model on the engine that is chosen for it, after one repetition that does not count.

    Args:
        prompt: token ids, one or more, fewer than the context; they are read before the clock
            starts.
    """
    decoders = [Decoder(make_engine(model, device)) for model in (before, after)]
    n = max(1, min(TOKENS, before.config.max_seq_len - len(prompt)))
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(REPETITIONS + 1):
        for decoder, spent in zip(decoders, times, strict=True):
            decoder.rewind(0)
            first = int(decoder.feed(prompt).argmax())
            begin = time.perf_counter()
            decoder.write(first, n)
            spent.append(1e3 * (time.perf_counter() - begin))
        yield (turn + 1) / (REPETITIONS + 1)
    counted = [tuple(spent[1:]) for spent in times]
    return DecodeSpeed(
        before_tokens_per_s=1e3 * n / statistics.median(counted[0]),
        after_tokens_per_s=1e3 * n / statistics.median(counted[1]),
        before_engine=decoders[0].engine.name,
        after_engine=decoders[1].engine.name,
        tokens=n,
        before_ms=counted[0],
        after_ms=counted[1],
    )
