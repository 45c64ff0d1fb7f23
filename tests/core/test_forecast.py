"""The forecast: real steps, honest sums, nothing kept."""

from __future__ import annotations

import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import core
from core import paths, recipes
from core.config import RunConfig
from core.errors import ConfigError, DataError
from core.events import Forecast, ForecastCompleted, ForecastProgressed, SetupProgressed
from core.measure import costs as costs_of
from core.measure import forecast as measured
from core.measure import ground as grounds
from core.measure.costs import Costs, health_s, peak_bytes, sample_s, validation_s
from core.measure.forecast import Behind, extrapolate, with_health
from core.measure.ground import Ground
from core.measure.trial import Trial
from core.model import arithmetic
from core.model.transformer import Transformer
from core.store.tokens import tokenize_corpus
from core.testing import CPU, tiny_run_config
from core.text.problem_batches import ProblemBatches

COSTS = Costs(step_s=2.0, validation_s=10.0, sample_s=100.0, checkpoint_s=1000.0)


@pytest.fixture
def config(text_file: str) -> RunConfig:
    return tiny_run_config(text_file)


def result_of(config: RunConfig, seconds: float = 0.02) -> Forecast:
    *_, last = recipes.forecasting(config, seconds=seconds).run()
    assert isinstance(last, ForecastCompleted)
    return last.result


def test_it_tells_its_steps_and_ends_with_its_result(config: RunConfig) -> None:
    events = list(recipes.forecasting(config, seconds=0.02).run())
    told = [e for e in events if isinstance(e, ForecastProgressed)]
    assert [e.index for e in told] == list(range(-1, len(told) - 1))
    assert told[-1].index >= 1
    assert max(e.share for e in told[:2]) < 0.5
    assert told[-1].share == 1.0
    counted = [e.step_ms for e in told if e.index > 0]
    result = events[-1].result
    assert result.step_ms == pytest.approx(np.mean(counted))
    if len(counted) > 1:
        assert result.step_ms_sd == pytest.approx(np.std(counted, ddof=1))
    assert isinstance(events[0], SetupProgressed)


def test_nothing_is_written_to_the_runs_folder(config: RunConfig) -> None:
    result_of(config)
    assert not paths.runs_dir().exists()
    assert core.list_runs() == []


def test_a_run_of_steps_is_multiplied(config: RunConfig) -> None:
    result = result_of(config.with_changes(steps=500, grad_accum=3))
    assert result.steps == 500
    assert result.tokens == 500 * 2 * 3 * 16
    # Of each second of training 6 ms may go to a look at the model's health.
    assert result.train_s == pytest.approx(500 * result.step_ms / 1000 / (1 - 0.6 * 0.01))
    assert result.tokens_per_s == pytest.approx(96 / result.step_ms * 1000)
    assert result.total_s > result.train_s


def test_the_parameters_are_the_models(config: RunConfig) -> None:
    trained = core.train(config, name="tiny")
    assert result_of(config).n_params == trained.params


@pytest.mark.parametrize(
    ("budget", "steps"),
    [
        ({"steps": 7}, 7),
        ({"seconds": 20.5}, 11),
        ({"epochs": 2.5}, 79),  # 2.5 · 1000 / 32
        ({"tokens": 65}, 3),
        ({"steps": 7, "tokens": 65}, 3),
        ({"steps": 7, "seconds": 4.0, "epochs": 2.5, "tokens": 96}, 2),
        ({"epochs": 1e-9}, 1),
    ],
)
def test_the_nearest_budget_ends_it(config: RunConfig, budget: dict[str, Any], steps: int) -> None:
    assert extrapolate(config.with_changes(**budget), 1000, COSTS)[0] == steps


@pytest.mark.parametrize(
    ("intervals", "expected"),
    [
        # 10 steps; validations at 3 6 9 10, samples at 4 8 10, checkpoints there, at 0 and at 5
        ((3, 4, 5), 40 + 300 + 6000),
        ((0, 0, 0), 10 + 100 + 2000),
        ((5, 0, 5), 20 + 100 + 3000),
    ],
)
def test_what_is_done_between_steps_is_added(
    config: RunConfig, intervals: tuple[int, int, int], expected: float
) -> None:
    names = ("eval_interval", "sample_interval", "checkpoint_interval")
    changed = config.with_changes(steps=10, **dict(zip(names, intervals, strict=True)))
    assert extrapolate(changed, 1000, COSTS) == (10, 20.0, expected)


def test_what_compiling_takes_is_training_time_once(config: RunConfig) -> None:
    compiled = replace(COSTS, compile_s=8.0)
    limited = config.with_changes(steps=0, seconds=20.0)
    assert extrapolate(limited, 1000, compiled)[:2] == (6, 20.0)
    assert extrapolate(config.with_changes(steps=7), 1000, compiled)[:2] == (7, 22.0)
    short = config.with_changes(steps=0, seconds=5.0)  # a step is taken before anybody looks
    assert extrapolate(short, 1000, compiled)[:2] == (1, 10.0)
    assert extrapolate(limited, 1000, compiled, Behind(9, 15.0))[:2] == (10, 10.0)
    assert extrapolate(limited, 1000, compiled, Behind(9, 20.0)) == (9, 0.0, 0.0)


@given(st.integers(1, 200), st.lists(st.integers(0, 40), max_size=3))
def test_what_is_due_is_counted_as_a_loop_would(steps: int, intervals: list[int]) -> None:
    due = [n for n in range(1, steps + 1) if n == steps or any(i and n % i == 0 for i in intervals)]
    assert measured._times(steps, *intervals) == len(due)


def test_a_large_budget_takes_no_memory(config: RunConfig) -> None:
    changed = config.with_changes(steps=10**6, eval_interval=1, checkpoint_interval=7)
    tracemalloc.start()
    try:
        extrapolate(changed, 1000, COSTS)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100_000


def test_the_intervals_are_those_of_a_real_run(config: RunConfig) -> None:
    """Against a run, which counts by itself; its validations get better each time."""
    config = config.with_changes(
        steps=10, eval_interval=3, sample_interval=4, checkpoint_interval=5, lr=1e-2
    )
    counts: dict[str, int] = {}

    def count(event: Any) -> None:
        counts[type(event).__name__] = counts.get(type(event).__name__, 0) + 1

    core.train(config, on_event=count)
    beside = (
        counts["ValidationCompleted"] * COSTS.validation_s
        + counts["SampleCompleted"] * COSTS.sample_s
        + counts["CheckpointSaved"] * COSTS.checkpoint_s
    )
    assert extrapolate(config, 1000, COSTS) == (10, 10 * COSTS.step_s, beside)


def on_ground(config: RunConfig, ground: Ground) -> Trial:
    config = ground.settled(config)
    return Trial(config, CPU, Transformer(config.model, seed=0), ground.batches(config))


def ground(n_validation: int = 400) -> Ground:
    ids = np.random.default_rng(0).integers(0, 31, 2000)
    return Ground(ids, ids[:n_validation], 2000, n_validation, 31)


def trial(config: RunConfig) -> Trial:
    return on_ground(config, ground())


def test_a_validation_is_extrapolated_from_a_part(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that shows one second more whenever it is looked at."""
    monkeypatch.setattr("core.measure.evaluate.LOGITS_PER_BATCH", 16 * 31)
    seconds = iter(range(1000))
    monkeypatch.setattr(costs_of.time, "perf_counter", lambda: float(next(seconds)))
    whole = validation_s(trial(config), ground(161), at_most=1e9)
    assert whole == pytest.approx(10 * 161 / 160)  # ten windows of 16
    part = validation_s(trial(config), ground(161), at_most=3.5)
    assert part == pytest.approx(4 * 161 / 64)


def test_a_sample_is_extrapolated_from_its_first_tokens(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed = []
    monkeypatch.setattr(
        costs_of.Decoder, "feed", lambda self, ids: fed.append(ids) or torch.zeros(31)
    )
    seconds = iter([0.0, 4.0])
    monkeypatch.setattr(costs_of.time, "perf_counter", lambda: next(seconds))
    assert sample_s(trial(config.with_changes(sample_tokens=96)), None, 1e9) == 48.0
    assert len(fed) == 8
    assert sample_s(trial(config.with_changes(sample_tokens=0)), None, 1e9) == 0.0


@pytest.mark.parametrize(
    "switches",
    [
        {},
        {"positions": "learned", "tied_head": True},
        {"optimizer": "muon"},
        {"optimizer": "sgd", "tied_head": True},
    ],
)
def test_the_peak_is_near_what_arithmetic_says(config: RunConfig, switches: dict[str, Any]) -> None:
    """Two ways to one number: tensors that were kept, and a formula from the config."""
    config = config.with_changes(
        d_model=64, n_layers=3, n_heads=4, batch_size=16, context=32, **switches
    )
    found = peak_bytes(trial(config))
    formula = recipes.estimate(
        RunConfig.from_dict({"model": {"vocab_size": 31}}, config)
    ).training_bytes
    assert found == pytest.approx(formula, rel=0.2)
    moments = arithmetic.count_moments(trial(config).model.config, config.train.optimizer)
    kept = sum(t.nbytes for n, t in trial(config).optimizer.state().items() if "step" not in n)
    assert kept == 4 * moments
    accumulated = peak_bytes(trial(config.with_changes(grad_accum=5)))
    assert accumulated == found


def test_a_large_text_is_not_read(
    config: RunConfig, text_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = Path(text_file).stat().st_size
    monkeypatch.setattr(grounds, "SMALL_BYTES", size - 1)
    monkeypatch.setattr(grounds, "tokenize_corpus", None)
    result = result_of(config.with_changes(epochs=1.0))
    n_validation = int(size * config.text.validation_fraction)
    assert result.steps == -(-(size - n_validation) // 32)
    cut = result_of(config.with_changes(epochs=1.0, max_tokens=1000, tokenizer="bpe"))
    assert cut.steps == -(-900 // 32)
    assert not paths.cache_dir().exists()


def test_a_tasks_rows_begin_with_its_problems(config: RunConfig) -> None:
    """What the model is given in each step, against what a run's batches hold."""
    config = config.with_changes(
        corpus="task:addition",
        tokenizer="char",
        generated_chars=3000,
        context=32,
        answers_only=True,
    )
    telling = tokenize_corpus(config.text)
    try:
        while True:
            next(telling)
    except StopIteration as end:
        text = end.value
    held = text.train_ids, text.validation_ids
    sizes = len(held[0]), len(held[1])
    task = Ground(*held, *sizes, text.tokenizer.vocab_size, text=text)
    found = on_ground(config, task)
    assert isinstance(found.batches, ProblemBatches)
    assert found.step_s() > 0
    assert validation_s(found, task, at_most=1e9) > 0
    both = on_ground(config.with_changes(answers_only=False), task)
    assert validation_s(both, task, at_most=1e-9) > 0
    assert result_of(config.with_changes(steps=5)).final_loss.loss is None


def test_a_task_of_any_size_is_read(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grounds, "SMALL_BYTES", 1)
    task = {"corpus": "task:copy", "tokenizer": "char", "generated_chars": 3000, "context": 32}
    assert result_of(config.with_changes(steps=5, **task)).steps == 5
    assert (paths.cache_dir() / "tokens").is_dir()


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_health_takes_its_share(config: RunConfig, share: float) -> None:
    always = config.with_changes(health_share=share)
    assert with_health(always, 0.7, 0.0) == pytest.approx(0.7 / (1 - 0.6 * share))
    assert health_s(trial(always)) == 0.0
    every = always.with_changes(health_interval=10)
    assert with_health(every, 0.7, 0.5) == pytest.approx(0.75)
    assert (health_s(trial(every)) > 0) == (share > 0)


@pytest.mark.parametrize("prompt", ["", "The river"])
def test_a_sample_is_written_as_a_run_writes_it(
    config: RunConfig, prompt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config.with_changes(sample_tokens=12, sample_prompt=prompt, steps=5)
    asked: list[Any] = []
    real = costs_of.generate

    def note(model: Any, tokenizer: Any, ids: Any, sampling: Any, device: Any) -> Any:
        asked.append((tokenizer.decode(ids), sampling.max_new_tokens, sampling.engine))
        return real(model, tokenizer, ids, sampling, device)

    monkeypatch.setattr(costs_of, "generate", note)
    assert result_of(config).total_s > 0
    [(text, n_tokens, engine)] = asked
    assert (n_tokens, engine) == (12, "torch")
    assert text.startswith(prompt)


def test_the_checkpoints_are_as_large_as_a_runs(config: RunConfig) -> None:
    config = config.with_changes(steps=10, eval_interval=3, checkpoint_interval=5, lr=1e-2)
    told = result_of(config).disk_bytes
    folder = Path(core.train(config).path) / "checkpoints"
    one = told / 3  # the last two, and the best before them
    for checkpoint in folder.iterdir():
        kept = sum(file.stat().st_size for file in checkpoint.glob("*.safetensors"))
        assert kept == pytest.approx(one, rel=0.05)


def test_all_of_the_process_is_more_than_its_tensors(config: RunConfig) -> None:
    found = result_of(config)
    if sys.platform == "linux":
        assert found.process_bytes is not None
    if found.process_bytes is not None:
        assert found.process_bytes > 50e6 > found.peak_bytes


def test_where_the_system_keeps_no_mark_it_is_not_told(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured.memory, "set_back_peak", lambda device: False)
    assert result_of(config).process_bytes is None


def test_set_up_is_part_of_all(config: RunConfig) -> None:
    found = result_of(config.with_changes(steps=1))
    assert 0 < found.setup_s < found.total_s
    assert found.total_s - found.setup_s > found.train_s


def test_it_can_be_stopped(config: RunConfig) -> None:
    session = recipes.forecasting(config, seconds=1e9)
    events = []
    for event in session.run():
        events.append(event)
        if isinstance(event, ForecastProgressed) and event.index == 2:
            session.stop()
    assert isinstance(events[-1], ForecastProgressed)


def test_mistakes_are_told_as_a_run_would_tell_them(config: RunConfig) -> None:
    with pytest.raises(DataError, match="too short"):
        result_of(config.with_changes(max_tokens=9, validation_fraction=0.5))
    with pytest.raises(ConfigError, match=r"seconds=0 is not above 0\.") as caught:
        result_of(config, seconds=0)
    assert caught.value.hint == "Try seconds=3."


def test_the_library_has_it_too(config: RunConfig) -> None:
    heard: list[Any] = []
    found = core.forecast(config, seconds=0.02, steps=9, on_event=heard.append)
    assert isinstance(found, core.Forecast)
    assert found.steps == 9
    assert isinstance(heard[-1], ForecastCompleted)
