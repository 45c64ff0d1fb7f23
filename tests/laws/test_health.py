"""Measuring health changes nothing, and a run that goes back from a spike does it again alike."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from core import paths, recipes
from core.config import RunConfig
from core.events import AlertRaised, ReturnedToCheckpoint, StepCompleted
from core.store.find import find_run
from core.store.metrics import read_metrics
from core.training import trainer as trainer_module

STEPS = 12


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("parts", [{}, {"activation": "swiglu", "bias": True, "tied_head": True}])
def test_a_run_is_the_same_with_and_without(
    config: RunConfig, dtype: str, parts: dict[str, Any], equality: Any
) -> None:
    config = config.with_changes(dtype=dtype, **parts)
    watched = equality.train(config.with_changes(health_interval=1), "watched")
    alone = equality.train(config.with_changes(health_share=0.0), "alone")
    assert len(equality.told(watched, "HealthMeasured")) == STEPS
    assert not equality.told(alone, "HealthMeasured")
    assert equality.tensors(watched) == equality.tensors(alone)
    assert equality.story(watched) == equality.story(alone)


def test_looking_draws_no_random_number_and_leaves_no_trace(config: RunConfig) -> None:
    states = {}
    for name, interval in (("watched", 1), ("alone", STEPS + 1)):
        for event in recipes.training(
            config.with_changes(health_interval=interval), name=name
        ).run():
            if isinstance(event, StepCompleted):
                states[name, event.step] = torch.random.get_rng_state()
    for step in range(1, STEPS + 1):
        assert torch.equal(states["watched", step], states["alone", step])


class Spiking:
    """Losses that jump at a step, as long as the model is the one that the plain rate led to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
        self._take, self._at = trainer_module.compute_gradients, at
        self.traces: dict[int, float] = {}
        monkeypatch.setattr(trainer_module, "compute_gradients", self)

    def __call__(self, model: nn.Module, *rest: Any) -> tuple[float, float]:
        loss, norm = self._take(model, *rest)
        step, trace = rest[-1], sum(p.detach().double().sum().item() for p in model.parameters())
        is_bad = self._at <= step < self._at + 3 and self.traces.setdefault(step, trace) == trace
        return loss + 9.0 * is_bad, norm


@pytest.fixture
def spiking(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    """Steps 9, 10 and 11 are far out, and are not when they are taken again at a lower rate."""
    from core.training import alarm

    monkeypatch.setattr(alarm, "LEAST_LOSSES", 4)
    monkeypatch.setattr(alarm, "LEVEL_INTERVAL", 4)
    Spiking(monkeypatch, at=9)
    settings = {"on_spike": "return", "steps": 16, "checkpoint_interval": 5, "eval_interval": 0}
    return config.with_changes(**settings)


def test_a_spike_leads_back_to_a_checkpoint_before_it(spiking: RunConfig, equality: Any) -> None:
    events = list(recipes.training(spiking, name="whole").run())
    (back,) = (e for e in events if isinstance(e, ReturnedToCheckpoint))
    assert (back.step, back.to_step, back.lr_factor, back.returns) == (11, 5, 0.5, 1)
    assert back.what.startswith("the loss is ")
    taken = [e.step for e in events if isinstance(e, StepCompleted)]
    assert taken == [*range(1, 12), *range(6, 17)]
    (spike,) = (e for e in events if isinstance(e, AlertRaised))
    assert (spike.kind, spike.step) == ("spike", 11)
    run = find_run("whole").run
    assert [e["step"] for e in equality.told(run)] == list(range(1, 17))


def test_without_the_option_a_spike_is_told_and_training_goes_on(spiking: RunConfig) -> None:
    events = list(recipes.training(spiking.with_changes(on_spike="warn"), name="whole").run())
    assert [e.kind for e in events if isinstance(e, AlertRaised)] == ["spike"]
    assert not any(isinstance(e, ReturnedToCheckpoint) for e in events)


def test_killed_in_a_spike_and_resumed_it_ends_the_same(
    spiking: RunConfig, tmp_path: Path, equality: Any
) -> None:
    home, kept = paths.runs_dir() / "whole", []
    for event in recipes.training(spiking, name="whole").run():
        is_near = isinstance(event, StepCompleted) and event.step in (9, 10, 11)
        if is_near or isinstance(event, AlertRaised | ReturnedToCheckpoint):
            kept.append(tmp_path / str(len(kept)))
            shutil.copytree(home, kept[-1])
    whole = find_run("whole").run
    assert len(kept) == 8
    for folder in kept:
        killed = paths.runs_dir() / f"killed-{folder.name}"
        shutil.copytree(folder, killed)
        equality.finish(recipes.resuming(killed.name))
        run = find_run(killed.name).run
        assert equality.tensors(run) == equality.tensors(whole), folder.name
        assert equality.story(run) == equality.story(whole), folder.name


def test_closed_when_a_spike_is_known_it_goes_back_all_the_same(
    spiking: RunConfig, equality: Any
) -> None:
    """The steps that are to be undone are not kept."""
    whole = equality.train(spiking)
    events = recipes.training(spiking, name="torn").run()
    next(e for e in events if isinstance(e, StepCompleted) and e.step == 11)
    events.close()
    assert find_run("torn").run.checkpoint_steps()[-1] == 10
    equality.finish(recipes.resuming("torn"))
    assert equality.tensors(find_run("torn").run) == equality.tensors(whole)


def test_a_replay_of_a_run_that_went_back_takes_its_last_steps(
    spiking: RunConfig, equality: Any
) -> None:
    whole = equality.train(spiking)
    result = equality.finish(recipes.replaying("whole", name="again"))
    assert result.agreement is not None
    assert result.agreement.is_equal
    again = find_run("again").run
    assert equality.tensors(again) == equality.tensors(whole)
    assert not equality.told(again, "ReturnedToCheckpoint")


def test_a_nan_is_an_alert_too(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    take = trainer_module.compute_gradients

    def compute(*given: Any) -> tuple[float, float]:
        loss, norm = take(*given)
        return (float("nan") if given[-1] == 7 else loss), norm

    monkeypatch.setattr(trainer_module, "compute_gradients", compute)
    *_, alert, last = recipes.training(config, name="ends").run()
    assert alert == AlertRaised(
        step=7,
        kind="nan",
        sentence="The loss is nan at step 7.",
        hint="Try a lower lr than 0.01, or on_divergence=return, which goes back by itself.",
    )
    assert type(last).__name__ == "Diverged"
    assert [e["event"] for e in read_metrics(find_run("ends").run.path)][-2:] == [
        "AlertRaised",
        "Diverged",
    ]
