"""The library in four calls."""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

import core
from core import recipes
from core.config import RunConfig
from core.errors import ConfigError, MinitfError
from core.events import (
    Event,
    Export,
    ExportCompleted,
    Import,
    ImportCompleted,
    RunFinished,
    SetupProgressed,
    StepCompleted,
)
from core.jobs import Job
from core.store.find import find_run
from core.testing import tiny_run_config


@pytest.fixture
def config(text_file: str) -> RunConfig:
    return tiny_run_config(text_file)


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from numbers(item)
    elif isinstance(value, float):
        yield value


def test_train_evaluate_generate_benchmark(config: RunConfig) -> None:
    trained = core.train(config, name="tiny", steps=6)
    evaluated = core.evaluate(trained.run)
    written = core.generate(trained.path, "The river", max_new_tokens=12, seed=3)
    timed = core.benchmark("last", n=4, reps=2, warmup=0, seconds=0)

    assert (trained.run, trained.steps) == ("tiny", 6)
    assert evaluated.loss == pytest.approx(trained.val_loss, rel=1e-6)
    assert len(written.tokens) == 12
    assert timed.cells[-1].proof.identical_tokens == 4
    for result in (trained, evaluated, written, timed):
        plain = json.loads(json.dumps(asdict(result)))
        assert all(map(math.isfinite, numbers(plain)))
    assert [run.name for run in core.list_runs()] == ["tiny"]


@pytest.mark.parametrize(
    ("kind", "promised"),
    [
        (
            "TrainResult",
            "run path steps tokens params context train_s eval_s sample_s save_s setup_s wall_s"
            " val_loss val_perplexity bits_per_byte floor_loss accuracy baselines agreement",
        ),
        (
            "Evaluation",
            "loss loss_ci95 perplexity bits_per_byte top1 top5 tokens bytes stride context"
            " floor_loss baselines accuracy problems cache cache_cost cache_cost_ci95",
        ),
        ("Generation", "text prompt_tokens tokens ttft_ms tokens_per_s stop stop_string"),
        ("GenerationBatch", "continuations prompt_tokens ttft_ms tokens_per_s"),
        ("Benchmark", "cells ratios limits speedup skipped environment"),
    ],
)
def test_results_have_the_fields_of_the_json_that_is_promised(kind: str, promised: str) -> None:
    assert " ".join(getattr(core, kind).__dataclass_fields__) == promised


def test_a_job_can_be_watched(config: RunConfig) -> None:
    told: list[Event] = []
    core.train(config, on_event=told.append)
    assert sum(isinstance(e, StepCompleted) for e in told) == 4
    assert isinstance(told[-1], RunFinished)


def test_a_preset_can_be_named_and_changed(text_file: str) -> None:
    result = core.train(
        "seed", corpus=text_file, tokenizer="byte", steps=1, d_model=16, max_tokens=0, context=32
    )
    assert (result.run, result.steps, result.context) == ("river-1", 1, 32)


def test_resume_goes_on(config: RunConfig) -> None:
    core.train(config, name="tiny")
    assert core.resume("tiny").steps == 4
    assert core.resume("last", steps=5).steps == 5


def test_a_run_that_diverges_is_an_error(config: RunConfig) -> None:
    with pytest.raises(
        MinitfError, match=r"Training ended at step \d+: .* is (nan|inf)\."
    ) as caught:
        core.train(config, lr=1e30, warmup_steps=0, steps=50)
    assert caught.value.hint == "Try a smaller lr, a longer warm-up, or grad_clip=1."


def test_a_wrong_setting_is_refused(config: RunConfig) -> None:
    with pytest.raises(ConfigError, match="There is no setting 'colour'"):
        core.train(config, colour="red")
    with pytest.raises(ConfigError, match=r"top_p=2 is not in \(0, 1\]"):
        core.generate("tiny", top_p=2.0)


def test_several_continuations_are_what_their_seeds_give_alone(config: RunConfig) -> None:
    core.train(config, name="tiny")
    batch = core.generate_batch("tiny", "The ", count=3, max_new_tokens=20, seed=5)
    alone = [core.generate("tiny", "The ", max_new_tokens=20, seed=5 + i).text for i in range(3)]
    assert [one.text for one in batch.continuations] == alone
    assert len(set(alone)) == 3


def test_one_and_several_are_asked_for_by_their_names() -> None:
    with pytest.raises(ConfigError) as caught:
        core.generate("tiny", count=2)
    assert str(caught.value) == "generate writes one continuation, and count=2."
    assert caught.value.hint == "generate_batch writes several."
    with pytest.raises(ConfigError) as caught:
        core.generate_batch("tiny", count=1)
    assert str(caught.value) == "generate_batch writes several continuations, and count=1."
    assert caught.value.hint == "generate writes one."


def test_another_text_can_be_scored(config: RunConfig, text_file: str) -> None:
    core.train(config, name="tiny")
    found = core.evaluate("tiny", text=Path(text_file), stride=8, threads=1)
    assert found.bytes == len(Path(text_file).read_bytes()) - 1


def test_a_cache_that_forgets_is_scored_and_not_kept(config: RunConfig) -> None:
    run = core.train(config, name="tiny").run
    found = core.evaluate("tiny", cache="window", window=2, threads=1)
    assert found.cache == "window 2"
    assert found.cache_cost
    assert find_run(run).run.reports("evaluations") == []
    assert core.evaluate("tiny", threads=1).cache_cost is None
    assert len(find_run(run).run.reports("evaluations")) == 1


def test_the_cache_changes_the_speed_alone(config: RunConfig) -> None:
    core.train(config, name="tiny")
    texts = {
        core.generate("tiny", max_new_tokens=50, cache=cache).text for cache in ("static", "none")
    }
    assert len(texts) == 1


def test_an_interrupt_saves_before_it_is_raised(text_file: str) -> None:
    def press(event: object) -> None:
        if isinstance(event, StepCompleted) and event.step == 3:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        core.train(tiny_run_config(text_file, steps=500), name="cut", on_event=press)
    assert find_run("cut").step in (3, 4)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_models_leave_and_arrive_as_they_were_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def session(done: Any) -> Any:
        def make(*args: Any, **how: Any) -> Job[Any]:
            asked.append((*args, how))
            return Job(lambda _: iter([SetupProgressed(stage="x"), done]))

        return make

    gone = Export(
        run="a",
        step=3,
        format="gguf",
        path="/a.gguf",
        architecture="llama",
        number_type="f16",
        bytes=8,
    )
    come = Import(
        run="b",
        path="/runs/b",
        source="b.gguf",
        format="gguf",
        architecture="llama",
        step=0,
        n_params=1,
        vocab_size=2,
        context=3,
        corpus="c",
        bytes=4,
    )
    monkeypatch.setattr(recipes, "exporting", session(ExportCompleted(result=gone)))
    monkeypatch.setattr(recipes, "importing", session(ImportCompleted(result=come)))
    told: list[Event] = []
    assert core.export_model("a", "a.gguf", format="gguf", number_type="f16") is gone
    assert core.import_model("b.gguf", "b", max_seq_len=64, on_event=told.append) is come
    assert [type(event) for event in told] == [SetupProgressed, ImportCompleted]
    how = {"out": "a.gguf", "format": "gguf", "number_type": "f16", "overwrite": False}
    assert asked == [("a", how), ("b.gguf", {"name": "b", "max_seq_len": 64})]
