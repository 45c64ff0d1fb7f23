"""Events and results with plausible numbers; what matters to a test is given."""

from __future__ import annotations

from typing import Any

from core import events as ev


def finished(reason: str = "budget", **given: Any) -> ev.RunFinished:
    return ev.RunFinished(reason=reason, result=trained(**given))


def _with(given: dict[str, Any], **usual: Any) -> dict[str, Any]:
    return usual | given


def started(**given: Any) -> ev.RunStarted:
    return ev.RunStarted(
        **_with(
            given,
            run="tiny",
            path="/runs/tiny",
            step=0,
            steps=100,
            seconds=0.0,
            n_params=819_200,
            vocab_size=256,
            train_tokens=419_000,
            validation_tokens=46_000,
            bytes_per_token=1.0,
            context=16,
            device="cpu",
            dtype="float32",
            threads=1,
        )
    )


def step(step: int = 1, **given: Any) -> ev.StepCompleted:
    return ev.StepCompleted(
        **_with(
            given,
            step=step,
            loss=3.21,
            lr=1e-3,
            grad_norm=1.0,
            tokens=2048 * step,
            tokens_per_s=12_345.0,
            train_s=0.5 * step,
        )
    )


def validated(step: int = 1, **given: Any) -> ev.ValidationCompleted:
    return ev.ValidationCompleted(
        **_with(
            given,
            step=step,
            loss=2.5,
            loss_ci95=(2.4, 2.6),
            perplexity=12.18,
            bits_per_byte=3.6,
            train_s=1.0,
            eval_s=0.1,
            is_best=True,
        )
    )


def trained(**given: Any) -> ev.TrainResult:
    return ev.TrainResult(
        **_with(
            given,
            run="tiny",
            path="/runs/tiny",
            steps=100,
            tokens=204_800,
            params=819_200,
            context=16,
            train_s=10.0,
            eval_s=1.0,
            sample_s=0.5,
            save_s=0.25,
            setup_s=2.0,
            wall_s=14.0,
            val_loss=2.5,
            val_perplexity=12.18,
            bits_per_byte=3.607,
        )
    )


def evaluated(text: str = "validation split", **given: Any) -> ev.EvaluationCompleted:
    result = ev.Evaluation(
        **_with(
            given,
            loss=2.5,
            loss_ci95=(2.4, 2.6),
            perplexity=12.18,
            bits_per_byte=3.607,
            top1=0.456,
            top5=0.701,
            tokens=45_999,
            bytes=46_000,
            stride=16,
            context=16,
        )
    )
    return ev.EvaluationCompleted(run="tiny", step=100, text=text, result=result)


def token(text: str, **given: Any) -> ev.GeneratedToken:
    top = (ev.TokenChoice(id=7, text="x", logprob=-0.1),)
    return ev.GeneratedToken(**_with(given, id=7, text=text, logprob=-0.1, top=top))


def generated(*texts: str, stop: str = "length") -> list[Any]:
    """The events of a whole generation after the prompt `Once`."""
    tokens = tuple(token(text) for text in texts)
    result = ev.Generation(
        text="".join(texts),
        prompt_tokens=4,
        tokens=tokens,
        ttft_ms=12.3,
        tokens_per_s=1234.0,
        stop=stop,
    )
    read = ev.PromptRead(prompt="Once", prompt_tokens=4, context=16, prefill_ms=1.0)
    written = [
        ev.TokenGenerated(index=i + 1, token=token, tokens_per_s=0.0)
        for i, token in enumerate(tokens)
    ]
    return [read, *written, ev.GenerationFinished(result=result)]


def generated_batch(*rows: tuple[str, ...]) -> list[Any]:
    """The events of several continuations, written in step."""
    texts = tuple(generated(*row)[-1].result for row in rows)
    read = ev.PromptRead(prompt="Once", prompt_tokens=4, context=16, prefill_ms=1.0)
    written = [
        ev.TokenGenerated(row=row, index=i + 1, token=one.tokens[i], tokens_per_s=0.0)
        for i in range(max(map(len, rows)))
        for row, one in enumerate(texts)
        if i < len(one.tokens)
    ]
    result = ev.GenerationBatch(
        continuations=texts, prompt_tokens=4, ttft_ms=12.3, tokens_per_s=5678.0
    )
    return [read, *written, ev.GenerationFinished(result=result)]


def variant(cache: str = "static", **given: Any) -> ev.Variant:
    facts: dict[str, Any] = {
        "engine": "torch",
        "cache": cache,
        "dtype": "float32",
        "bits": 0,
        "threads": 1,
        "prompt_tokens": 16,
        "depth": 16,
    }
    return ev.Variant(**(facts | given))


def cell(cache: str, phase: str, mean: float, **given: Any) -> ev.BenchCell:
    return ev.BenchCell(
        **_with(
            given,
            variant=variant(cache),
            phase=phase,
            depth=0,
            tokens=511,
            mean_ms=mean,
            sd_ms=mean / 50,
            median_ms=mean,
            min_ms=mean,
            samples_ms=(mean, mean, mean),
            tokens_per_s=1000.0,
            cache_bytes=1024,
        )
    )


def benchmarked(speedup: float = 6.0) -> ev.BenchmarkCompleted:
    proof = ev.Proof(
        identical_tokens=512,
        of=512,
        near_ties=0,
        max_logit_diff=2e-6,
        held_out_tokens=1024,
        mean_kld=1e-9,
        passes=True,
    )
    cells = tuple(
        cell(cache, phase, mean, proof=None if cache == "none" else proof)
        for cache, phase, mean in (
            ("none", "prefill", 2.0),
            ("none", "decode", 1200.0),
            ("static", "prefill", 2.1),
            ("static", "decode", 200.0),
        )
    )
    result = ev.Benchmark(
        cells=cells, ratios=(), limits=None, speedup=speedup, environment={"torch": "2"}
    )
    return ev.BenchmarkCompleted(run="tiny", step=100, result=result)


def exported(format: str = "hf", **given: Any) -> ev.ExportCompleted:
    facts: dict[str, Any] = {
        "run": "tiny",
        "step": 100,
        "format": format,
        "path": "/models/tiny-hf",
        "architecture": "" if format == "capsule" else "LlamaForCausalLM",
        "number_type": "f32",
        "bytes": 3_355_443,
    }
    return ev.ExportCompleted(result=ev.Export(**(facts | given)))


def imported(**given: Any) -> ev.ImportCompleted:
    facts: dict[str, Any] = {
        "run": "stories15m",
        "path": "/home/me/runs/stories15m",
        "source": "stories15M.bin",
        "format": "llama2.c",
        "architecture": "llama",
        "step": 0,
        "n_params": 15_191_712,
        "vocab_size": 32_000,
        "context": 256,
        "corpus": "python-docs",
        "bytes": 60_800_000,
    }
    return ev.ImportCompleted(result=ev.Import(**(facts | given)))
