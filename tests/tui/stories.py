"""Whole stories of a session, event by event: a training, an evaluation, a text, a benchmark."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from core.events import (
    BenchCell,
    Benchmark,
    BenchmarkCompleted,
    CheckpointSaved,
    Evaluation,
    EvaluationCompleted,
    EvaluationProgressed,
    Event,
    GeneratedToken,
    Generation,
    GenerationFinished,
    PromptRead,
    Proof,
    RepetitionCompleted,
    SetupProgressed,
    StepCompleted,
    TokenGenerated,
    Variant,
)
from tests.tui.events import alert, health, sample, started, step, validation


def training_story(steps: int) -> list[Event]:
    events: list[Event] = [
        SetupProgressed(stage="loading PyTorch"),
        SetupProgressed(stage="training a tokenizer"),
        started(),
        CheckpointSaved(step=0, path="/x", save_s=0.01),
    ]
    for n in range(1, steps + 1):
        events.append(step(n))
        if n % 100 == 0:
            events += [validation(n), sample(n)]
        if n % 250 == 0:
            events.append(CheckpointSaved(step=n, path="/x", save_s=0.1))
    return events


def health_story(steps: int, layers: int = 3) -> list[Event]:
    """A training run that is measured every tenth step, and spikes in the middle."""
    told: list[Event] = []
    for event in training_story(steps):
        told.append(event)
        if isinstance(event, StepCompleted) and event.step % 10 == 0:
            told.append(health(event.step, layers))
        if isinstance(event, StepCompleted) and event.step == steps // 2:
            told.append(alert(event.step))
    return told


def evaluation_story(run: str = "python-docs-1", text: str = "validation split") -> list[Event]:
    result = Evaluation(
        loss=1.3468,
        loss_ci95=(1.3301, 1.3635),
        perplexity=3.845,
        bits_per_byte=0.6631,
        top1=0.6712,
        top5=0.8543,
        tokens=15_999,
        bytes=46_600,
        stride=128,
        context=128,
    )
    return [
        SetupProgressed(stage="loading the run"),
        EvaluationProgressed(tokens=8000, of=15_999, loss=1.36),
        EvaluationProgressed(tokens=15_999, of=15_999, loss=1.3468),
        EvaluationCompleted(run=run, step=940, text=text, result=result),
    ]


def token(index: int, text: str) -> TokenGenerated:
    return TokenGenerated(
        index=index,
        token=GeneratedToken(id=index, text=text, logprob=-1.0, top=()),
        tokens_per_s=812.0,
    )


def generation_story(
    words: Iterable[str] = ("s", " are", " obj", "ects", "."), stop: str = "length"
) -> list[Event]:
    pieces = list(words)
    tokens = [token(i, piece) for i, piece in enumerate(pieces, 1)]
    result = Generation(
        text="".join(pieces),
        prompt_tokens=16,
        tokens=tuple(t.token for t in tokens),
        ttft_ms=9.5,
        tokens_per_s=812.0,
        stop=stop,
    )
    return [
        SetupProgressed(stage="loading the run"),
        PromptRead(prompt="Binary sequence type", prompt_tokens=16, context=256, prefill_ms=8.1),
        *tokens,
        GenerationFinished(result=result),
    ]


def variant(cache: str = "static", **given: Any) -> Variant:
    facts: dict[str, Any] = {
        "engine": "torch",
        "cache": cache,
        "dtype": "float32",
        "bits": 0,
        "threads": 2,
        "prompt_tokens": 16,
        "depth": 16,
    }
    return Variant(**(facts | given))


def repetitions(reps: int = 3, warmup: int = 1) -> list[Event]:
    events: list[Event] = [SetupProgressed(stage="loading the run")]
    for index in range(1 - warmup, reps + 1):
        for cache, decode, prefill in (("none", 4100.0, 12.0), ("static", 640.0, 12.4)):
            events.append(
                RepetitionCompleted(
                    variant=variant(cache),
                    index=index,
                    is_stable=index > 0,
                    prefill_ms=prefill + index * 0.3,
                    decode_ms=decode * (1 + 0.03 * math.sin(index * 2)),
                    tokens=512,
                )
            )
    return events


def benchmark_story(proof: Proof | None = None, run: str = "python-docs-1") -> list[Event]:
    proof = proof or Proof(
        identical_tokens=512,
        of=512,
        near_ties=0,
        max_logit_diff=2.1e-6,
        held_out_tokens=512,
        mean_kld=1e-9,
        passes=True,
    )
    cells = tuple(
        BenchCell(
            variant=variant(cache),
            phase=phase,
            depth=16 if phase == "decode" else 0,
            tokens=512 if phase == "decode" else 16,
            mean_ms=mean,
            sd_ms=12.0,
            median_ms=mean,
            min_ms=mean - 10,
            samples_ms=(mean, mean, mean),
            tokens_per_s=512_000 / mean,
            cache_bytes=1_081_344 if cache == "static" else 0,
            proof=proof if cache == "static" else None,
        )
        for cache, phase, mean in (
            ("none", "prefill", 12.3),
            ("static", "prefill", 12.7),
            ("none", "decode", 4100.0),
            ("static", "decode", 640.0),
        )
    )
    result = Benchmark(
        cells=cells,
        ratios=(),
        limits=None,
        speedup=6.41,
        environment={"torch": "2.13.0", "device": "cpu", "dtype": "float32", "threads": 2},
    )
    return [*repetitions(), BenchmarkCompleted(run=run, step=940, result=result)]
