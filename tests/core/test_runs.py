"""The run folder: names, locks, reports, and what a list says of it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core import paths
from core.store.run import change_budget, create_run, delete_run, open_run
from core.store.run_names import check_new_name
from core.store.summary import list_runs
from tests.core.bare_runs import CONFIG, add_checkpoint, make, refused


def test_a_run_is_read_as_it_was_made() -> None:
    made = make(threads=2)
    again = open_run(made.path)
    assert again == made
    assert again.config == CONFIG
    assert again.provenance["threads"] == 2
    assert made.path == paths.runs_dir() / "tiny"
    assert made.tokenizer_path.read_text() == "{}"
    assert sorted(p.name for p in made.path.iterdir()) == ["run.toml", "tokenizer.json"]


def test_runs_without_a_name_are_called_after_their_corpus_and_counted() -> None:
    assert [make(None).name for _ in range(3)] == [
        "python-docs-1",
        "python-docs-2",
        "python-docs-3",
    ]
    odd = CONFIG.with_changes(corpus="/a/Öde & Mehr.TXT")
    assert create_run(None, odd, {}, "{}").name == "de-mehr-1"
    assert create_run(None, CONFIG.with_changes(corpus="/a/日.txt"), {}, "{}").name == "run-1"


def test_a_taken_name_is_refused() -> None:
    make("tiny")
    expected = (
        "A run named 'tiny' exists already.",
        "Choose another name, go on with --resume tiny, or: minitf runs rm tiny --yes",
    )
    assert refused(lambda: make("tiny")) == expected
    assert refused(lambda: check_new_name("tiny")) == expected


@pytest.mark.parametrize(
    "name", ["last", "best", "Tiny", "a b", ".x", "-x", "x" * 65, "a/b", "é", ""]
)
def test_what_is_no_name_is_refused(name: str) -> None:
    assert refused(lambda: check_new_name(name)) == (
        f"{name!r} cannot name a run.",
        "Use a-z, 0-9, '.', '_' and '-', at most 64; last and best are taken.",
    )


@pytest.mark.parametrize("name", ["a", "0", "a.b_c-d", "x" * 64, "step-1"])
def test_what_is_a_name_is_taken(name: str) -> None:
    assert make(name).name == name


def test_a_run_that_cannot_be_made_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("core.store.run.write_synced", fail)
    with pytest.raises(OSError, match="No space left"):
        make("tiny")
    assert list(paths.runs_dir().iterdir()) == []


def test_settings_that_no_toml_can_hold_leave_no_run_and_the_name_free() -> None:
    odd = CONFIG.with_changes(corpus="/texts/d\udce9/a.txt")
    message, hint = refused(lambda: create_run("tiny", odd, {}, "{}"))
    assert message.startswith("The settings of the run cannot be kept: ")
    assert hint == "Give names and texts in Unicode without lone surrogates."
    assert not paths.runs_dir().exists()
    assert make("tiny").name == "tiny"


def test_of_two_who_take_a_name_at_once_the_slower_is_refused_or_counted_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both saw the name free; the folder of the faster one comes in between."""
    make("tiny")
    make("python-docs-1")
    monkeypatch.setattr("core.store.run.check_new_name", lambda _: None)
    assert refused(lambda: make("tiny"))[0] == "A run named 'tiny' exists already."
    monkeypatch.setattr(
        "core.store.run.free_names", lambda *_, **__: iter(["python-docs-1", "python-docs-2"])
    )
    assert make(None).name == "python-docs-2"
    assert not list(paths.runs_dir().glob(".partial-*"))


def test_only_the_budget_of_a_run_changes() -> None:
    run = make()
    changed = change_budget(run, {"steps": 7})
    assert changed.config == CONFIG.with_changes(steps=7)
    assert open_run(run.path) == changed
    assert changed.provenance == run.provenance


IN_USE = ("The run tiny is in use by another minitf.", "Wait for it to end, or stop it there.")


def test_a_locked_run_is_refused_to_others() -> None:
    run = make()
    with run.lock():
        assert refused(lambda: run.lock().__enter__()) == IN_USE
        assert refused(lambda: delete_run(run)) == IN_USE
        assert run.path.exists()
        assert list_runs()[0].state == "running"
    delete_run(run)
    assert list(paths.runs_dir().iterdir()) == []


HOLDER = """
import sys
from pathlib import Path
from core.store.run import open_run
with open_run(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_goes_with_its_process_however_it_ends() -> None:
    run = make()
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(run.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert refused(lambda: run.lock().__enter__()) == IN_USE
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with run.lock():
        pass


def test_reports_are_kept_in_order_and_damaged_ones_left_out() -> None:
    run = make()
    kept = [run.save_report("evaluations", {"loss": i}) for i in range(3)]
    kept[1].write_text("{")
    assert [r["loss"] for r in run.reports("evaluations")] == [0, 2]
    assert run.reports("benchmarks") == []


def test_a_report_is_json_whatever_the_numbers() -> None:
    run = make()
    path = run.save_report("evaluations", {"ci": (float("-inf"), float("inf")), "text": "\ud800"})

    def refuse(word: str) -> None:
        raise AssertionError(word)

    assert json.loads(path.read_bytes(), parse_constant=refuse)["ci"] == [None, None]


def test_a_new_run_is_listed_with_its_figures() -> None:
    run = make()
    add_checkpoint(run, 5, loss=1.5, bits=2.5)
    (found,) = list_runs()
    assert (found.name, found.path, found.state) == ("tiny", str(run.path), "new")
    assert (found.step, found.steps, found.seconds) == (5, 100, 0)
    assert (found.val_loss, found.bits_per_byte, found.n_params) == (1.5, 2.5, 42)
    assert (found.corpus, found.tokenizer) == ("python-docs", "bpe")
    assert found.size_bytes == sum(p.stat().st_size for p in run.path.rglob("*") if p.is_file())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", found.created)
