"""`minitf runs`: list, show, rm."""

from __future__ import annotations

import json

import pytest

from core.events import Baseline, BaselinesCounted, Controlled, RunFinished
from core.presets import SEED
from core.store.files import write_atomically
from core.store.metrics import MetricsWriter
from core.store.run import Run, create_run
from tests.tui.events import alert, health


@pytest.fixture
def run(make) -> Run:
    """A finished run, without checkpoints."""
    made = create_run("tiny", SEED, {"n_params": 454_016, "corpus_sha256": "0"}, "{}")
    with MetricsWriter(made.path) as metrics:
        for step in range(1, 101):
            metrics.write(make.step(step))
        metrics.write(make.finished())
    return made


def test_no_runs_yet(minitf):
    outcome = minitf("runs")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == "There are no runs yet. minitf train makes one.\n"
    assert json.loads(minitf("runs", "--json").out) == {"runs": []}


def test_the_list(minitf, run):
    head, line = minitf("runs", "list").out.splitlines()
    assert head.split()[:5] == ["run", "state", "text", "step", "loss"]
    assert line.split()[:5] == ["tiny", "finished", "python-docs", "100", "–"]
    assert "454.0 k" in line
    assert minitf("runs").out == minitf("runs", "list").out


def test_the_list_as_json(minitf, run):
    (summary,) = json.loads(minitf("runs", "list", "--json").out)["runs"]
    assert summary["name"] == "tiny"
    assert summary["state"] == "finished"
    assert summary["step"] == 100


def test_one_run(minitf, run):
    outcome = minitf("runs", "show", "tiny")
    assert outcome.code == 0
    lines = dict(line.strip().split("  ", 1) for line in outcome.out.splitlines() if "  " in line)
    shown = {name: value.strip() for name, value in lines.items()}
    assert shown["state"] == "finished"
    assert shown["step"] == "100 of 100"
    assert shown["parameters"] == "454,016"
    assert 'tokenizer = "bpe"' in outcome.out
    about = json.loads(minitf("runs", "show", "--json").out)
    assert about["config"] == SEED.to_dict()
    assert about["provenance"]["n_params"] == 454_016
    assert about["path"] == str(run.path)


def test_a_run_tells_its_health_and_what_was_said_of_it(minitf, run):
    with MetricsWriter(run.path) as metrics:
        metrics.write(health(100))
        metrics.write(alert(90))
    out = minitf("runs", "show", "tiny").out
    words = "step 100: largest update 10 % of the embedding, most dead units 64.0 %, attention"
    assert f"health      {words} 0.51 to 0.61, logits -7.0 to 5.7" in out
    assert "alert       step 90, spike: The loss rose to 4.12 by step 90" in out
    about = json.loads(minitf("runs", "show", "--json").out)
    assert about["health"]["layers"] == ["embedding", "1", "2", "3", "head"]
    assert about["alerts"][0]["kind"] == "spike"


def test_a_run_stands_among_baselines_and_under_its_budget_of_now(minitf, run, monkeypatch):
    monkeypatch.setattr(Run, "best_validation", lambda self: (3.0, 1.5))
    counted = BaselinesCounted(
        baselines=(
            Baseline(name="2-gram", loss=3.1, kind="ngram"),
            Baseline(name="3-gram", loss=2.6, kind="ngram"),
        ),
        counted_tokens=9,
        scored_tokens=9,
    )
    moved = Controlled(step=90, action="budget", words="budget +50 steps", steps=150)
    with MetricsWriter(run.path) as metrics:
        for event in (counted, moved):
            metrics.write(event)
    out = minitf("runs", "show", "tiny").out
    assert "step           100 of 150" in out
    assert "baselines      below 2-gram 3.100, above 3-gram 2.600" in out


def test_a_budget_moved_long_ago_is_known_from_the_checkpoint(minitf, run):
    """Before the newest events, which are all that is read of a long run."""
    state = {"format": 1, "step": 100, "validation": None, "budget": {"steps": 150, "seconds": 0.0}}
    write_atomically(run.checkpoint_path(100) / "state.json", json.dumps(state).encode())
    assert "  step        100 of 150\n" in minitf("runs", "show", "tiny").out
    state["budget"] = {"steps": "many", "seconds": None}
    write_atomically(run.checkpoint_path(100) / "state.json", json.dumps(state).encode())
    assert "  step        100 of 100\n" in minitf("runs", "show", "tiny").out


def test_a_record_may_say_anything(minitf):
    hostile = {
        "n_params": 10**400,
        "threads": 10**400,
        "device": "\x1b[31m" * 99,
        "imported_from": "x" * 9999,
        "architecture": [1],
    }
    create_run("odd", SEED, hostile, "{}")
    out = minitf("runs", "show", "odd").out
    assert "parameters     0" in out
    assert "000 threads" not in out
    assert "\x1b" not in out
    assert "x" * 300 not in out


def test_removing_needs_a_yes(minitf, refused, run):
    words = refused("runs", "rm", "tiny")
    assert words == (
        "minitf: Nothing was removed: tiny would be gone for good.\n"
        "To remove it: minitf runs rm tiny --yes\n"
    )
    assert run.path.exists()
    assert minitf("runs", "rm", "tiny", "--yes").out == "Removed tiny.\n"
    assert not run.path.exists()
    assert "There is no run 'tiny'" in refused("runs", "rm", "tiny", "--yes")


def test_removing_as_json(minitf, run):
    removed = json.loads(minitf("runs", "rm", "tiny", "--yes", "--json").out)
    assert removed == {"removed": "tiny", "path": str(run.path)}


def test_a_run_in_use_stays(refused, run):
    with run.lock():
        assert "in use" in refused("runs", "rm", "tiny", "--yes")
    assert run.path.exists()


def test_a_damaged_run_is_refused_in_words(refused, run):
    (run.path / "run.toml").write_bytes(b"\x00")
    assert "'tiny' cannot be read" in refused("runs", "show", "tiny")


def test_a_long_path_of_a_text_is_shortened(minitf):
    corpus = "/a/folder/with/a-rather-long-name-of-a-file.txt"
    create_run("long", SEED.with_changes(corpus=corpus), {}, "{}")
    assert " a-rather-long-nam... " in minitf("runs").out


def test_the_finished_event_is_what_core_writes(make):
    assert isinstance(make.finished(), RunFinished)
