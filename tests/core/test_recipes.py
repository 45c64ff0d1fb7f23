"""Whole runs, as the library, the command line and the app drive them."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from core import paths, recipes
from core.config import BenchConfig, RunConfig, SamplingConfig
from core.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    DeviceError,
    RunError,
    TokenizerError,
)
from core.events import (
    BaselinePassed,
    BaselinesCounted,
    BenchmarkCompleted,
    CellSettled,
    CheckpointSaved,
    Controlled,
    Diverged,
    EvaluationCompleted,
    GenerationFinished,
    RepetitionCompleted,
    RunFinished,
    RunStarted,
    SampleCompleted,
    SetupProgressed,
    StepCompleted,
    TokenGenerated,
    ValidationCompleted,
)
from core.store.find import find_run
from core.store.metrics import read_metrics
from core.store.run import Run
from core.store.summary import list_runs
from core.testing import tiny_run_config


@pytest.fixture
def config(text_file: str) -> RunConfig:
    return tiny_run_config(text_file)


def drive(session: Any) -> list[Any]:
    return list(session.run())


def train(config: RunConfig, name: str = "tiny", **changes: Any) -> Run:
    drive(recipes.training(config.with_changes(**changes), name=name))
    return find_run(name).run


def refused(session: Any, kind: type[Exception]) -> tuple[str, str]:
    with pytest.raises(kind) as caught:
        drive(session)
    return str(caught.value), caught.value.hint  # type: ignore[attr-defined]


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


def test_stopping_saves_and_says_so(config: RunConfig) -> None:
    session = recipes.training(config, name="tiny")
    events = []
    for event in session.run():
        events.append(event)
        if isinstance(event, StepCompleted):
            session.stop()
    kinds = [StepCompleted, Controlled, CheckpointSaved, RunFinished]
    assert [type(e) for e in events[-4:]] == kinds
    assert (events[-1].reason, events[-1].result.steps) == ("stopped", 1)
    assert events[-1].result.val_loss is None
    run = find_run("tiny").run
    assert run.checkpoint_steps() == [0, 1]
    assert list_runs()[0].state == "stopped"


def test_stopping_cuts_a_validation_short(config: RunConfig) -> None:
    session = recipes.training(config, name="tiny")
    events = []
    for event in session.run():
        events.append(event)
        if isinstance(event, StepCompleted) and event.step == 2:
            session.stop()
    assert not any(isinstance(e, ValidationCompleted) for e in events)


def test_resuming_a_finished_run_says_so(config: RunConfig) -> None:
    run = train(config)
    before = (run.path / "metrics.jsonl").read_bytes()
    *_, last = drive(recipes.resuming("tiny"))
    assert isinstance(last, RunFinished)
    assert last.reason == "finished already"
    assert (last.result.steps, last.result.tokens) == (4, 128)
    assert last.result.val_loss is not None
    assert last.result.train_s > 0
    assert (run.path / "metrics.jsonl").read_bytes() == before


def test_a_larger_budget_wakes_a_finished_run(config: RunConfig) -> None:
    train(config)
    events = drive(recipes.resuming("tiny", steps=6))
    started = next(e for e in events if isinstance(e, RunStarted))
    assert (started.step, started.steps) == (4, 6)
    assert [e.step for e in events if isinstance(e, StepCompleted)] == [5, 6]
    assert events[-1].reason == "budget"
    assert [e["step"] for e in read_metrics(find_run("tiny").run.path)
            if e["event"] == "StepCompleted"] == [1, 2, 3, 4, 5, 6]  # fmt: skip


def test_a_budget_in_seconds_ends_a_run(config: RunConfig) -> None:
    train(config)
    *_, last = drive(recipes.resuming("tiny", seconds=1e-6))
    assert last.reason == "finished already"
    assert find_run("tiny").run.config.train.steps == 0


def test_a_run_goes_on_from_its_newest_checkpoint_alone(config: RunConfig) -> None:
    train(config)
    assert refused(recipes.resuming("tiny@2"), RunError) == (
        "A run goes on from its newest checkpoint, not from 'tiny@2'.",
        "Leave out @2.",
    )


def test_a_run_killed_before_its_first_checkpoint_starts_again(config: RunConfig) -> None:
    events = recipes.training(config, name="tiny").run()
    while not isinstance(next(events), RunStarted):
        pass
    events.close()
    run = find_run("tiny", needs_checkpoint=False).run
    for path in run.checkpoint_path(0).glob("*"):
        path.unlink()
    if run.checkpoint_path(0).exists():
        run.checkpoint_path(0).rmdir()
    *_, last = drive(recipes.resuming("tiny"))
    assert last.result.steps == 4
    steps = [e["step"] for e in read_metrics(run.path) if e["event"] == "StepCompleted"]
    assert steps == [1, 2, 3, 4]


def test_a_second_trainer_on_a_run_is_refused(config: RunConfig) -> None:
    events = recipes.training(config, name="tiny").run()
    while not isinstance(next(events), StepCompleted):
        pass
    expected = (
        "The run tiny is in use by another minitf.",
        "Wait for it to end, or stop it there.",
    )
    assert refused(recipes.resuming("tiny"), RunError) == expected
    assert refused(recipes.resuming("tiny", steps=9), RunError) == expected
    assert find_run("tiny").run.config.train.steps == 4
    assert list_runs()[0].state == "running"
    events.close()
    assert list_runs()[0].state == "stopped"


def test_a_run_resumes_from_another_folder_and_without_its_cache(
    config: RunConfig, text_file: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(Path(text_file).parent)
    run = train(config, corpus=Path(text_file).name)
    assert run.config.text.corpus == text_file
    for path in (paths.cache_dir() / "tokens").iterdir():
        path.unlink()
    monkeypatch.chdir("/")
    *_, last = drive(recipes.resuming("tiny", steps=5))
    assert last.result.steps == 5


def test_a_corpus_that_changed_stops_a_resume(config: RunConfig, text_file: str) -> None:
    train(config)
    Path(text_file).write_text("another text " * 400, encoding="utf-8")
    *_, last = drive(recipes.resuming("tiny", steps=5))
    assert last.result.steps == 5, "the cache still has the old text"
    for path in (paths.cache_dir() / "tokens").iterdir():
        path.unlink()
    message, hint = refused(recipes.resuming("tiny", steps=6), RunError)
    assert message == f"The corpus {text_file!r} has changed since tiny was made."
    assert hint == (
        "Restore the old text, or start a new run. What comes with Python changes with Python."
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


def test_a_run_closed_with_broken_weights_does_not_save_them(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = recipes.training(config, name="tiny").run()
    for event in events:
        if isinstance(event, StepCompleted):
            break
    monkeypatch.setattr("core.training.session.first_not_finite", lambda _: "head.weight")
    events.close()
    assert find_run("tiny").run.checkpoint_steps() == [0]


def test_a_full_disk_does_not_hide_why_a_run_was_left(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    events = recipes.training(config, name="tiny").run()
    for event in events:
        if isinstance(event, StepCompleted):
            break
    monkeypatch.setattr("core.training.session.save_checkpoint", fail)
    events.close()
    assert find_run("tiny").run.checkpoint_steps() == [0]
    assert list_runs()[0].state == "stopped"


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


def _after_setup(session: Any) -> list[Any]:
    return [event for event in drive(session) if not isinstance(event, SetupProgressed)]


def test_generation_continues_a_prompt_or_held_out_text(config: RunConfig) -> None:
    train(config)
    sampling = SamplingConfig(prompt="日 river", max_new_tokens=5)
    # The first engine of a machine is compiled, and tells so.
    read, *written, last = _after_setup(recipes.generation("tiny", sampling))
    assert (read.prompt, read.prompt_tokens) == ("日 river", 9)
    assert all(isinstance(e, TokenGenerated) for e in written)
    assert len(written) == 5
    assert isinstance(last, GenerationFinished)
    read, *_ = _after_setup(recipes.generation("tiny", replace(sampling, prompt="")))
    assert read.prompt == "The river number"


def test_a_way_to_write_is_proved_on_its_prompt(config: RunConfig) -> None:
    train(config)
    sampling = SamplingConfig(prompt="river", max_new_tokens=5)
    *_, exact = drive(recipes.proving("tiny", sampling))
    assert (exact.proof.identical_tokens, exact.proof.of) == (5, 5)
    assert exact.proof.passes
    assert exact.proof.is_exact
    *_, rounded = drive(recipes.proving("tiny", replace(sampling, bits="8")))
    assert not rounded.proof.is_exact
    assert rounded.proof.mean_kld > exact.proof.mean_kld


def test_a_prompt_may_be_any_bytes(config: RunConfig) -> None:
    """As the command line hands them over."""
    train(config)
    prompt = b"a\xff\xfeb".decode("utf-8", "surrogateescape")
    sampling = SamplingConfig(prompt=prompt, max_new_tokens=2)
    read = drive(recipes.generation("tiny", sampling))[1]
    assert read.prompt_tokens == 4


def test_generation_stops_when_asked(config: RunConfig) -> None:
    train(config)
    session = recipes.generation("tiny", SamplingConfig(max_new_tokens=10_000))
    events = []
    for event in session.run():
        events.append(event)
        if len(events) == 6:
            session.stop()
    assert events[-1].result.stop == "stopped"
    assert len(events) < 10


def test_a_conversation_is_held_with_a_run(config: RunConfig) -> None:
    train(config)
    conversation = recipes.conversing("tiny", SamplingConfig(max_new_tokens=5))
    assert (conversation.text, conversation.n_tokens, conversation.undo()) == ("", 0, False)
    conversation.reset()
    assert [e.stage for e in conversation.open()] == ["loading the run"]
    assert list(conversation.open()) == []
    *_, first = conversation.say("The river")
    assert conversation.text == "The river" + first.continuations[0].text
    conversation.sampling = replace(conversation.sampling, max_new_tokens=3)
    *_, second = conversation.say("and")
    assert len(second.continuations[0].tokens) == 3
    assert conversation.n_tokens == 9 + 5 + 4 + 3
    assert conversation.undo()
    assert conversation.n_tokens == 14
    conversation.reset()
    conversation.reseed(0)
    assert conversation.text == ""


def test_a_turn_stops_when_asked_and_the_next_one_goes_on(config: RunConfig) -> None:
    train(config)
    conversation = recipes.conversing("tiny", SamplingConfig(max_new_tokens=10_000))
    for event in conversation.say("The"):  # loads the run by itself
        if isinstance(event, TokenGenerated) and event.index == 4:
            conversation.stop()
    assert isinstance(event, GenerationFinished)
    assert event.continuations[0].stop == "stopped"
    assert conversation.n_tokens == 7
    conversation.sampling = SamplingConfig(max_new_tokens=2)
    *_, last = conversation.say("")
    assert len(last.continuations[0].tokens) == 2


def test_what_is_set_before_the_run_is_loaded_counts(config: RunConfig) -> None:
    train(config)
    one, other = (recipes.conversing("tiny", SamplingConfig(max_new_tokens=9)) for _ in range(2))
    one.reseed(5)
    *_, left = one.say("The")
    other.sampling = SamplingConfig(max_new_tokens=9, seed=5)
    *_, right = other.say("The")
    assert left.result.text == right.result.text


def test_a_conversation_with_no_run_is_refused_when_it_is_opened() -> None:
    conversation = recipes.conversing("nothing")
    with pytest.raises(RunError, match="There is no run 'nothing'"):
        list(conversation.open())


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


def test_a_generation_reads_only_what_the_one_before_did_not(config: RunConfig) -> None:
    train(config)
    kept = recipes.KeptRun()

    def write(
        prompt: str, kept: recipes.KeptRun | None = kept, run: str = "tiny", **how: Any
    ) -> Any:
        sampling = SamplingConfig(prompt=prompt, max_new_tokens=5, **how)
        _, read, *_, last = drive(recipes.generation(run, sampling, kept=kept))
        return read.shared_tokens, last.continuations[-1].text

    assert write("the old")[0] == 0
    assert write("the older")[0] == 7
    assert write("the o")[0] == 4, "the last token is fed again"
    assert write("the o", count=2)[0] == 4
    assert write("the o", count=2) == (4, write("the o", None, count=2)[1])
    for prompt in ("the older one", "the x", "a", "the older one"):
        assert write(prompt)[1] == write(prompt, None)[1]
    assert write("the o", cache="none")[0] == 0, "another decoder"
    assert write("the o", cache="none")[0] == 4
    assert write("the o", cache="none", bits="8")[0] == 0, "other weights"
    assert write("the o", cache="none", bits="8", run="tiny@2")[0] == 0, "another checkpoint"


def test_a_generation_that_broke_leaves_no_decoder(config: RunConfig) -> None:
    train(config)
    kept, sampling = recipes.KeptRun(), SamplingConfig(prompt="the", max_new_tokens=9)
    drive(recipes.generation("tiny", sampling, kept=kept))
    work = recipes.generation("tiny", sampling, kept=kept).run()
    for _ in range(4):
        next(work)
    work.close()
    _, read, *_ = drive(recipes.generation("tiny", sampling, kept=kept))
    assert read.shared_tokens == 0


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


@pytest.mark.slow
def test_epochs_are_counted_in_steps_once_the_text_is_known(config: RunConfig) -> None:
    run = train(config, epochs=1.5)
    started = read_metrics(run.path)[0]
    wanted = math.ceil(1.5 * started["train_tokens"] / (2 * 16))
    assert started["event"] == "RunStarted"
    assert started["steps"] == run.config.train.steps == wanted
    assert run.checkpoint_steps()[-1] == wanted


def test_the_nearest_of_several_budgets_ends_the_run(config: RunConfig) -> None:
    assert train(config, steps=3, epochs=50.0).config.train.steps == 3


def test_a_validation_that_a_stop_prevented_is_made_up_for(config: RunConfig) -> None:
    session = recipes.training(config, name="tiny")
    events = session.run()
    for event in events:
        if isinstance(event, StepCompleted) and event.step == 4:  # the last step of the budget
            session.stop()
    run = find_run("tiny").run
    assert run.checkpoint_state(4)["validation"] is None
    finished = drive(recipes.resuming("tiny"))[-1]
    assert isinstance(finished, RunFinished)
    assert finished.reason == "budget"
    assert finished.result.val_loss is not None
    assert run.checkpoint_state(4)["validation"]["step"] == 4
    assert drive(recipes.resuming("tiny"))[-1].reason == "finished already"


def test_a_state_that_lacks_a_field_is_a_damaged_checkpoint(config: RunConfig) -> None:
    run = train(config)
    path = run.checkpoint_path(4) / "state.json"
    state = json.loads(path.read_bytes())
    del state["spent_s"]
    path.write_text(json.dumps(state), encoding="utf-8")
    message, hint = refused(recipes.resuming("tiny"), CheckpointError)
    assert message == "The checkpoint at step 4 of tiny is damaged: state.json: 'spent_s'."
    assert hint == f"Delete {run.checkpoint_path(4)} to go on from the one before."


def test_a_sample_prompt_that_cannot_be_read_is_refused_before_anything_is_made(
    config: RunConfig,
) -> None:
    changed = config.with_changes(tokenizer="char", sample_prompt="☃")
    message, _ = refused(recipes.training(changed, name="tiny"), TokenizerError)
    assert "'☃'" in message
    assert not (paths.runs_dir() / "tiny").exists()


@pytest.mark.slow
def test_a_run_of_epochs_cannot_be_resumed_without_an_end(config: RunConfig) -> None:
    train(config, epochs=0.5)
    assert refused(recipes.resuming("tiny", steps=0), ConfigError) == (
        "tiny cannot go on: its new budget is steps=0, seconds=0, epochs=0 and tokens=0.",
        "Give steps, seconds, epochs or tokens; the nearest ends the run.",
    )
    assert find_run("tiny").run.config.train.steps > 0


def test_a_stop_during_the_set_up_leaves_nothing(config: RunConfig) -> None:
    session = recipes.training(config, name="tiny")
    events = session.run()
    next(events)
    session.stop()
    assert all(isinstance(event, SetupProgressed) for event in events)
    assert not (paths.runs_dir() / "tiny").exists()


def test_weights_that_broke_are_not_asked_to_write(config: RunConfig) -> None:
    changed = config.with_changes(lr=1e38, grad_clip=0.0, steps=9, warmup_steps=0)
    changed = changed.with_changes(sample_interval=1, eval_interval=0, checkpoint_interval=0)
    last = drive(recipes.training(changed, name="tiny"))[-1]
    assert isinstance(last, Diverged)
    assert last.checkpoint_step == 0


def test_a_run_in_use_is_not_read_before_it_is_free(config: RunConfig) -> None:
    run = train(config)
    with run.lock():
        message, _ = refused(recipes.resuming("tiny", steps=9), RunError)
    assert message == "The run tiny is in use by another minitf."
    assert find_run("tiny").run.config.train.steps == 4


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
