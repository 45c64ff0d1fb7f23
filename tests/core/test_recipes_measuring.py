"""Runs that are scored and timed, and what of a run cannot be used for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from core import recipes
from core.config import BenchConfig, RunConfig
from core.errors import CheckpointError, ConfigError, DataError, RunError
from core.events import (
    BenchmarkCompleted,
    CellSettled,
    EvaluationCompleted,
    RepetitionCompleted,
    SetupProgressed,
)
from core.store.metrics import read_metrics
from tests.core.driven_runs import config as config
from tests.core.driven_runs import drive, refused, train


def test_evaluation_scores_the_split_and_keeps_a_report(config: RunConfig) -> None:
    run = train(config)
    done = drive(recipes.evaluation("tiny"))[-1]
    assert isinstance(done, EvaluationCompleted)
    assert (done.run, done.step, done.text) == ("tiny", 4, "validation split")
    validated = [e for e in read_metrics(run.path) if e["event"] == "ValidationCompleted"][-1]
    assert done.result.loss == pytest.approx(validated["loss"], rel=1e-6)
    assert (done.result.context, done.result.stride) == (16, 16)
    (report,) = run.reports("evaluations")
    assert report["result"]["loss"] == done.result.loss
    smaller = drive(recipes.evaluation("tiny@2", stride=4))[-1]
    assert (smaller.step, smaller.result.stride) == (2, 4)
    assert smaller.result.tokens == done.result.tokens


def test_evaluation_scores_any_text(config: RunConfig, tmp_path: Path) -> None:
    train(config)
    path = tmp_path / "other.txt"
    path.write_bytes("Ein anderer Text, größer als nichts.".encode())
    done = drive(recipes.evaluation("tiny", text=path))[-1]
    assert done.text == str(path)
    assert done.result.tokens == done.result.bytes == len(path.read_bytes()) - 1
    path.write_bytes(b"a")
    assert refused(recipes.evaluation("tiny", text=path), DataError) == (
        "The text is too short to evaluate: 1 tokens.",
        "Choose a longer text.",
    )


@pytest.mark.parametrize("stride", [-1, 17])
def test_a_stride_that_would_leave_tokens_out_is_refused(config: RunConfig, stride: int) -> None:
    train(config)
    assert refused(recipes.evaluation("tiny", stride=stride), ConfigError) == (
        f"stride={stride} is not between 1 and context=16.",
        "Try stride=16, or a smaller one for more to look back at.",
    )


def test_a_benchmark_times_and_proves(config: RunConfig) -> None:
    run = train(config)
    bench = BenchConfig(n=20, reps=3, warmup=8, prompt_tokens=8, engines="torch", seconds=0)
    *told, done = drive(recipes.benchmarking("tiny", bench))
    settled = [e.cell for e in told if isinstance(e, CellSettled)]
    told = [e for e in told if isinstance(e, RepetitionCompleted)]
    turns = [(e.variant.cache, e.index) for e in told]
    warm_ups = [(cache, -made) for made in range(8) for cache in ("none", "static")]
    assert turns[:16] == warm_ups
    assert [index for _, index in turns[16:]] == [1, 1, 2, 2, 3, 3]
    assert {turns[i] for i in range(16, 22)} == {
        (cache, index) for index in (1, 2, 3) for cache in ("none", "static")
    }
    assert isinstance(done, BenchmarkCompleted)
    result = done.result
    assert [(c.variant.cache, c.phase, c.depth, c.tokens) for c in result.cells] == [
        ("none", "prefill", 0, 8),
        ("none", "decode", 8, 20),
        ("static", "prefill", 0, 8),
        ("static", "decode", 8, 20),
    ]
    for cell, kind in zip(result.cells, ["prefill_ms", "decode_ms"] * 2, strict=True):
        counted = [getattr(e, kind) for e in told if e.variant == cell.variant and e.index >= 1]
        assert cell.samples_ms == tuple(counted)
        assert cell.mean_ms == pytest.approx(sum(counted) / 3)
        assert cell.min_ms == min(counted)
        assert cell.median_ms == sorted(counted)[1]
        assert cell.tokens_per_s == pytest.approx(1000 * cell.tokens / cell.median_ms)
    assert [c.cache_bytes for c in result.cells] == [0, 0, 8 * 128, 28 * 128]
    assert sorted(settled, key=result.cells.index) == list(result.cells)
    assert result.speedup == pytest.approx(
        max(1.0, result.cells[1].median_ms / result.cells[3].median_ms)
    )
    assert [len(c.samples_ms) for c in result.cells] == [3] * 4
    assert [c.warm_ups for c in result.cells] == [8] * 4
    assert result.cells[1].proof is None
    proof = result.cells[3].proof
    assert proof.identical_tokens == proof.of == 20
    assert proof.near_ties == 0
    assert proof.max_logit_diff < 1e-5
    assert proof.held_out_tokens == 32
    assert proof.passes
    assert result.environment["threads"] == torch.get_num_threads()
    assert result.environment["max_seq_len"] == 32
    json.dumps(run.reports("benchmarks")[0])


def test_a_benchmark_past_the_end_of_the_context_is_proved_too(config: RunConfig) -> None:
    train(config)
    done = drive(recipes.benchmarking("tiny", BenchConfig(n=60, reps=1, warmup=0, seconds=0)))[-1]
    proof = done.result.cells[-1].proof
    assert proof.identical_tokens + proof.near_ties == 60
    assert done.result.cells[0].sd_ms == 0


def test_a_benchmark_needs_its_prompt(config: RunConfig) -> None:
    train(config)
    message, hint = refused(
        recipes.benchmarking("tiny", BenchConfig(prompt_tokens=100_000)), DataError
    )
    n = int(hint.removeprefix("Try prompt_tokens=").removesuffix("."))
    assert message == f"The held-out text has {n} tokens, and prompt_tokens=100000."
    assert drive(recipes.evaluation("tiny"))[-1].result.tokens == n - 1


@pytest.mark.parametrize("kind", ["evaluation", "benchmark"])
def test_a_measurement_that_was_stopped_is_not_kept(config: RunConfig, kind: str) -> None:
    run = train(config)
    session: recipes.Session = (
        recipes.evaluation("tiny")
        if kind == "evaluation"
        else recipes.benchmarking("tiny", BenchConfig(n=8))
    )
    events = []
    for event in session.run():
        events.append(event)
        if not isinstance(event, SetupProgressed):
            session.stop()
    assert sum(not isinstance(event, SetupProgressed) for event in events) == 1
    assert run.reports("evaluations") == run.reports("benchmarks") == []


def test_a_cache_that_lies_is_found_out(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof must be able to fail."""
    from core.model.layer_cache import StaticLayer

    train(config)
    honest = StaticLayer.extend

    def lie(self: StaticLayer, k: torch.Tensor, v: torch.Tensor) -> Any:
        return honest(self, k, v + 0.5)

    monkeypatch.setattr(StaticLayer, "extend", lie)
    bench = BenchConfig(n=4, reps=1, warmup=0, seconds=0, engines=("torch",))
    cell = drive(recipes.benchmarking("tiny", bench))[-1].result.cells[-1]
    assert cell.proof.max_logit_diff > 1e-3
    assert not cell.is_ranked


def test_a_damaged_checkpoint_is_refused_and_an_older_one_can_be_used(config: RunConfig) -> None:
    run = train(config)
    path = run.checkpoint_path(4) / "model.safetensors"
    save_file({"x": torch.zeros(1)}, path)
    for recipe in (recipes.evaluation, recipes.generation, recipes.benchmarking):
        message, hint = refused(recipe("tiny"), CheckpointError)
        assert message == (
            "The checkpoint at step 4 of tiny does not fit: blocks.0.attention.k_proj.weight"
            " is missing."
        )
        assert hint == "Use another one: tiny@STEP."
    assert drive(recipes.evaluation("tiny@2"))[-1].step == 2


def test_a_tokenizer_of_another_run_is_refused(config: RunConfig) -> None:
    run = train(config)
    other = train(config, "other", tokenizer="char")
    run.tokenizer_path.write_bytes(other.tokenizer_path.read_bytes())
    n = other.config.model.vocab_size
    assert refused(recipes.generation("tiny"), RunError) == (
        f"The tokenizer of tiny has {n} tokens, its model 256.",
        "Restore its tokenizer.json or run.toml.",
    )
