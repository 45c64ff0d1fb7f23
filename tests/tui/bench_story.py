"""A benchmark of seven variants as it would be told: warm-ups, steps, intervals, proofs."""

from __future__ import annotations

import dataclasses
import math
import statistics
from typing import Any

from core.events import (
    BenchCell,
    Benchmark,
    BenchmarkCompleted,
    BenchPlanned,
    CellSettled,
    Event,
    Limits,
    Proof,
    Ratio,
    RepetitionCompleted,
    SetupProgressed,
    Variant,
    Verdict,
)

N = 64
PROMPT = 16


def variant(engine: str = "torch", cache: str = "static", **changes: Any) -> Variant:
    values: dict[str, Any] = {
        "engine": engine,
        "cache": cache,
        "dtype": "float32",
        "bits": 0,
        "threads": 2,
        "prompt_tokens": PROMPT,
        "depth": PROMPT,
    }
    return Variant(**values | changes)


NONE, STATIC = variant(cache="none"), variant()
FAST, FAST8, FAST4 = (variant("fast", bits=bits) for bits in (0, 8, 4))
WINDOW = variant(cache="window")
RIVAL = variant("llama.cpp", rival="llama.cpp")
BASE_MS = {NONE: 0.4, STATIC: 0.9, FAST: 0.2, FAST8: 0.12, FAST4: 0.1, WINDOW: 0.8, RIVAL: 0.25}
"""Of a token at depth 0; without a cache each position held adds to it."""


def step_ms(variant: Variant, token: int, index: int) -> float:
    """Time of a token: deterministic, a little uneven, slower in a warm-up, late now and then."""
    depth = variant.depth + token
    ms = BASE_MS[dataclasses.replace(variant, depth=PROMPT)]
    ms += 0.02 * depth if variant.cache == "none" else 0.0005 * depth
    ms *= 1 + 0.02 * math.sin(token * 1.3 + index) + 0.01 * math.sin(index * 2.1)
    if index < 1:
        ms *= 1.6
    if token == 40 and index == 5:
        ms *= 3
    return ms


def repetition(variant: Variant, index: int, earlier: list[float]) -> RepetitionCompleted:
    steps = tuple(step_ms(variant, token, index) for token in range(N))
    decode = math.fsum(steps)
    counted = [*earlier, decode]
    return RepetitionCompleted(
        variant=variant,
        index=index,
        prefill_ms=PROMPT * 0.1 + 0.01 * index,
        decode_ms=decode,
        tokens=N,
        is_stable=index >= 0,
        steps_ms=() if variant.engine == "fast" else steps,
        interval_ms=interval(counted) if index >= 1 and len(counted) > 1 else None,
    )


def interval(samples: list[float]) -> tuple[float, float]:
    mean, half = statistics.fmean(samples), 3 * statistics.stdev(samples) / len(samples) ** 0.5
    return (mean - half, mean + half)


def proof(**changes: Any) -> Proof:
    values: dict[str, Any] = {
        "identical_tokens": N,
        "of": N,
        "near_ties": 0,
        "max_logit_diff": 2.1e-6,
        "held_out_tokens": 512,
        "mean_kld": 1.2e-9,
        "passes": True,
        "plain": "torch, no cache",
    }
    return Proof(**values | changes)


PROOFS = {
    NONE: None,
    STATIC: proof(),
    FAST: proof(max_logit_diff=4.4e-6),
    FAST8: proof(
        identical_tokens=62,
        max_logit_diff=0.08,
        mean_kld=4.1e-4,
        passes=False,
        is_exact=False,
        loss_difference=0.0012,
    ),
    FAST4: proof(
        identical_tokens=49,
        max_logit_diff=1.9,
        mean_kld=0.021,
        passes=False,
        is_exact=False,
        loss_difference=0.0240,
    ),
    WINDOW: proof(mean_kld=0.002, passes=False, is_exact=False, identical_tokens=60),
    RIVAL: None,
}


def cells(events: list[RepetitionCompleted], **changes: Any) -> list[BenchCell]:
    variant = events[0].variant
    counted = [event for event in events if event.index >= 1]
    found = []
    for phase, samples, tokens in (
        ("prefill", [event.prefill_ms for event in counted], PROMPT),
        ("decode", [event.decode_ms for event in counted], N),
    ):
        median = statistics.median(samples)
        speed = 1000 * tokens / median
        verdict = Verdict(bound="bytes", limit_tokens_per_s=speed / 0.62, fraction=0.62)
        values: dict[str, Any] = {
            "variant": variant,
            "phase": phase,
            "depth": 0 if phase == "prefill" else variant.depth,
            "tokens": tokens,
            "mean_ms": statistics.fmean(samples),
            "sd_ms": statistics.stdev(samples) if len(samples) > 1 else 0.0,
            "median_ms": median,
            "min_ms": min(samples),
            "samples_ms": tuple(samples),
            "tokens_per_s": speed,
            "cache_bytes": 0 if variant.cache == "none" else 1_081_344,
            "outliers": (),
            "interval_ms": interval(samples) if len(samples) > 1 else None,
            "peak_bytes": 21_000_000,
            "warm_ups": len(events) - len(counted),
            "verdict": None if variant.rival else verdict,
            "proof": PROOFS.get(variant, proof()),
        }
        found.append(BenchCell(**values | changes))
    return found


def bench_story(
    variants: tuple[Variant, ...] = (NONE, STATIC, FAST, FAST8, FAST4, WINDOW, RIVAL),
    *,
    reps: int = 5,
    warmups: int = 2,
    broken: tuple[Variant, ...] = (),
    run: str = "python-docs-1",
    skipped: tuple[str, ...] = (),
) -> list[Event]:
    """All of it; the proofs of `broken` variants fail, so that they are not ranked."""
    story: list[Event] = [
        SetupProgressed(stage="loading the run"),
        BenchPlanned(variants=variants, skipped=skipped),
    ]
    told: list[list[RepetitionCompleted]] = [[] for _ in variants]
    for turn in range(warmups + reps):
        index = -turn if turn < warmups else turn - warmups + 1
        for place, each in enumerate(variants):
            earlier = [event.decode_ms for event in told[place] if event.index >= 1]
            event = repetition(each, index, earlier)
            told[place].append(event)
            story.append(event)
    settled: list[BenchCell] = []
    for each, events in zip(variants, told, strict=True):
        failed: dict[str, Any] = {}
        if each in broken:
            failed = {"proof": proof(identical_tokens=3, passes=False, max_logit_diff=9.0)}
            failed["is_ranked"] = False
        for cell in cells(events, **failed):
            settled.append(cell)
            story.append(CellSettled(cell=cell))
    decode = {id(cell): cell for cell in settled if cell.phase == "decode"}.values()
    first, *rest = decode
    ratios = tuple(
        Ratio(left=first.variant, right=cell.variant, ratio=r, ci95=(r * 0.98, r * 1.02))
        for cell in rest
        for r in [first.median_ms / cell.median_ms]
    )
    result = Benchmark(
        cells=tuple(settled),
        ratios=ratios,
        limits=Limits(dispatch_us=3.2, bytes_per_s=18.3e9, flops_per_s=92e9),
        speedup=max((ratio.ratio for ratio in ratios), default=1.0),
        skipped=skipped,
        environment={"torch": "2.13.0", "device": "cpu", "dtype": "float32", "threads": 2},
    )
    return [*story, BenchmarkCompleted(run=run, step=940, result=result)]
