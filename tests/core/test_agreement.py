"""The verdict on a replay: which step differs first, in which figure, and what else does."""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from core import api, recipes
from core.config import RunConfig
from core.device import environment
from core.events import (
    Agreement,
    Circumstance,
    Difference,
    RunFinished,
    SetupProgressed,
    StepCompleted,
)
from core.measure.agreement import CIRCUMSTANCES, agreement_of, judged
from core.store.find import find_run
from core.store.metrics import read_metrics
from core.store.run import Run
from core.testing import CPU, tiny_run_config
from core.version import VERSION


@pytest.fixture
def config(text_file: str) -> RunConfig:
    return tiny_run_config(text_file)


def run_of(name: str) -> Run:
    return find_run(name).run


def step(n: int, **changes: Any) -> dict[str, Any]:
    figures = {"loss": 1 / n, "lr": 0.1, "grad_norm": 2.0, "tokens": 32 * n, "train_s": 0.0}
    return {"event": "StepCompleted", "step": n} | figures | changes


def validation(n: int, **changes: Any) -> dict[str, Any]:
    figures = {"loss": 2.0, "perplexity": 7.0, "bits_per_byte": 3.0}
    return {"event": "ValidationCompleted", "step": n} | figures | changes


def made(path: Path, *events: dict[str, Any], **provenance: Any) -> Run:
    path.mkdir()
    lines = [{"format": 1}, *events]
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Run(path, RunConfig(), {"torch": "2.9", "threads": 2} | provenance)


STORY = (step(1), step(2), validation(2), step(3), step(4), validation(4))


@pytest.mark.parametrize(
    ("place", "change", "expected"),
    [
        (1, {"loss": 0.5000000000000001}, (2, "loss", 0.5, 0.5000000000000001)),
        (1, {"loss": None}, (2, "loss", 0.5, None)),
        (0, {"lr": 0.2}, (1, "lr", 0.1, 0.2)),
        (3, {"grad_norm": 2.5}, (3, "grad norm", 2.0, 2.5)),
        (4, {"tokens": 127}, (4, "tokens", 128, 127)),
        (2, {"loss": 2.5}, (2, "validation loss", 2.0, 2.5)),
        (2, {"perplexity": 7.5}, (2, "validation perplexity", 7.0, 7.5)),
        (5, {"bits_per_byte": 3.5}, (4, "validation bits per byte", 3.0, 3.5)),
    ],
)
def test_the_first_difference_is_told(
    tmp_path: Path, place: int, change: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    story = list(STORY)
    story[place] = story[place] | change
    later = step(4, loss=0.0)  # a later difference is of no interest
    story = [
        later if e["event"] == "StepCompleted" and e["step"] == 4 != expected[0] else e
        for e in story
    ]
    found = agreement_of(made(tmp_path / "a", *STORY), made(tmp_path / "b", *story))
    assert (found.steps, found.of, found.is_equal) == (4, 4, False)
    step_, figure, before, now = expected
    assert found.first_difference == Difference(step=step_, figure=figure, before=before, now=now)


def test_times_do_not_matter(tmp_path: Path) -> None:
    story = [event | {"train_s": 9.0, "tokens_per_s": 1.0} for event in STORY]
    found = agreement_of(made(tmp_path / "a", *STORY), made(tmp_path / "b", *story))
    assert found == Agreement(steps=4, of=4, is_equal=True)


def test_a_loss_that_was_not_finite_both_times_is_equal(tmp_path: Path) -> None:
    runs = [made(tmp_path / name, step(1, loss=None)) for name in "ab"]
    assert agreement_of(*runs).is_equal


def test_what_only_one_of_them_has_is_left_out(tmp_path: Path) -> None:
    """One was stopped, or its last step validated because its budget ended there."""
    short = (step(1), validation(1, loss=9.0), step(2))
    found = agreement_of(made(tmp_path / "a", *STORY), made(tmp_path / "b", *short))
    assert found == Agreement(steps=2, of=4, is_equal=True)


def test_without_a_step_there_is_nothing_to_agree(tmp_path: Path) -> None:
    found = agreement_of(made(tmp_path / "a", *STORY), made(tmp_path / "b"))
    assert found == Agreement(steps=0, of=4, is_equal=True)


def test_circumstances_that_differ_are_named_in_both_values(tmp_path: Path) -> None:
    here = made(tmp_path / "b", torch="2.10", threads=4, device_name="Z80", minitf="0.2")
    there = made(tmp_path / "a", device_name="6502", platform="CP/M Z80")
    assert agreement_of(there, here).circumstances == (
        Circumstance(name="torch", before="2.9", now="2.10"),
        Circumstance(name="processor", before="6502", now="Z80"),
        Circumstance(name="threads", before="2", now="4"),
    )


def test_all_circumstances_are_recorded() -> None:
    known = environment(CPU)
    assert set(CIRCUMSTANCES) == set(known)
    assert known["minitf"] == VERSION


def test_a_replay_ends_with_its_verdict(config: RunConfig) -> None:
    assert api.train(config, name="run").agreement is None
    *_, last = recipes.replaying("run", name="again").run()
    assert isinstance(last, RunFinished)
    assert last.result.agreement == Agreement(steps=4, of=4, is_equal=True)
    assert json.loads(json.dumps(asdict(last.result)))["agreement"]["is_equal"] is True


def test_a_replay_that_is_stopped_agrees_as_far_as_it_went(config: RunConfig) -> None:
    api.train(config.with_changes(steps=9), name="run")
    session = recipes.replaying("run")
    for event in session.run():
        if isinstance(event, StepCompleted) and event.step == 3:
            session.stop()
    assert isinstance(event, RunFinished)
    assert event.result.agreement == Agreement(steps=3, of=9, is_equal=True)


def test_with_another_seed_version_and_machine_it_differs_and_says_in_what(
    config: RunConfig,
) -> None:
    api.train(config.with_changes(eval_interval=0, sample_interval=0), name="run")
    path = run_of("run").path / "run.toml"
    text = re.sub(r"(?m)^seed = 0", "seed = 1", path.read_text())
    text = re.sub(r'(?m)^torch = ".*"', 'torch = "1.0"', text)
    path.write_text(re.sub(r'(?m)^device_name = ".*"', 'device_name = "Abacus"', text))
    found = api.replay("run", name="again").agreement
    assert found is not None
    before, now = (
        next(e for e in read_metrics(run_of(name).path) if e["event"] == "StepCompleted")
        for name in ("run", "again")
    )
    assert before["loss"] != now["loss"]
    assert (found.steps, found.of, found.is_equal) == (4, 4, False)
    assert found.first_difference == Difference(
        step=1, figure="loss", before=before["loss"], now=now["loss"]
    )
    changed = {c.name: (c.before, c.now) for c in found.circumstances}
    here = run_of("again").provenance
    assert changed == {
        "torch": ("1.0", here["torch"]),
        "processor": ("Abacus", here["device_name"]),
    }


def test_a_replay_that_nobody_watches_any_more_is_saved(config: RunConfig) -> None:
    api.train(config.with_changes(steps=9), name="run")
    events = recipes.replaying("run", name="again").run()
    for event in events:
        if isinstance(event, StepCompleted) and event.step == 3:
            break
    events.close()
    again = run_of("again")
    assert again.checkpoint_steps()[-1] == 3
    with again.lock():  # nobody holds it
        pass
    assert api.resume("again").steps == 9


def test_closing_the_verdict_closes_the_training(tmp_path: Path) -> None:
    """Which saves then, while the run is still held."""
    run = made(tmp_path / "a")
    training = (event for event in [SetupProgressed(stage="a"), SetupProgressed(stage="b")])
    events = judged(training, run, run)
    next(events)
    events.close()
    assert inspect.getgeneratorstate(training) == inspect.GEN_CLOSED
