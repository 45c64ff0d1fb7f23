"""The KV cache, timed on real generation and proved to change nothing.

Each repetition reads the same held-out prompt (prefill) and then writes n tokens greedily
(decode), once without a cache and once with it, in turn, so that a machine that slows down
slows both. Warm-ups come first and are not counted.

Shape suffix: V vocab_size.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.config import BenchConfig
from core.device import Device, environment, synchronize
from core.events import BenchCell, Benchmark, Proof, RepetitionCompleted
from core.infer.decoder import Decoder
from core.infer.engines.torch_engine import TorchEngine
from core.measure.statistics import summarize
from core.model.transformer import Transformer

CACHES = ("none", "static")
NEAR_TIE = 1e-4
MAX_HELD_OUT = 512


@dataclass(frozen=True, slots=True)
class _Timing:
    prefill_ms: float
    decode_ms: float
    prefill_bytes: int
    decode_bytes: int


def benchmark(
    model: Transformer,
    held_out: Sequence[int],
    config: BenchConfig,
    device: Device,
    *,
    is_stopping: Callable[[], bool] = lambda: False,
) -> Generator[RepetitionCompleted, None, Benchmark]:
    """Time and prove; returns the benchmark, and tells of every repetition.

    Args:
        held_out: token ids the model was not trained on; the first are the prompt.
        is_stopping: asked between tokens; once true, what is returned is to be thrown away.
    """
    prompt = held_out[: config.prompt_tokens]
    timings: dict[str, list[_Timing]] = {cache: [] for cache in CACHES}
    for index in range(1 - config.warmup, config.reps + 1):
        for cache in CACHES:
            decoder = Decoder(TorchEngine(model, device, cache=cache))
            timing = _time(decoder, prompt, config.n, device, is_stopping)
            if index >= 1:
                timings[cache].append(timing)
            yield RepetitionCompleted(
                cache=cache,
                index=index,
                of=config.reps,
                prefill_ms=timing.prefill_ms,
                decode_ms=timing.decode_ms,
                tokens=config.n,
            )
    cells = tuple(c for cache in CACHES for c in _cells(cache, timings[cache], len(prompt), config))
    median = {c.cache: c.median_ms for c in cells if c.phase == "decode"}
    return Benchmark(
        cells=cells,
        speedup=median["none"] / median["static"],
        proof=prove(model, held_out, config, device, is_stopping=is_stopping),
        environment=environment(device) | {"max_seq_len": model.config.max_seq_len},
    )


def _time(
    decoder: Decoder,
    prompt: Sequence[int],
    n: int,
    device: Device,
    is_stopping: Callable[[], bool],
) -> _Timing:
    began = _now(device)
    token = int(decoder.feed(prompt).argmax())
    prefilled, prefill_bytes = _now(device), decoder.cache_bytes
    for _ in range(n):
        if is_stopping():  # the caller throws this repetition away
            break
        token = int(decoder.feed([token]).argmax())
    ended = _now(device)
    return _Timing(
        prefill_ms=1000 * (prefilled - began),
        decode_ms=1000 * (ended - prefilled),
        prefill_bytes=prefill_bytes,
        decode_bytes=decoder.cache_bytes,
    )


def _now(device: Device) -> float:
    synchronize(device.type)
    return time.perf_counter()


def _cells(
    cache: str, timings: Sequence[_Timing], prompt_tokens: int, config: BenchConfig
) -> list[BenchCell]:
    last = timings[-1]
    prefill = tuple(t.prefill_ms for t in timings)
    decode = tuple(t.decode_ms for t in timings)
    return [
        _cell(cache, "prefill", 0, prompt_tokens, prefill, last.prefill_bytes),
        _cell(cache, "decode", prompt_tokens, config.n, decode, last.decode_bytes),
    ]


def _cell(
    cache: str, phase: str, depth: int, tokens: int, samples: tuple[float, ...], held: int
) -> BenchCell:
    found = summarize(samples)
    return BenchCell(
        cache=cache,
        phase=phase,
        depth=depth,
        tokens=tokens,
        mean_ms=found.mean,
        sd_ms=found.sd,
        median_ms=found.median,
        min_ms=found.min,
        samples_ms=samples,
        tokens_per_s=1000 * tokens / found.median,
        cache_bytes=held,
    )


def prove(
    model: Transformer,
    held_out: Sequence[int],
    config: BenchConfig,
    device: Device,
    *,
    is_stopping: Callable[[], bool] = lambda: False,
) -> Proof:
    """Compare cached with uncached logits, position by position.

    On generated text both follow the cached choices, so that one near tie does not make
    everything after it differ; on held-out text both follow the text.
    """
    prompt = held_out[: config.prompt_tokens]
    plain, cached = (Decoder(TorchEngine(model, device, cache=cache)) for cache in CACHES)
    identical = near_ties = 0
    largest = 0.0
    portion: Sequence[int] = prompt
    for _ in range(config.n):
        if is_stopping():
            break
        logits_V, plain_V = cached.feed(portion), plain.feed(portion)
        largest = max(largest, _difference(logits_V, plain_V))
        choice = int(logits_V.argmax())
        if choice == int(plain_V.argmax()):
            identical += 1
        elif _is_near_tie(plain_V):
            near_ties += 1
        portion = [choice]
    text = held_out[: min(MAX_HELD_OUT, model.config.max_seq_len)]
    return Proof(
        identical_tokens=identical,
        of=config.n,
        near_ties=near_ties,
        max_logit_diff=max(largest, _teacher_forced(model, text, device)),
        held_out_tokens=len(text),
    )


@torch.inference_mode()
def _teacher_forced(model: Transformer, text: Sequence[int], device: Device) -> float:
    """Largest difference on held-out text: token by token against one full pass."""
    with device.autocast():
        full_TV = model(torch.tensor([list(text)], device=device.type))[0].float()
    cached = Decoder(TorchEngine(model, device))
    return max(_difference(cached.feed([t]), full_TV[i]) for i, t in enumerate(text))


def _difference(left_V: Tensor, right_V: Tensor) -> float:
    return (left_V - right_V).abs().max().item()


def _is_near_tie(logits_V: Tensor) -> bool:
    best = logits_V.topk(2).values
    return (best[0] - best[1]).item() < NEAR_TIE
