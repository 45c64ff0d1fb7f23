"""The floor of a run: kept when it is made, told whenever it goes on or is scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core import recipes
from core.events import EvaluationCompleted, RunFinished, RunStarted
from core.store.find import find_run
from core.store.metrics import read_metrics
from core.testing import tiny_run_config
from core.text.generated import entropy


def of_kind(kind: type, session: Any) -> Any:
    (event,) = [event for event in session.run() if isinstance(event, kind)]
    return event


def test_a_run_on_generated_text_knows_its_floor_from_start_to_evaluation(tmp_path: Path) -> None:
    config = tiny_run_config("generated", generated_chars=20_000)
    events = list(recipes.training(config).run())
    (started,) = [event for event in events if isinstance(event, RunStarted)]
    run = find_run("last").run
    assert run.name == "generated-1"
    assert run.config.text.corpus == "generated"
    # The model reads bytes: a token is a character.
    assert started.floor_loss == pytest.approx(entropy().nats_per_char, abs=4 * started.floor_se)
    assert started.entropy_per_char == entropy().nats_per_char
    kept = [event for event in read_metrics(run.path) if event["event"] == "RunStarted"]
    assert kept[0]["floor_loss"] == started.floor_loss
    assert events[-1].result.floor_loss == started.floor_loss

    again = of_kind(RunStarted, recipes.resuming("last", steps=6))
    assert (again.step, again.floor_loss, again.floor_se) == (
        4,
        started.floor_loss,
        started.floor_se,
    )
    scored = of_kind(EvaluationCompleted, recipes.evaluation("last"))
    assert scored.result.floor_loss == started.floor_loss
    assert scored.result.loss > started.floor_loss
    (report,) = run.reports("evaluations")
    assert report["result"]["floor_loss"] == started.floor_loss

    other = tmp_path / "other.txt"
    other.write_text("Once upon a time there was a text.\n" * 9, encoding="utf-8")
    elsewhere = of_kind(EvaluationCompleted, recipes.evaluation("last", text=other))
    assert elsewhere.result.floor_loss is None


def test_other_texts_have_none(text_file: str) -> None:
    events = list(recipes.training(tiny_run_config(text_file)).run())
    (started,) = [event for event in events if isinstance(event, RunStarted)]
    assert (started.floor_loss, started.floor_se, started.entropy_per_char) == (None, None, None)
    assert isinstance(events[-1], RunFinished)
    assert events[-1].result.floor_loss is None
    run = find_run("last").run
    assert "floor_loss" not in run.provenance
    begun = read_metrics(run.path)[0]
    names = {"floor_loss", "floor_se", "entropy_per_char", "pace_gain"}
    assert {name for name, value in begun.items() if value is None} == names


def test_a_held_out_text_of_part_of_a_story_has_a_floor_without_an_error() -> None:
    """What is infinite becomes null on disk."""
    config = tiny_run_config("generated", generated_chars=600, validation_fraction=0.2)
    list(recipes.training(config, name="short").run())
    run = find_run("short").run
    started = next(e for e in read_metrics(run.path) if e["event"] == "RunStarted")
    assert started["floor_loss"] > 0
    assert started["floor_se"] is None
