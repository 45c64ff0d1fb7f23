"""`minitf replay`: the verdict in words, and as an exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.events import (
    Agreement,
    Circumstance,
    Difference,
    Diverged,
    SetupProgressed,
    StepCompleted,
)
from minitf_tui.cli import reports

EQUAL = Agreement(steps=320, of=320, is_equal=True)
OTHER = Agreement(
    steps=320,
    of=320,
    is_equal=False,
    first_difference=Difference(step=42, figure="loss", before=2.3, now=2.31),
    circumstances=(
        Circumstance(name="threads", before="2", now="4"),
        Circumstance(name="torch", before="2.9", now="\x1b2.10"),
    ),
)


def agreement(
    steps: int, of: int = 0, difference: Difference | None = None, *changes: Circumstance
):
    return Agreement(
        steps=steps,
        of=of or steps,
        is_equal=difference is None,
        first_difference=difference,
        circumstances=changes,
    )


def at(step: int, figure: str = "loss", before: float | None = 0.1, now: float | None = 0.3):
    return Difference(step=step, figure=figure, before=before, now=now)


SAME = "Versions, processor and threads are the same here."


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (EQUAL, "All 320 steps agree bit for bit."),
        (agreement(1), "The one step agrees bit for bit."),
        (agreement(12, 3200), "The first 12 of 3,200 steps agree bit for bit."),
        (agreement(1, 2), "The first 1 of 2 steps agree bit for bit."),
        (agreement(0, 9), "No step was taken that could be compared."),
        (
            OTHER,
            "Steps 1 to 41 agree; step 42 differs: loss 2.31 here, 2.3 there. Different here: "
            "threads 4 instead of 2, torch \\x1b2.10 instead of 2.9.",
        ),
        (agreement(4, 4, at(1)), f"Step 1 differs already: loss 0.3 here, 0.1 there. {SAME}"),
        (
            agreement(4, 4, at(2, "grad norm", 0.1, 0.1 + 2**-56)),
            f"Step 1 agrees; step 2 differs: grad norm 0.10000000000000002 here, 0.1 there. {SAME}",
        ),
        (
            agreement(2000, 2000, at(1500, "validation loss", None, 7.0)),
            "Steps 1 to 1,499 agree; step 1,500 differs: validation loss 7.0 here, – there. "
            + SAME,
        ),
    ],
)
def test_the_verdict_in_words(found: Agreement, words: str):
    assert reports.agreement(found) == words


@pytest.mark.parametrize(("found", "code"), [(EQUAL, 0), (OTHER, 1), (agreement(3, 9), 0)])
def test_the_verdict_comes_first_and_is_the_exit_code(minitf, recipes, make, found, code):
    recipes.play(make.started(), make.step(), make.finished(agreement=found))
    outcome = minitf("replay", "tiny")
    assert outcome.code == code
    first, *_ = outcome.out.splitlines()
    assert first == reports.agreement(found)
    assert "Run tiny" in outcome.out
    assert recipes.call == ("replaying", ("tiny",), {"name": None})


def test_without_a_run_it_is_the_last_one_and_it_can_be_named(minitf, recipes, make):
    recipes.play(make.finished(agreement=EQUAL))
    assert minitf("replay", "--name", "again").code == 0
    assert recipes.call == ("replaying", ("last",), {"name": "again"})


def test_json_has_the_verdict(minitf, recipes, make, tmp_path: Path):
    recipes.play(make.finished(agreement=OTHER))
    outcome = minitf("replay", "tiny.tar.gz", "--json", "--metrics", "m.json")
    assert outcome.code == 1
    assert json.loads(outcome.out)["agreement"]["first_difference"] == {
        "step": 42,
        "figure": "loss",
        "before": 2.3,
        "now": 2.31,
    }
    figures = json.loads((tmp_path / "m.json").read_text())
    assert list(figures) == ["replay"]
    assert figures["replay"]["agreement"]["is_equal"] is False


def test_train_replay_shows_it_too_and_ends_well(minitf, recipes, make):
    recipes.play(make.finished(agreement=OTHER))
    outcome = minitf("train", "--replay", "tiny")
    assert outcome.code == 0
    assert outcome.out.startswith("Steps 1 to 41 agree; step 42 differs: ")


def test_progress_is_that_of_train_and_says_what_was_restored(minitf, recipes, make):
    restored = SetupProgressed(stage="checking the run", share=1.0, remark="a.gz is restored as a")
    recipes.play(restored, make.started(), make.validated(50), make.finished(agreement=EQUAL))
    lines = minitf("replay", "a.gz").err.splitlines()
    assert lines[0] == "a.gz is restored as a"
    assert lines[-1] == "step 50: validation loss 2.500, perplexity 12.2, 1.0 s of training"


def test_a_replay_that_diverges_is_a_fault(minitf, recipes, make):
    recipes.play(make.started(), Diverged(step=7, what="loss is nan", checkpoint_step=None))
    outcome = minitf("replay", "tiny")
    assert (outcome.code, outcome.out) == (1, "")
    assert "minitf: Training ended at step 7: loss is nan." in outcome.err


def test_stopped_by_a_signal_it_ends_as_train_does(minitf, recipes, make):
    def interrupt() -> None:
        raise KeyboardInterrupt

    recipes.play(make.started(), make.step(), interrupt)
    assert minitf("replay", "tiny").code == 130


def test_the_exit_codes_are_in_the_help(minitf):
    text = " ".join(minitf("replay", "--help").out.split())
    assert "Ends with 0 if all steps agree bit for bit, with 1 if one does not" in text


def test_a_capsule_for_real(minitf, make, home: Path, text_file: str):
    """From the file to the exit code, and then with one figure changed in what was recorded."""
    small = ("--corpus", text_file, "--tokenizer", "byte", "--d-model", "16", "--n-layers", "1")
    small += ("--n-heads", "2", "--context", "16", "--batch-size", "2", "--steps", "3")
    assert minitf("train", *small, "--threads", "1", "--name", "run").code == 0
    assert minitf("export", "run", "--format", "capsule", "--out", "run.tar.gz").code == 0
    Path(text_file).unlink()
    outcome = minitf("replay", "run.tar.gz", "--name", "again")
    assert outcome.code == 0, outcome
    assert "run.tar.gz is restored as run-1\n" in outcome.err
    assert outcome.out.startswith("All 3 steps agree bit for bit.\n")

    metrics = home / "runs" / "run-1" / "metrics.jsonl"
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    second = next(e for e in lines if e.get("event") == StepCompleted.__name__ and e["step"] == 2)
    actual, second["loss"] = second["loss"], 1.5
    metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    outcome = minitf("replay", "run-1")
    assert outcome.code == 1
    assert outcome.out.splitlines()[0] == (
        f"Step 1 agrees; step 2 differs: loss {actual} here, 1.5 there. {SAME}"
    )


def test_a_file_that_is_no_capsule_is_refused(minitf, tmp_path: Path):
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    outcome = minitf("replay", str(tmp_path / "a.gguf"))
    assert outcome.code == 2
    assert outcome.err.endswith(
        f"{str(tmp_path / 'a.gguf')!r} is a file, and no capsule.\n"
        "minitf export RUN --format capsule makes one.\n"
    )
