"""Ways to decode one model, timed on real generation and proved against the plain one.

Each repetition reads the same held-out prompt (prefill) and then writes n tokens greedily
(decode). Variants take turns, so that a machine that slows down slows all of them. Warm-ups
come first and are not counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from core.config import BenchConfig
from core.device import Device, environment, synchronize
from core.events import (
    BenchCell,
    Benchmark,
    BenchPlanned,
    CellSettled,
    Proof,
    RepetitionCompleted,
    Variant,
)
from core.infer.decoder import Decoder
from core.infer.engines.choose import make_engine
from core.infer.engines.torch_engine import TorchEngine
from core.measure.proof import prove
from core.measure.statistics import summarize
from core.model.transformer import Transformer

Told = BenchPlanned | RepetitionCompleted | CellSettled


@dataclass(frozen=True, slots=True)
class _Timing:
    prefill_ms: float
    decode_ms: float
    steps_ms: tuple[float, ...]
    prefill_bytes: int
    decode_bytes: int


def benchmark(
    model: Transformer,
    held_out: Sequence[int],
    config: BenchConfig,
    device: Device,
    *,
    is_stopping: Callable[[], bool] = lambda: False,
) -> Generator[Told, None, Benchmark]:
    """Time and prove; returns the benchmark, and tells of every repetition.

    Args:
        held_out: token ids the model was not trained on; the first are the prompt.
        is_stopping: asked between tokens; once true, what is returned is to be thrown away.
    """
    prompt = held_out[: config.prompt_tokens[0]]
    variants = [_variant(cache, len(prompt), device) for cache in config.caches]
    yield BenchPlanned(variants=tuple(variants))
    timings: dict[Variant, list[_Timing]] = {variant: [] for variant in variants}
    for index in range(1 - config.warmup, config.reps + 1):
        for variant in variants:
            decoder = Decoder(
                make_engine(model, device, engine=variant.engine, cache=variant.cache)
            )
            timing = _time(decoder, prompt, config.n, device, is_stopping)
            if index >= 1:
                timings[variant].append(timing)
            yield RepetitionCompleted(
                variant=variant,
                index=index if index >= 1 else 1 - config.warmup - index,
                prefill_ms=timing.prefill_ms,
                decode_ms=timing.decode_ms,
                tokens=config.n,
                is_stable=index >= 0,
                steps_ms=timing.steps_ms,
            )
    cells = []
    for variant in variants:
        proof = None
        if variant.cache != "none":
            plain, cached = (Decoder(model, device, use_cache=use) for use in (False, True))
            proof = prove(plain, cached, prompt, config.n, held_out, is_stopping=is_stopping)
        for cell in _cells(variant, timings[variant], config, proof):
            cells.append(cell)
            yield CellSettled(cell=cell)
    median = [c.median_ms for c in cells if c.phase == "decode"]
    return Benchmark(
        cells=tuple(cells),
        ratios=(),
        limits=None,
        speedup=median[0] / median[-1] if median[-1] else 1.0,
        environment=environment(device) | {"max_seq_len": model.config.max_seq_len},
    )


def _variant(cache: str, prompt_tokens: int, device: Device) -> Variant:
    return Variant(
        engine="torch",
        cache=cache,
        dtype=device.dtype,
        bits=0,
        threads=device.threads,
        prompt_tokens=prompt_tokens,
        depth=prompt_tokens,
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
    times, prefill_bytes = [_now(device)], decoder.cache_bytes
    for _ in range(n):
        if is_stopping():  # the caller throws this repetition away
            break
        token = int(decoder.feed([token]).argmax())
        times.append(time.perf_counter())
    times[-1] = _now(device)
    return _Timing(
        prefill_ms=1000 * (times[0] - began),
        decode_ms=1000 * (times[-1] - times[0]),
        steps_ms=tuple(1000 * (b - a) for a, b in pairwise(times)),
        prefill_bytes=prefill_bytes,
        decode_bytes=decoder.cache_bytes,
    )


def _now(device: Device) -> float:
    synchronize(device.type)
    return time.perf_counter()


def _cells(
    variant: Variant, timings: Sequence[_Timing], config: BenchConfig, proof: Proof | None
) -> list[BenchCell]:
    last = timings[-1]
    prefill = tuple(t.prefill_ms for t in timings)
    decode = tuple(t.decode_ms for t in timings)
    depth, prompt, warm_ups = variant.depth, variant.prompt_tokens, config.warmup
    return [
        _cell(
            variant, "prefill", depth - prompt, prompt, prefill, last.prefill_bytes, warm_ups, proof
        ),
        _cell(variant, "decode", depth, config.n, decode, last.decode_bytes, warm_ups, proof),
    ]


def _cell(
    variant: Variant,
    phase: str,
    depth: int,
    tokens: int,
    samples: tuple[float, ...],
    held: int,
    warm_ups: int,
    proof: Proof | None,
) -> BenchCell:
    found = summarize(samples)
    return BenchCell(
        variant=variant,
        phase=phase,
        depth=depth,
        tokens=tokens,
        mean_ms=found.mean,
        sd_ms=found.sd,
        median_ms=found.median,
        min_ms=found.min,
        samples_ms=samples,
        tokens_per_s=1000 * tokens / found.median if found.median else 0.0,
        cache_bytes=held,
        warm_ups=warm_ups,
        proof=proof,
        is_ranked=proof is None or proof.passes or not variant.is_exact,
    )
