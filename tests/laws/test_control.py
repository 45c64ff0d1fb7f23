"""A controlled run is taken again exactly: after a kill, in a replay, and by a fork."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from core import api, paths, recipes
from core.config import RunConfig, read_command
from core.errors import CheckpointError, ConfigError
from core.events import CheckpointDue, CheckpointSaved, Controlled, RunFinished, StepCompleted
from core.store.find import find_run
from core.store.metrics import read_metrics
from core.store.run import Run
from core.testing import tiny_run_config

STEPS = 12
SCRIPT = {3: "lr 0.5", 5: "sample", 6: "budget +4 steps", 8: "lr 3", 9: "save"}
"""By the step after which it is asked."""


@pytest.fixture
def config(text_file: str) -> RunConfig:
    return tiny_run_config(
        text_file,
        dropout=0.2,
        steps=STEPS,
        checkpoint_interval=4,
        eval_interval=6,
        sample_interval=6,
        lr=1e-2,
        warmup_steps=2,
        seed=7,
        threads=1,
    )


def commands(run: Run) -> list[tuple[Any, ...]]:
    keys = ("step", "n", "words", "lr_factor", "steps", "seconds")
    return [tuple(e[k] for k in keys) for e in read_metrics(run.path) if e["event"] == "Controlled"]


@pytest.fixture
def whole(config: RunConfig, equality: Any) -> Run:
    *_, last = equality.drive(recipes.training(config, name="whole"), SCRIPT)
    assert isinstance(last, RunFinished)
    assert (last.reason, last.result.steps) == ("budget", STEPS + 4)
    return find_run("whole").run


def assert_same(equality: Any, run: Run, whole: Run) -> None:
    assert commands(run) == commands(whole)
    assert equality.story(run) == equality.story(whole)
    assert equality.tensors(run) == equality.tensors(whole)


def test_a_controlled_run_killed_anywhere_goes_on_bit_for_bit(
    config: RunConfig, whole: Run, equality: Any
) -> None:
    """Killed twice, and once more while it repeats what it was commanded."""
    assert commands(whole) == [
        (3, 1, "lr 0.5", 0.5, 12, 0.0),
        (5, 2, "sample", 0.5, 12, 0.0),
        (6, 3, "budget +4 steps", 0.5, 16, 0.0),
        (8, 4, "lr 3", 1.5, 16, 0.0),
        (9, 5, "save", 1.5, 16, 0.0),
    ]
    first = random.Random().randint(1, STEPS)
    equality.drive(recipes.training(config, name="torn"), SCRIPT, killed_at=first, name="torn")
    kept = find_run("torn").run.checkpoint_steps()[-1]
    again = random.Random().randint(kept + 1, STEPS + 3)
    later = {step: words for step, words in SCRIPT.items() if step >= first}
    equality.drive(recipes.resuming("torn"), later, killed_at=again, name="torn")
    later = {step: words for step, words in later.items() if step >= again}
    *_, last = equality.drive(recipes.resuming("torn"), later)
    assert isinstance(last, RunFinished), (first, again)
    assert_same(equality, find_run("torn").run, whole)


def test_a_controlled_run_is_replayed_with_its_commands(whole: Run, equality: Any) -> None:
    result = equality.finish(recipes.replaying("whole", name="again"))
    assert result.agreement.is_equal
    assert result.agreement.steps == result.agreement.of == STEPS + 4
    again = find_run("again").run
    told = [(step, n, words) for step, n, words, *_ in commands(again)]
    assert told == [(step, n, words) for step, n, words, *_ in commands(whole)]
    assert equality.tensors(again) == equality.tensors(whole)
    assert equality.told(again, "SampleCompleted") == equality.told(whole, "SampleCompleted")


def test_a_replay_of_a_controlled_run_that_was_killed_repeats_the_rest(
    whole: Run, equality: Any
) -> None:
    equality.drive(recipes.replaying("whole", name="again"), {}, killed_at=7, name="again")
    equality.finish(recipes.resuming("again"))
    again = find_run("again").run
    assert [c[:3] for c in commands(again)] == [c[:3] for c in commands(whole)]
    assert equality.tensors(again) == equality.tensors(whole)


def test_a_fork_without_changes_goes_on_as_its_run_did(whole: Run, equality: Any) -> None:
    fork = equality.finish(recipes.forking("whole@12"))
    run = find_run("whole-fork").run
    assert fork.run == "whole-fork"
    assert equality.tensors(run) == equality.tensors(whole)
    assert equality.told(run) == equality.told(whole)
    assert commands(run)[-1][:3] == (12, 0, "whole@12")
    assert (run.provenance["fork_of"], run.provenance["fork_step"]) == ("whole@12", 12)


def test_a_fork_with_changes_shares_its_past_and_is_replayed(
    whole: Run, equality: Any, tmp_path: Path
) -> None:
    source = equality.tensors(whole)
    session = recipes.forking("whole@12", name="other", lr=1e-3, batch_size=3, steps=15)
    told = equality.drive(session, {13: "lr 0.5"})
    assert [e.step for e in told if isinstance(e, StepCompleted)] == [13, 14, 15]
    other = find_run("other").run
    assert equality.told(other)[:12] == equality.told(whole)[:12]
    assert commands(other)[-2:] == [
        (12, 0, "whole@12, lr 0.001, batch_size 3, steps 15", 1.5, 15, 0.0),
        (13, 6, "lr 0.5", 0.75, 15, 0.0),
    ]
    shutil.rmtree(other.checkpoint_path(12))  # its first one is not among those that stay
    result = equality.finish(recipes.replaying("other", name="again"))
    assert result.agreement.is_equal
    assert (result.agreement.steps, result.agreement.of) == (3, 3)
    again = find_run("again").run
    assert equality.tensors(again) == equality.tensors(other)
    assert equality.tensors(whole) == source
    api.export_model("other", tmp_path / "c.tar.gz", format="capsule")
    capsule = equality.finish(recipes.replaying(str(tmp_path / "c.tar.gz"), name="third"))
    assert (capsule.agreement.is_equal, capsule.agreement.of) == (True, 3)
    assert commands(find_run("third").run)[:-1] == commands(other)[:-1]


def test_what_a_fork_cannot_change_is_refused(whole: Run) -> None:
    for changes in ({"d_model": 32}, {"corpus": "generated"}, {"threads": 2}):
        (name,) = changes
        with pytest.raises(ConfigError) as caught:
            list(recipes.forking("whole@12", **changes).run())
        assert str(caught.value) == (f"{name} cannot change in a fork: whole goes on with its own.")
        assert caught.value.hint == (
            "A new run may begin with the same weights, and other text and settings:"
            " minitf train --init-from whole@12"
        )
    spent = ("whole@12", {"steps": 12}), ("whole@12", {"seconds": 1e-6}), ("whole", {"lr": 1e-3})
    for spec, changes in spent:
        with pytest.raises(ConfigError, match="The budget of a fork from whole@1") as caught:
            list(recipes.forking(spec, **changes).run())
        assert str(caught.value).endswith(" is spent where it begins.")
        assert caught.value.hint.startswith("What was trained until there counts: try steps=10")
    (whole.checkpoint_path(12) / "state.safetensors").unlink()
    (whole.checkpoint_path(12) / "model.safetensors").write_bytes(b"x")
    with pytest.raises(CheckpointError):
        list(recipes.forking("whole@12", name="broken").run())


def test_a_fork_of_a_checkpoint_that_goes_meanwhile_leaves_nothing(
    whole: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core import retaking

    begin = retaking.begin_fork

    def lose(*given: Any) -> None:
        shutil.rmtree(whole.checkpoint_path(12))
        begin(*given)

    monkeypatch.setattr(retaking, "begin_fork", lose)
    with pytest.raises(CheckpointError) as caught:
        list(recipes.forking("whole@12", name="lost").run())
    assert str(caught.value).startswith("The checkpoint at step 12 of whole cannot be taken over: ")
    hint = "It may have been dropped meanwhile; try whole for the newest one."
    assert caught.value.hint == hint
    assert not (paths.runs_dir() / "lost").exists()


def test_a_budget_that_is_cut_ends_well_and_a_resumed_run_knows(
    config: RunConfig, equality: Any
) -> None:
    told = equality.drive(recipes.training(config, name="cut"), {6: "budget =2 steps"})
    last = told[-1]
    assert (last.reason, last.result.steps) == ("budget", 6)
    assert last.result.val_loss is not None
    assert [e.step for e in told if isinstance(e, Controlled)] == [6]
    *_, again = recipes.resuming("cut").run()
    assert again.reason == "finished already"
    assert find_run("cut").run.config.train.steps == STEPS  # what was asked for stays
    *_, longer = recipes.resuming("cut", steps=STEPS).run()
    assert longer.result.steps == STEPS


def test_a_run_that_was_extended_at_its_end_and_killed_goes_on(
    config: RunConfig, equality: Any
) -> None:
    """Its last checkpoint knows of the old end alone."""
    session = recipes.training(config, name="long")
    events = session.run()
    for event in events:
        if isinstance(event, CheckpointSaved) and event.step == STEPS:
            session.control(read_command(["budget", "+3"]))
        if isinstance(event, StepCompleted) and event.step == STEPS + 1:
            shutil.rmtree(find_run("long").run.checkpoint_path(STEPS + 1), ignore_errors=True)
            shutil.copytree(paths.runs_dir() / "long", paths.runs_dir() / "killed")
            break
    events.close()
    state = find_run("killed").run.checkpoint_state(STEPS)
    assert (state["controls"], state["budget"]) == ([], None)
    assert equality.finish(recipes.resuming("killed")).steps == STEPS + 3


def test_a_diverged_run_keeps_what_it_was_commanded(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch, equality: Any
) -> None:
    import math

    from core.training import trainer

    take, is_bad = trainer.compute_gradients, iter([True])

    def compute(*given: Any) -> tuple[float, float]:
        loss, norm = take(*given)
        return (math.nan if given[-1] == 8 and next(is_bad, False) else loss), norm

    monkeypatch.setattr(trainer, "compute_gradients", compute)
    script = {6: "budget +2 steps", 7: "lr 0.5"}
    session = recipes.training(config.with_changes(on_divergence="return"), name="back")
    asked: list[int] = []
    for event in (events := session.run()):
        if isinstance(event, StepCompleted) and event.step in script and event.step not in asked:
            asked.append(event.step)
            session.control(read_command(script[event.step].split()))
    events.close()
    assert isinstance(event, RunFinished)
    assert event.result.steps == STEPS + 2
    run = find_run("back").run
    assert [c[:4] for c in commands(run)] == [
        (6, 1, "budget +2 steps", 1.0),
        (7, 2, "lr 0.5", 0.5),
    ]
    assert run.checkpoint_state(STEPS + 2)["lr_factor"] == 0.25
    assert equality.finish(recipes.replaying("back", name="again")).agreement.is_equal


def test_hostile_lists_in_the_metrics_are_no_lists(whole: Run) -> None:
    path = whole.path / "metrics.jsonl"
    with path.open("a") as file:
        for bad in (5, {"1": 2}, ["x"]):
            line = {"event": "Resumed", "step": 16, "controls": bad, "repeats": bad}
            file.write(json.dumps(line) + "\n")
    assert [c[1] for c in commands(whole)] == []
    assert not any(isinstance(e, CheckpointDue) for e in recipes.resuming("whole").run())
