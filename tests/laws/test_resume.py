"""A run that was interrupted ends as one that was left alone, bit for bit."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core import recipes
from core.config import RunConfig, write_toml
from core.events import (
    CheckpointSaved,
    RunFinished,
    StepCompleted,
    TrainEvent,
    TrainResult,
    ValidationCompleted,
)
from core.store.find import find_run
from core.store.metrics import read_metrics
from core.store.run import Run

STEPS = 12


@pytest.fixture
def config(config: RunConfig) -> RunConfig:
    return config.with_changes(seed=7)


def finish(session: recipes.Session) -> TrainResult:
    *_, last = session.run()
    assert isinstance(last, RunFinished)
    return last.result


def tensors_of(run: Run, step: int = STEPS) -> dict[str, bytes]:
    folder = run.checkpoint_path(step)
    return {
        name: (folder / name).read_bytes() for name in ("model.safetensors", "state.safetensors")
    }


def story_of(run: Run) -> dict[str, list[Any]]:
    """What was measured at each step, times left out."""
    events = read_metrics(run.path)
    return {
        "steps": [
            (e["step"], e["loss"], e["lr"], e["grad_norm"], e["tokens"])
            for e in events
            if e["event"] == "StepCompleted"
        ],
        "validations": [
            (e["step"], e["loss"], e["bits_per_byte"], e["is_best"])
            for e in events
            if e["event"] == "ValidationCompleted"
        ],
        "samples": [(e["step"], e["text"]) for e in events if e["event"] == "SampleCompleted"],
    }


def the_uninterrupted(config: RunConfig) -> Run:
    finish(recipes.training(config, name="whole"))
    return find_run("whole").run


def close_after(session: recipes.Session, is_enough: Any) -> None:
    events = session.run()
    for event in events:
        if is_enough(event):
            break
    events.close()


def assert_same(run: Run, whole: Run) -> None:
    assert tensors_of(run) == tensors_of(whole)
    assert story_of(run) == story_of(whole)


@pytest.mark.parametrize("k", [1, 3, 5, 11])
def test_a_closed_run_goes_on_bit_for_bit(config: RunConfig, k: int) -> None:
    """Closing keeps the step that was told last."""
    whole = the_uninterrupted(config)

    def is_enough(event: TrainEvent) -> bool:
        return isinstance(event, StepCompleted) and event.step == k

    close_after(recipes.training(config, name="torn"), is_enough)
    torn = find_run("torn").run
    assert torn.checkpoint_steps()[-1] == k

    result = finish(recipes.resuming("torn"))

    assert (result.steps, result.tokens) == (STEPS, STEPS * 2 * 16)
    assert_same(torn, whole)


@pytest.mark.parametrize("kind", [ValidationCompleted, CheckpointSaved])
def test_a_run_closed_between_steps_goes_on_bit_for_bit(config: RunConfig, kind: type) -> None:
    whole = the_uninterrupted(config)

    def is_enough(event: TrainEvent) -> bool:
        return isinstance(event, kind) and event.step >= 3

    close_after(recipes.training(config, name="torn"), is_enough)
    finish(recipes.resuming("torn"))

    assert_same(find_run("torn").run, whole)


def test_a_stopped_run_goes_on_bit_for_bit_however_often_it_is_stopped(config: RunConfig) -> None:
    whole = the_uninterrupted(config)
    session = recipes.training(config, name="torn")
    for _ in range(6):
        steps = 0
        for event in session.run():
            steps += isinstance(event, StepCompleted)
            if steps == 2:
                session.stop()
        assert isinstance(event, RunFinished)
        session = recipes.resuming("torn")
    finish(session)

    assert tensors_of(find_run("torn").run) == tensors_of(whole)
    assert story_of(find_run("torn").run)["steps"] == story_of(whole)["steps"]


def test_a_larger_budget_continues_the_same_steps(config: RunConfig) -> None:
    """With a constant rate, which does not depend on the budget."""
    constant = config.with_changes(schedule="constant")
    whole = the_uninterrupted(constant)
    finish(recipes.training(constant.with_changes(steps=5), name="short"))

    result = finish(recipes.resuming("short", steps=STEPS))

    assert result.steps == STEPS
    assert tensors_of(find_run("short").run) == tensors_of(whole)
    assert find_run("short").run.config.train.steps == STEPS


def test_what_a_killed_run_told_after_its_last_checkpoint_is_told_once(config: RunConfig) -> None:
    """As if killed: the lines after the checkpoint stay, the checkpoint does not."""
    whole = the_uninterrupted(config)
    close_after(
        recipes.training(config, name="torn"),
        lambda e: isinstance(e, StepCompleted) and e.step == 8,
    )
    torn = find_run("torn").run
    for name in ("model.safetensors", "state.safetensors", "state.json"):
        (torn.checkpoint_path(8) / name).unlink()
    torn.checkpoint_path(8).rmdir()
    (torn.path / "checkpoints" / ".partial-step-00000008-ab").mkdir()
    with (torn.path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"event": "StepCompleted", "step": 9, "loss": 1.')

    finish(recipes.resuming("torn"))

    assert_same(torn, whole)
    assert not list((torn.path / "checkpoints").glob(".partial-*"))


CHILD = """
import sys
from core import recipes
from core.config import read_toml
session = recipes.training(read_toml(open(sys.argv[1]).read()), name="killed")
for event in session.run():
    print(type(event).__name__, getattr(event, "step", 0), flush=True)
"""


def test_a_run_killed_at_a_random_moment_goes_on_bit_for_bit(
    config: RunConfig, tmp_path: Path
) -> None:
    steps = 60
    config = config.with_changes(steps=steps, threads=1)
    whole = the_uninterrupted(config)
    toml = tmp_path / "config.toml"
    toml.write_text(write_toml(config), encoding="utf-8")
    lines_to_read = random.Random().randint(8, 70)

    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(toml)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as child:
        assert child.stdout is not None
        for _ in range(lines_to_read):
            child.stdout.readline()
        child.send_signal(signal.SIGKILL)

    killed = find_run("killed", needs_checkpoint=False).run
    result = finish(recipes.resuming("killed"))
    assert result.steps == steps, f"killed after {lines_to_read} lines"
    assert tensors_of(killed, steps) == tensors_of(whole, steps)
    assert story_of(killed) == story_of(whole)
