"""Whole runs, as the library, the command line and the app drive them."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from core import paths, recipes
from core.config import RunConfig, SamplingConfig
from core.errors import DataError, DeviceError, RunError, TokenizerError
from core.events import (
    BaselinePassed,
    BaselinesCounted,
    CheckpointSaved,
    Diverged,
    RunFinished,
    RunStarted,
    SampleCompleted,
    SetupProgressed,
    StepCompleted,
    ValidationCompleted,
)
from core.store.find import find_run
from core.store.metrics import read_metrics
from core.store.summary import list_runs
from tests.core.driven_runs import config as config
from tests.core.driven_runs import drive, refused, train


def test_a_run_tells_its_story_and_keeps_it(config: RunConfig) -> None:
    told = drive(recipes.training(config, name="tiny"))
    stages = list(dict.fromkeys(e.stage for e in told if isinstance(e, SetupProgressed)))
    assert stages == [
        "loading PyTorch",
        f"reading {config.text.corpus}",
        f"tokenising {config.text.corpus}",
        "counting baselines",
        "building the model",
    ]
    events = [e for e in told if not isinstance(e, SetupProgressed)]
    assert events == told[-len(events) :]
    assert [type(e) for e in events if not isinstance(e, BaselinePassed)] == [
        RunStarted,
        BaselinesCounted,
        CheckpointSaved,
        StepCompleted,
        StepCompleted,
        ValidationCompleted,
        CheckpointSaved,
        StepCompleted,
        StepCompleted,
        ValidationCompleted,
        SampleCompleted,
        CheckpointSaved,
        RunFinished,
    ]
    started, finished = events[0], events[-1]
    assert (started.run, started.step, started.steps) == ("tiny", 0, 4)
    assert (started.device, started.dtype, started.threads) == ("cpu", "float32", 1)
    assert (started.vocab_size, started.bytes_per_token, started.context) == (256, 1.0, 16)
    result = finished.result
    assert finished.reason == "budget"
    assert (result.steps, result.tokens, result.params) == (4, 4 * 2 * 16, started.n_params)
    assert result.val_loss == events[-4].loss
    assert result.val_perplexity == pytest.approx(math.exp(result.val_loss))
    assert result.wall_s == pytest.approx(
        result.train_s + result.eval_s + result.sample_s + result.save_s + result.setup_s, abs=0.5
    )
    run = find_run("tiny").run
    kept = read_metrics(run.path)
    assert [e["event"] for e in kept] == [type(e).__name__ for e in events]
    assert run.checkpoint_steps() == [2, 4]
    assert run.provenance["corpus_sha256"]
    assert list_runs()[0].state == "finished"
    assert run.config.model.vocab_size == 256


def test_a_mistake_is_told_before_anything_is_written(config: RunConfig) -> None:
    wrong = [
        (config.with_changes(corpus="/no/such"), DataError),
        (config.with_changes(threads=9999), DeviceError),
        (config.with_changes(context=16, validation_fraction=0.999), DataError),
    ]
    for changed, kind in wrong:
        refused(recipes.training(changed), kind)
    train(config)
    message, _ = refused(recipes.training(config, name="tiny"), RunError)
    assert message == "A run named 'tiny' exists already."
    refused(recipes.training(config, name="last"), RunError)
    assert [p.name for p in paths.runs_dir().iterdir()] == ["tiny"]


def test_a_session_costs_nothing_until_it_is_pulled(config: RunConfig) -> None:
    for session in (
        recipes.training(config),
        recipes.resuming("nothing"),
        recipes.evaluation("nothing"),
        recipes.generation("nothing"),
        recipes.benchmarking("nothing"),
    ):
        events = session.run()
        events.close()
    assert not paths.data_dir().exists()


@pytest.mark.parametrize("recipe", ["evaluation", "generation", "benchmarking", "resuming"])
def test_without_a_run_nothing_can_be_done_with_it(recipe: str) -> None:
    assert refused(getattr(recipes, recipe)(), RunError) == (
        "There is no run yet.",
        "Start one with: minitf train",
    )


def test_a_run_that_diverges_says_where_to_go_back_to(config: RunConfig) -> None:
    events = drive(
        recipes.training(
            config.with_changes(lr=1e30, warmup_steps=0, steps=50, eval_interval=1), name="tiny"
        )
    )
    run = find_run("tiny").run
    last = events[-1]
    assert isinstance(last, Diverged)
    assert last.checkpoint_step == run.checkpoint_steps()[-1]
    assert read_metrics(run.path)[-1]["event"] == "Diverged"
    assert list_runs()[0].state == "diverged"
    weights = load_file(run.checkpoint_path(last.checkpoint_step) / "model.safetensors")
    assert all(torch.isfinite(t).all() for t in weights.values())
    finished = drive(recipes.evaluation("tiny"))[-1]
    assert math.isfinite(finished.result.loss)
    assert run.best_step() is None or math.isfinite(run.best_validation()[0])


def test_the_listeners_time_is_neither_training_nor_saving(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every look at the clock takes a millisecond; the listener takes 1,000 s an event."""
    from core.training import clock

    now = [0.0]

    def tick() -> float:
        now[0] += 0.001
        return now[0]

    monkeypatch.setattr(clock.Clock.__init__, "__kwdefaults__", {"now": tick})
    events = []
    for event in recipes.training(config, name="tiny").run():
        events.append(event)
        now[0] += 1000 if isinstance(event, StepCompleted | CheckpointSaved) else 0
    result = events[-1].result
    assert result.train_s + result.eval_s + result.save_s + result.sample_s + result.setup_s < 1
    assert result.wall_s > 7000


def test_bfloat16_trains_and_generates(config: RunConfig) -> None:
    train(config, dtype="bfloat16", qk_norm=True)
    run = find_run("tiny").run
    assert run.provenance["dtype"] == "bfloat16"
    sampling = SamplingConfig(max_new_tokens=40)
    last = drive(recipes.generation("tiny", sampling, dtype="bfloat16"))[-1]
    assert len(last.result.tokens) == 40
    *_, last = drive(recipes.resuming("tiny", steps=5))
    assert last.result.steps == 5


def test_a_device_that_is_not_there_is_refused(config: RunConfig, monkeypatch: Any) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert refused(recipes.training(config.with_changes(device="cuda")), DeviceError) == (
        "This machine has no 'cuda' that PyTorch can use.",
        "Available: cpu.",
    )
    assert refused(recipes.training(config.with_changes(threads=1025)), DeviceError) == (
        "threads=1025 is above 1024.",
        "0 takes one thread a core.",
    )


def test_the_sample_prompt_is_continued(config: RunConfig) -> None:
    events = drive(recipes.training(config.with_changes(sample_prompt="fish"), name="tiny"))
    (sample,) = [e for e in events if isinstance(e, SampleCompleted)]
    assert sample.prompt == "fish"
    none = drive(recipes.training(config.with_changes(sample_tokens=0), name="mute"))
    assert not any(isinstance(e, SampleCompleted) for e in none)


def test_the_environment_chooses_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert paths.runs_dir() == paths.data_dir() / "runs"
    assert paths.log_dir() == paths.data_dir() / "logs"
    monkeypatch.setenv("MINITF_HOME", "~/x")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert paths.data_dir() == tmp_path / "x"
    assert paths.cache_dir() == tmp_path / "x" / "cache"
    monkeypatch.delenv("MINITF_HOME")
    for name in [n for n in os.environ if n.startswith("XDG_")]:
        monkeypatch.delenv(name)
    assert "minitf" in str(paths.data_dir())
    assert "minitf" in str(paths.cache_dir())
    assert paths.data_dir() != paths.cache_dir()
    assert list(tmp_path.iterdir()) == []


def test_a_sample_prompt_that_cannot_be_read_is_refused_before_anything_is_made(
    config: RunConfig,
) -> None:
    changed = config.with_changes(tokenizer="char", sample_prompt="☃")
    message, _ = refused(recipes.training(changed, name="tiny"), TokenizerError)
    assert "'☃'" in message
    assert not (paths.runs_dir() / "tiny").exists()


def test_weights_that_broke_are_not_asked_to_write(config: RunConfig) -> None:
    changed = config.with_changes(lr=1e38, grad_clip=0.0, steps=9, warmup_steps=0)
    changed = changed.with_changes(sample_interval=1, eval_interval=0, checkpoint_interval=0)
    last = drive(recipes.training(changed, name="tiny"))[-1]
    assert isinstance(last, Diverged)
    assert last.checkpoint_step == 0


def test_a_file_that_goes_while_we_look_does_not_break_the_list(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(config)
    walk = os.walk
    monkeypatch.setattr(os, "walk", lambda folder: [*walk(folder), (folder, [], ["gone"])])
    assert list_runs()[0].size_bytes > 0


def test_what_this_machine_cannot_hold_is_refused_before_there_is_a_run(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.measure.machine.memory_bytes", lambda: (3 << 30, None))
    large = config.with_changes(batch_size=2_000_000)
    assert refused(recipes.training(large, name="large"), DeviceError) == (
        "Training would take about 129 GiB of memory; the machine has 3.",
        "Try a smaller model, batch_size, context or vocab_size.",
    )
    assert list_runs() == []
