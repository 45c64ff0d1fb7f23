"""The way of a run's steps: what is timed, what is taken, and that the run does not notice."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from core import device as devices
from core import paths, recipes
from core.config import RunConfig
from core.device import Device, choose_device, why_not_compiled
from core.errors import DeviceError, RunError
from core.events import Pace, RunStarted, SetupProgressed, StepCompleted, WayTimed
from core.measure import all_ways, pace, ways
from core.measure import forecast as forecasts
from core.measure.pace import chosen, keep, kept_for, settle, ways_of
from core.measure.trial import Way
from core.measure.ways import time_ways
from core.model.transformer import Transformer
from core.store.find import find_run
from core.testing import tiny_run_config
from core.text.batches import make_batches

ONE, TWO = Way(1, "float32"), Way(2, "float32")
DEVICE = Device("cpu", "float32", 2)


def never() -> bool:
    return False


def tiny_config() -> RunConfig:
    config = tiny_run_config("markov")
    return replace(config, model=replace(config.model, vocab_size=256))


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def long_run(monkeypatch: pytest.MonkeyPatch, text_file: str) -> RunConfig:
    """A tiny one that counts as long, on a machine of one core with bfloat16."""
    monkeypatch.setattr(pace, "LEAST_STEP_FLOPS", 0)
    monkeypatch.setattr(pace, "LEAST_RUN_S", 0.0)
    monkeypatch.setattr(pace, "SHARE", 1e9)
    monkeypatch.setattr(ways, "MOST_ROUNDS", 6)
    monkeypatch.setattr(pace, "ENOUGH_S", 600.0)
    monkeypatch.setattr(pace, "thread_counts", lambda: [1])
    monkeypatch.setattr(pace, "has_fast_bfloat16", lambda: True)
    return tiny_run_config(text_file, threads=0, steps=4)


class Scripted:
    """Says how long a step takes."""

    def __init__(self, seconds: dict[Way, Callable[[int], float]]) -> None:
        self._seconds, self.turns = seconds, dict.fromkeys(seconds, 0)
        self.device = DEVICE

    def turn_s(self, way: Way) -> float:
        self.turns[way] += 1
        return self._seconds[way](self.turns[way])


def timed(way: Way, ratio: float, *, is_clear: bool = True, compile_s: float = 0.0) -> WayTimed:
    return WayTimed(
        **asdict(way), step_ms=10 * ratio, ratio=ratio, is_clear=is_clear, compile_s=compile_s
    )


def with_ways(*others: WayTimed) -> Pace:
    return Pace(shape="", ways=(timed(TWO, 1.0), *others), until=time.time() + 60)


def test_a_way_that_wins_nearly_always_by_a_margin_is_clear() -> None:
    trial = Scripted({TWO: lambda _: 0.010, ONE: lambda _: 0.009})
    (default, other), is_settled = time_ways(trial, [TWO, ONE], time.perf_counter() + 60, never)
    assert (default.ratio, default.is_clear) == (1, False)
    assert (other.ratio, other.is_clear, is_settled) == (0.9, True, True)


def test_noise_decides_nothing() -> None:
    trial = Scripted({TWO: lambda _: 0.010, ONE: lambda n: 0.008 if n % 2 else 0.0125})
    (_, other), _ = time_ways(trial, [TWO, ONE], time.perf_counter() + 60, never)
    assert not other.is_clear


def test_times_that_never_repeat_have_not_settled() -> None:
    trial = Scripted({TWO: lambda n: 0.010 * 1.1**n, ONE: lambda n: 0.009 * 1.1**n})
    (_, other), is_settled = time_ways(trial, [TWO, ONE], time.perf_counter() + 60, never)
    assert other.is_clear
    assert not is_settled


def test_a_hopeless_way_is_tried_once() -> None:
    trial = Scripted({TWO: lambda _: 0.010, ONE: lambda _: 0.100})
    time_ways(trial, [TWO, ONE], time.perf_counter() + 60, never)
    assert trial.turns[ONE] == 1


def test_without_time_there_is_no_answer() -> None:
    trial = Scripted({TWO: lambda _: 0.010, ONE: lambda _: 0.009})
    assert time_ways(trial, [TWO, ONE], time.perf_counter() - 1, never) == ([], False)


def test_a_trial_that_is_stopped_tells_and_keeps_nothing(long_run: RunConfig) -> None:
    trial = Scripted({TWO: lambda _: 0.010, ONE: lambda _: 0.009})
    answers = iter([False, False, False, True])
    assert time_ways(trial, [TWO, ONE], time.perf_counter() + 60, lambda: next(answers)) == (
        [],
        False,
    )
    assert sum(trial.turns.values()) == 3
    session = recipes.training(long_run, name="stopped")
    for event in session.run():
        if isinstance(event, SetupProgressed) and "choosing" in event.stage:
            session.stop()
    with pytest.raises(RunError):
        find_run("stopped")
    assert not (paths.cache_dir() / "paces").exists()


def test_short_and_tiny_runs_are_not_timed() -> None:
    large = tiny_config().with_changes(batch_size=4096)
    assert not pace.may_be_measured(tiny_config().with_changes(seconds=3600.0), DEVICE)
    assert not pace.may_be_measured(large.with_changes(seconds=19.0), DEVICE)
    assert not pace.may_be_measured(large.with_changes(seconds=3600.0, steps=4), DEVICE)
    assert pace.may_be_measured(large.with_changes(seconds=20.0), DEVICE)


def test_what_somebody_asked_for_is_not_tried_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "thread_counts", lambda: [2, 1])
    monkeypatch.setattr(pace, "has_fast_bfloat16", lambda: True)
    half = Way(2, "bfloat16")
    assert ways_of(tiny_config(), DEVICE) == [TWO, ONE, half, Way(1, "bfloat16")]
    assert ways_of(tiny_config(), replace(DEVICE, has_fixed_threads=True)) == [TWO, half]
    assert ways_of(tiny_config().with_changes(dtype="float32"), DEVICE) == [TWO, ONE]


@pytest.mark.parametrize(
    ("others", "seconds", "way"),
    [
        ((timed(ONE, 0.9),), 60, ONE),
        ((timed(ONE, 0.9, is_clear=False),), 60, TWO),
        ((timed(Way(3, "float32"), 0.5),), 60, TWO),  # not among what is to be had
        ((timed(Way(2, "float32", True), 0.8, compile_s=30.0),), 60, TWO),  # not paid back
        ((timed(Way(2, "float32", True), 0.8, compile_s=30.0),), 600, Way(2, "float32", True)),
        ((timed(Way(2, "bfloat16"), 0.95),), 60, TWO),  # too little for what is less exact
        ((timed(Way(2, "bfloat16"), 0.85),), 60, Way(2, "bfloat16")),
    ],
)
def test_the_fastest_way_that_pays_is_taken(
    monkeypatch: pytest.MonkeyPatch, others: tuple[WayTimed, ...], seconds: float, way: Way
) -> None:
    monkeypatch.setattr(pace, "thread_counts", lambda: [2, 1])
    monkeypatch.setattr(pace, "has_fast_bfloat16", lambda: True)
    found = chosen(with_ways(*others), tiny_config(), DEVICE, seconds)
    assert found.device == way.on(DEVICE)
    assert torch.get_num_threads() == way.threads


def test_compile_off_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "thread_counts", lambda: [2, 1])
    compiled = with_ways(timed(Way(2, "float32", True), 0.5))
    found = chosen(compiled, tiny_config().with_changes(compile="off"), DEVICE, 600)
    assert not found.device.is_compiled


def test_a_trial_changes_nothing_and_is_kept(long_run: RunConfig) -> None:
    device = replace(choose_device("cpu"), threads=1)
    config = replace(long_run, model=replace(long_run.model, vocab_size=256))
    model = Transformer(config.model, seed=0)
    batches = make_batches(torch.arange(256).numpy(), long_run.train)
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    random = torch.random.get_rng_state()
    found = settle(config, device, model, batches, never)
    assert found.gain is not None
    assert torch.equal(torch.random.get_rng_state(), random)
    assert all(torch.equal(weights[name], p) for name, p in model.named_parameters())
    assert all(p.grad is None for p in model.parameters())
    kept = kept_for(config, device)
    assert kept is not None
    assert [(way.threads, way.dtype) for way in kept.ways] == [(1, "float32"), (1, "bfloat16")]


def test_a_run_with_a_trial_is_one_without_it_and_its_resumption_makes_none(
    long_run: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = long_run.with_changes(threads=1, dtype="auto")
    monkeypatch.setattr(pace, "ways_of", lambda *_, **__: [ONE, Way(1, "bfloat16")])
    monkeypatch.setattr(pace, "chosen", lambda _p, _c, device, _s: pace.Settled(device, 1.25))
    timings: list[object] = []
    real = pace.Trial
    monkeypatch.setattr(pace, "Trial", lambda *a: timings.append(a) or real(*a))
    events = list(recipes.training(config, name="timed").run())
    assert len(timings) == 1
    (started,) = (e for e in events if isinstance(e, RunStarted))
    assert started.pace_gain == 1.25
    assert find_run("timed").run.provenance["pace_gain"] == 1.25
    assert any(isinstance(e, SetupProgressed) and "choosing" in e.stage for e in events)
    monkeypatch.setattr(pace, "LEAST_RUN_S", 20.0)
    plain = list(recipes.training(config, name="plain").run())
    losses = [[e.loss for e in one if isinstance(e, StepCompleted)] for one in (events, plain)]
    assert losses[0] == losses[1]
    monkeypatch.setattr(pace, "LEAST_RUN_S", 0.0)
    resumed = list(recipes.resuming("timed", steps=6).run())
    replayed = list(recipes.replaying("timed", name="again").run())
    assert len(timings) == 1
    assert [e.pace_gain for e in resumed if isinstance(e, RunStarted)] == [1.25]
    assert replayed[-1].result.agreement.is_equal  # type: ignore[union-attr]


def test_a_forecast_takes_the_way_of_its_run_and_leaves_it_the_times(
    long_run: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = Way(1, "bfloat16")
    monkeypatch.setattr(pace, "chosen", lambda _p, _c, device, _s: pace.Settled(half.on(device)))
    made: list[Device] = []
    real = forecasts.Trial
    monkeypatch.setattr(forecasts, "Trial", lambda c, d, *a: made.append(d) or real(c, d, *a))
    trials: list[object] = []
    monkeypatch.setattr(pace, "Trial", lambda *a: trials.append(a) or real(*a))
    told = list(recipes.forecasting(long_run, seconds=0.02).run())
    assert [device.dtype for device in made] == ["bfloat16"]
    assert any(isinstance(e, SetupProgressed) and "choosing" in e.stage for e in told)
    events = list(recipes.training(long_run, name="after").run())
    assert len(trials) == 1
    assert find_run("after").run.provenance["dtype"] == "bfloat16"
    assert [e.step for e in events if isinstance(e, StepCompleted)] == [1, 2, 3, 4]


def test_a_forecast_of_the_rest_takes_the_way_that_the_run_has(
    long_run: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(recipes.training(long_run.with_changes(dtype="bfloat16"), name="half").run())
    made: list[Device] = []
    real = forecasts.Trial
    monkeypatch.setattr(forecasts, "Trial", lambda c, d, *a: made.append(d) or real(c, d, *a))
    list(recipes.forecasting_rest("half", {"steps": 9}, seconds=0.02).run())
    assert [device.dtype for device in made] == ["bfloat16"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda kept: kept | {"machine": "another"},
        lambda kept: kept | {"until": time.time() - 1},
        lambda kept: kept | {"ways": []},
        lambda kept: kept | {"ways": [kept["ways"][0] | {"threads": 10**9}]},
        lambda kept: kept | {"ways": [kept["ways"][0] | {"dtype": "float8"}]},
        lambda kept: kept | {"shape": 3},
        lambda kept: [kept],
    ],
)
def test_a_kept_file_may_say_anything(spoil: Callable[..., object]) -> None:
    keep(tiny_config(), DEVICE, [timed(TWO, 1.0)])
    (path,) = Path(paths.cache_dir() / "paces").glob("*.json")
    assert kept_for(tiny_config(), DEVICE) is not None
    path.write_text(json.dumps(spoil(json.loads(path.read_text()))))
    assert kept_for(tiny_config(), DEVICE) is None


def test_a_machine_without_a_compiler_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices.shutil, "which", lambda _: None)
    assert why_not_compiled("cpu") == (
        "Compiling a step needs a C++ compiler, and none is on the PATH."
    )
    with pytest.raises(DeviceError, match=r"needs a C\+\+ compiler") as caught:
        choose_device("cpu", is_compiled=True)
    assert caught.value.hint == "--compile off trains without one."
    trial = Scripted({TWO: lambda _: 0.01})
    assert all_ways._compiled(trial, TWO, [TWO], never) == ([], why_not_compiled("cpu"))


def test_a_compiler_that_fails_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(all_ways, "why_not_compiled", lambda _: "")

    def fail(_: int) -> float:
        raise RuntimeError("cl.exe went away.\nTraceback of forty lines")

    found = all_ways._compiled(Scripted({TWO: fail}), TWO, [TWO], never)
    assert found == ([], "PyTorch could not compile the step: cl.exe went away.")
