"""Equal configs do not differ; to change places changes the signs; nobody's steps are other ones
because somebody else trains beside them."""

from __future__ import annotations

from typing import Any

import pytest

import core
from core import recipes
from core.config import RunConfig
from core.errors import ConfigError, MinitfError
from core.events import (
    Duel,
    DuelCompleted,
    ReportFailed,
    SideTold,
    StepCompleted,
    StepDiffered,
    ValidationDiffered,
)
from core.store.duels import MOST_STEPS, DuelStory, last_duel
from core.store.find import find_run
from core.store.metrics import read_metrics
from core.testing import tiny_run_config

QUIET = {"checkpoint_interval": 0, "sample_interval": 0, "sample_tokens": 0}


@pytest.fixture
def config(text_file: str) -> RunConfig:
    return tiny_run_config(text_file, steps=20, eval_interval=10, warmup_steps=0, **QUIET)


def fight(config: RunConfig, b: RunConfig | None = None, **how: Any) -> tuple[list[Any], Duel]:
    events = list(recipes.dueling(config, b, **how).run())
    assert isinstance(events[-1], DuelCompleted)
    return events, events[-1].result


def of(events: list[Any], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def test_equal_configs_differ_by_nothing_at_all(config: RunConfig) -> None:
    events, found = fight(config, seeds=2)
    steps, validations = of(events, StepDiffered), of(events, ValidationDiffered)
    assert [e.step for e in steps] == [*range(1, 21)] * 2
    assert [e.step for e in validations] == [10, 20] * 2
    assert {e.difference for e in (*steps, *validations)} == {0.0}
    assert {e.ci95 for e in validations} == {(0.0, 0.0)}
    assert {e.ci95 for e in steps} == {None, (0.0, 0.0)}
    assert (found.difference, found.ci95, found.better) == (0.0, (0.0, 0.0), "")
    assert found.sentence.startswith("No difference yet: ")
    assert [r.seed for r in found.rounds] == [0, 1]
    assert [r.a.run for r in found.rounds] == ["duel-1-s0-a", "duel-1-s1-a"]


def test_to_change_places_changes_the_signs(config: RunConfig) -> None:
    other = config.with_changes(lr=1e-2, d_model=32)
    events, ours = fight(config, other)
    swapped, theirs = fight(other, config)
    for kind in (StepDiffered, ValidationDiffered):
        pairs = [*zip(of(events, kind), of(swapped, kind), strict=True)]
        assert all(a.difference == -b.difference for a, b in pairs)
        assert any(a.difference != 0 for a, b in pairs)
    a, b = ours.rounds[0].last_step, theirs.rounds[0].last_step
    assert a is not None
    assert b is not None
    assert a.mean == pytest.approx(-b.mean, abs=1e-12)
    assert a.ci95 is not None
    assert a.ci95 == pytest.approx((-b.ci95[1], -b.ci95[0]), abs=1e-9)
    assert {ours.better, theirs.better} == {"a", "b"}
    assert "Another seed may tell otherwise." in ours.sentence


def test_a_side_is_the_run_that_it_would_be_alone(config: RunConfig) -> None:
    fight(config, changes_b={"lr": 1e-2}, name="pair")
    for name, lr in (("pair-a", config.train.lr), ("pair-b", 1e-2)):
        alone = [
            (e.loss, e.grad_norm)
            for e in recipes.training(config.with_changes(lr=lr)).run()
            if isinstance(e, StepCompleted)
        ]
        kept = [e for e in read_metrics(find_run(name).run.path) if e["event"] == "StepCompleted"]
        assert [(e["loss"], e["grad_norm"]) for e in kept] == alone


def test_a_stopped_duel_leaves_two_runs_to_go_on_with(config: RunConfig) -> None:
    session, told = recipes.dueling(config, name="cut"), []
    for event in session.run():
        told.append(event)
        if isinstance(event, StepDiffered) and event.step == 5:
            assert session.save()
            session.stop()
    result = told[-1].result
    assert result.sentence.startswith("It was stopped. ")
    assert [find_run(f"cut-{side}").step for side in "ab"] == [5, 5]
    assert core.resume("cut-a").steps == 20


def test_a_side_that_diverges_ends_the_duel_and_keeps_both(config: RunConfig) -> None:
    events, found = fight(config, changes_b={"lr": 1e30, "grad_clip": 0.0}, name="wild")
    assert found.sentence.startswith("B diverged at step ")
    assert any(e.side == "a" for e in of(events, SideTold))
    assert find_run("wild-a").run.name == "wild-a"


@pytest.mark.parametrize(
    ("b", "sentence", "hint"),
    [
        (
            {"batch_size": 4},
            "batch_size=2 in A and batch_size=4 in B: they would not learn from the same batches.",
            "Give both the same batch_size.",
        ),
        (
            {"steps": 30},
            "A duel ends for both at once, and steps=20 in A, 30 in B.",
            "A budget in steps or in seconds that is given to the duel holds for both.",
        ),
    ],
)
def test_what_must_be_equal_is(
    config: RunConfig, b: dict[str, Any], sentence: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        core.duel(config, b_changes=b)
    assert (str(caught.value), caught.value.hint) == (sentence, hint)


def test_what_no_duel_can_be_made_of(config: RunConfig, minitf_home: Any) -> None:
    def refused(*sides: Any, **how: Any) -> tuple[str, str]:
        with pytest.raises(MinitfError) as caught:
            core.duel(*sides, **how)
        return str(caught.value), caught.value.hint

    assert refused(config, steps=0) == (
        "A duel needs a budget: neither side would take a step.",
        "Give steps or seconds.",
    )
    assert refused(config, seeds=0) == ("seeds=0 is not between 1 and 100.", "Try seeds=3.")
    assert refused("no-such") == (
        "'no-such' is no preset, no file and no run.",
        "minitf presets and minitf runs list those that there are.",
    )
    sentence, hint = refused("no-such.toml")
    assert sentence == "The config file no-such.toml cannot be read: No such file or directory."
    assert hint == "Name a TOML file, a preset or a run."

    session = recipes.dueling(config)
    session.stop()

    def stopped(*_: Any, **__: Any) -> Any:
        return session

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.comparing.recipes.dueling", stopped)
        assert refused(config) == ("The duel was stopped before it began.", "Start it again.")


def test_what_a_duel_told_is_kept_with_both_runs(config: RunConfig) -> None:
    events, found = fight(config, changes_b={"lr": 1e-2}, name="kept")
    for name in ("kept-a", "kept-b"):
        kept = last_duel(find_run(name).run)
        assert kept is not None
        assert kept.steps == (*of(events, StepDiffered),)
        assert kept.validations == (*of(events, ValidationDiffered),)
        assert (kept.sentence, kept.better) == (found.sentence, found.better)
        assert (kept.a, kept.b, kept.runs) == (found.a, found.b, ("kept-a", "kept-b"))


def test_a_long_story_is_thinned_evenly_and_has_the_newest_step() -> None:
    story = DuelStory()
    for n in range(1, 9001):
        assert story.hear(differed(n))
    steps = [e.step for e in story.steps]
    assert len(steps) <= MOST_STEPS + 1
    assert steps == [*range(8, 9001, 8)]
    story.hear(differed(9001))
    assert story.steps[-1].step == 9001


def differed(step: int) -> StepDiffered:
    return StepDiffered(
        step=step,
        loss_a=1.0,
        loss_b=2.0,
        difference=1.0,
        mean=1.0,
        ci95=None,
        window=step,
        train_s_a=0.0,
        train_s_b=0.0,
    )


def test_what_cannot_be_kept_is_told_and_the_duel_is_too(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("core.dueling.keep_duel", full)
    events, _ = fight(config)
    told = [(e.what, e.reason) for e in of(events, ReportFailed)]
    assert told == [("duel", "No space left on device")] * 2


def test_a_damaged_file_is_passed_over(config: RunConfig) -> None:
    fight(config, name="torn")
    run = find_run("torn-a").run
    for content in ("{}", "[]", '{"a": 1, "steps": 3}', "{"):
        (run.path / "duels" / "9.json").write_text(content)
        kept = last_duel(run)
        assert kept is not None
        assert kept.runs == ("torn-a", "torn-b")
