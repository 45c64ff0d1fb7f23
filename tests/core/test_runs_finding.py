"""Runs and checkpoints are found by name, path, time and loss."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.errors import CheckpointError
from core.store.find import all_runs, find_run
from core.store.run import Run
from tests.core.bare_runs import add_checkpoint, make, refused


def touch(run: Run, seconds: float) -> None:
    """Pretend that it was worked on then."""
    os.utime(run.path / "run.toml", (seconds, seconds))


def test_a_run_is_found_by_name_path_and_time() -> None:
    one, two = make("one"), make("two")
    for run, when in ((one, 2000), (two, 1000)):
        add_checkpoint(run, 4)
        touch(run, when)
    assert [run.name for run in all_runs()] == ["one", "two"]
    assert find_run("two").run == two
    assert find_run(str(two.path)).run == two
    assert find_run("last").run == one
    touch(two, 3000)
    assert find_run("last").run == two


def test_a_relative_path_is_a_run_too(monkeypatch: pytest.MonkeyPatch) -> None:
    run = make("one")
    add_checkpoint(run, 4)
    monkeypatch.chdir(run.path.parent.parent)
    assert find_run("runs/one").run.path == run.path


def test_the_best_run_is_that_of_the_fewest_bits_per_byte() -> None:
    """Losses per token of two tokenizers cannot be compared."""
    one, two = make("one"), make("two")
    add_checkpoint(one, 1, loss=1.0, bits=3.0)
    add_checkpoint(two, 1, loss=2.0, bits=2.0)
    add_checkpoint(two, 2, loss=2.5, bits=2.5)
    add_checkpoint(two, 3)
    ref = find_run("best")
    assert (ref.run.name, ref.step) == ("two", 1)
    assert find_run("best@last").step == 3
    assert two.best_validation() == (2.0, 2.0)


def test_a_checkpoint_is_found_by_step_last_and_best() -> None:
    run = make()
    for step, loss in ((2, 3.0), (4, 1.0), (100_000_000, 2.0)):
        add_checkpoint(run, step, loss)
    assert find_run("tiny").step == 100_000_000
    assert [find_run(f"tiny@{s}").step for s in ("2", "last", "best", "")] == [
        2,
        100_000_000,
        4,
        100_000_000,
    ]


@pytest.mark.parametrize("step", ["3", "x", "-2", "9" * 5000, "²"])
def test_a_missing_checkpoint_is_refused_with_those_there_are(step: str) -> None:
    run = make()
    add_checkpoint(run, 2)
    add_checkpoint(run, 4)
    assert refused(lambda: find_run(f"tiny@{step}"), CheckpointError) == (
        f"The run tiny has no checkpoint {step!r}.",
        "It has: 2, 4.",
    )


def test_best_of_a_run_that_was_never_validated_is_refused() -> None:
    add_checkpoint(make(), 2)
    message = "The run tiny has no checkpoint 'best'."
    assert refused(lambda: find_run("tiny@best"), CheckpointError) == (message, "It has: 2.")
    assert refused(lambda: find_run("best")) == (
        "No run has been validated yet.",
        "Use last, or the run's name.",
    )


def test_a_run_without_a_checkpoint_is_refused_where_one_is_needed() -> None:
    make()
    assert refused(lambda: find_run("tiny"), CheckpointError) == (
        "The run tiny has no checkpoint yet.",
        "Wait for it, or train it again.",
    )
    assert find_run("tiny", needs_checkpoint=False).step == 0


@pytest.mark.parametrize("name", ["last", "best"])
def test_without_runs_a_beginning_is_proposed(name: str) -> None:
    hint = "Start one with: minitf train"
    assert refused(lambda: find_run(name)) == ("There is no run yet.", hint)
    assert refused(lambda: find_run("x")) == ("There is no run 'x'.", hint)


@pytest.mark.parametrize("name", ["tinny", "x" * 5000, "a\0b", "", "~nobody-of-that-name", "../x"])
def test_an_unknown_run_is_refused(name: str) -> None:
    make()
    message, hint = refused(lambda: find_run(name))
    assert message == f"There is no run {name!r}."
    assert hint == ("Did you mean tiny?" if name == "tinny" else "Known: tiny.")


def test_a_path_may_have_an_at_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINITF_HOME", str(tmp_path / "me@home"))
    run = make()
    add_checkpoint(run, 2)
    assert find_run(str(run.path)).run == run
    assert find_run(f"{run.path}@2").step == 2
