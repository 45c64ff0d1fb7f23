"""Baselines and accuracies on the command line: told, reported, drawn."""

from __future__ import annotations

import pytest

from core.events import Baseline, BaselinePassed, BaselinesCounted
from minitf_tui.cli import figures
from minitf_tui.cli.curves import curves_of
from minitf_tui.standing import passed, standing

BASELINES = tuple(
    Baseline(name=name, loss=loss, kind=kind)
    for name, loss, kind in (
        ("uniform", 4.17, "uniform"),
        ("2-gram", 2.48, "ngram"),
        ("3-gram", 2.04, "ngram"),
        ("bz2", 1.56, "compressor"),
    )
)
COUNTED = BaselinesCounted(baselines=BASELINES, counted_tokens=90_000, scored_tokens=100)


def passing(step: int, name: str) -> BaselinePassed:
    loss = next(one.loss for one in BASELINES if one.name == name)
    return BaselinePassed(step=step, name=name, loss=loss)


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (5.0, "above uniform 4.170"),
        (2.2, "below 2-gram 2.480, above 3-gram 2.040"),
        (2.04, "below 2-gram 2.480, above 3-gram 2.040"),
        (1.5, "below bz2 1.560"),
        (None, ""),
    ],
)
def test_where_a_loss_stands(loss: float | None, words: str) -> None:
    assert standing(loss, BASELINES) == words
    assert standing(loss, ()) == ""


def test_several_that_were_passed_at_once() -> None:
    names = ["uniform", "2-gram", "3-gram"]
    assert passed([passing(5, name) for name in names]) == "uniform, 2-gram and 3-gram 2.040"
    assert passed([passing(5, "bz2")]) == "bz2 1.560"


def test_they_are_told_at_the_start_and_when_they_are_passed(minitf, recipes, make):
    recipes.play(
        make.started(train_tokens=90_000),
        COUNTED,
        make.validated(50),
        passing(50, "uniform"),
        passing(50, "2-gram"),
        make.step(51),
        make.finished(val_loss=2.2),
    )
    outcome = minitf("train")
    assert outcome.err.splitlines()[1:] == [
        "Baselines, in nats per token: uniform 4.170, 2-gram 2.480, 3-gram 2.040, bz2 1.560",
        "step 50: validation loss 2.500, perplexity 12.2, 1.0 s of training",
        "step 50: passed uniform and 2-gram 2.480",
    ]
    assert "  baselines        below 2-gram 2.480, above 3-gram 2.040\n" in outcome.out


def test_of_a_part_of_a_long_text_it_is_said(minitf, recipes, make):
    recipes.play(make.started(train_tokens=5_000_000), COUNTED, make.finished())
    assert "Baselines (counted in the last 90.0 k tokens), in nats per token: uniform" in (
        minitf("train").err
    )


def test_an_accuracy_is_told_beside_the_loss(minitf, recipes, make):
    recipes.play(make.started(), make.validated(50, accuracy=0.456), make.finished(accuracy=0.456))
    outcome = minitf("train")
    assert "step 50: validation loss 2.500, 45.6 % solved, perplexity 12.2" in outcome.err
    assert "  solved           45.6 %\n" in outcome.out


def test_an_accuracy_is_on_the_progress_line(minitf, recipes, make, terminal):
    screen = terminal("stderr")
    recipes.play(make.started(), make.validated(accuracy=0.5), make.step(), make.finished())
    minitf("train", "--json")
    assert "val 2.500  50.0 % solved  12.3 k tok/s" in screen.getvalue()


def test_an_evaluation_knows_where_the_run_stands(minitf, recipes, make):
    recipes.play(make.evaluated(baselines=BASELINES, accuracy=0.25, problems=80))
    outcome = minitf("eval")
    assert "  baselines " in outcome.out
    assert "25.0 % of 80 problems\n" in outcome.out


def metrics() -> list[dict[str, object]]:
    steps: list[dict[str, object]] = [
        {"event": "StepCompleted", "step": n, "loss": 4.0 / n, "lr": 0.1} for n in range(1, 9)
    ]
    baselines = [{"name": one.name, "loss": one.loss, "kind": one.kind} for one in BASELINES]
    return [{"event": "BaselinesCounted", "baselines": baselines}, *steps]


def test_a_picture_has_those_within_reach_of_the_curve() -> None:
    run = curves_of("tiny", metrics())
    assert run.baselines == BASELINES
    axes = figures.loss([run]).axes[0]
    labels = {text.get_text() for text in axes.texts}
    assert labels == {"2-gram 2.480", "3-gram 2.040", "bz2 1.560"}
    assert len(figures.loss([curves_of("tiny", metrics()[1:])]).axes[0].texts) == 0
    assert len(figures.loss([run, curves_of("other", metrics())]).axes[0].texts) == 0
