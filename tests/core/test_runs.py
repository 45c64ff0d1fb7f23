"""The run folder: names, finding, locks, reports, and what a list says of it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from core import paths
from core.errors import CheckpointError, RunError
from core.presets import preset
from core.store.files import new_folder, sweep, write_atomically
from core.store.find import all_runs, find_run
from core.store.run import Run, change_budget, create_run, delete_run, open_run
from core.store.run_names import check_new_name
from core.store.summary import list_runs
from core.store.tokenizers import tokenizer_of
from core.store.tokens import tokenized_text_of
from core.testing import result_of

CONFIG = preset("seed")


def make(name: str | None = "tiny", **provenance: Any) -> Run:
    facts = {"corpus_sha256": "0", "n_params": 42} | provenance
    return create_run(name, CONFIG, facts, "{}")


def add_checkpoint(run: Run, step: int, loss: float | None = None, bits: float = 1.0) -> None:
    validation = None if loss is None else {"loss": loss, "bits_per_byte": bits}
    state = {"format": 1, "step": step, "validation": validation}
    write_atomically(run.checkpoint_path(step) / "state.json", json.dumps(state).encode())


def touch(run: Run, seconds: float) -> None:
    """Pretend that it was worked on then."""
    os.utime(run.path / "run.toml", (seconds, seconds))


def refused(work: Any, kind: type[Exception] = RunError) -> tuple[str, str]:
    with pytest.raises(kind) as caught:
        work()
    return str(caught.value), caught.value.hint  # type: ignore[attr-defined]


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


@pytest.mark.parametrize(
    "damage",
    ["", "x", "format = 1\n", "format = 2\n[provenance]\n", "format = 1\nprovenance = 1\n"],
)
def test_a_damaged_run_is_refused_and_left_out_of_lists(damage: str) -> None:
    run = make()
    (run.path / "run.toml").write_text(damage)
    message, hint = refused(lambda: open_run(run.path))
    assert message.startswith("The run 'tiny' cannot be read: ")
    assert hint == "Restore its run.toml, or delete the folder."
    assert all_runs() == list_runs() == []


def test_a_config_that_makes_no_sense_any_more_is_a_damaged_run() -> None:
    run = make()
    toml = (run.path / "run.toml").read_text().replace("d_model = 128", "d_model = 30")
    (run.path / "run.toml").write_text(toml)
    assert "d_model=30 does not divide" in refused(lambda: open_run(run.path))[0]


@pytest.mark.parametrize(
    "line",
    [
        '{"event": "StepCompleted", "step": null}',
        '{"event": "StepCompleted"}',
        '{"event": "ValidationCompleted", "step": "9"}',
        '{"event": "Resumed"}',
        '{"event": "ReturnedToCheckpoint", "step": 9, "to_step": 3}',
        '{"event": ["StepCompleted"], "step": 9}',
    ],
)
def test_an_odd_line_of_metrics_does_not_take_its_run_off_the_list(line: str) -> None:
    make("other")
    lines = ('{"event": "StepCompleted", "step": 5}', line, '{"event": "Resumed", "step": 5}')
    (make().path / "metrics.jsonl").write_text("".join(f"{each}\n" for each in lines))
    assert {run.name: run.step for run in list_runs()} == {"tiny": 5, "other": 0}


def test_leftovers_of_a_killed_writer_are_no_runs_and_no_checkpoints() -> None:
    run = make()
    add_checkpoint(run, 2)
    (run.path.parent / ".partial-x-12").mkdir()
    (run.path / "checkpoints" / ".partial-step-00000004-ab").mkdir()
    (run.path / "checkpoints" / "step-4").mkdir()
    assert [r.name for r in all_runs()] == ["tiny"]
    assert run.checkpoint_steps() == [2]


def test_a_folder_exists_whole_or_not_at_all(tmp_path: Path) -> None:
    def fail_half_way() -> None:
        with new_folder(tmp_path / "x") as folder:
            (folder / "half").write_text("")
            assert not (tmp_path / "x").exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_half_way()
    assert list(tmp_path.iterdir()) == []
    with new_folder(tmp_path / "x") as folder:
        (folder / "whole").write_text("")
    assert [p.name for p in (tmp_path / "x").iterdir()] == ["whole"]


def test_a_file_is_replaced_at_once_and_a_failed_write_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a" / "f"
    write_atomically(path, b"old")

    def fail(partial: Path, data: bytes) -> None:
        partial.write_bytes(data[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("core.store.files.write_synced", fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in path.parent.iterdir()] == ["f"]


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


def test_a_folder_is_swept_of_what_killed_writers_left(tmp_path: Path) -> None:
    (tmp_path / ".partial-a-1" / "deep").mkdir(parents=True)
    (tmp_path / ".partial-b-2").write_text("")
    (tmp_path / "kept").mkdir()
    sweep(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]


def test_a_new_run_sweeps_what_was_left_for_a_day_and_nothing_that_is_being_written(
    minitf_home: Path,
) -> None:
    folders = [paths.runs_dir(), *(paths.cache_dir() / name for name in ("tokens", "texts"))]
    for folder in folders:
        folder.mkdir(parents=True)
        for name, age in (("old", 90_000), ("new", 3_600)):
            (folder / f".partial-{name}-1").mkdir()
            (folder / f".partial-{name}-1" / "weights").write_text("")
            (folder / f".partial-{name}-2").write_text("")
            for path in folder.glob(f".partial-{name}-*"):
                os.utime(path, (time.time() - age,) * 2)
    make("tiny")
    for folder in folders:
        left = sorted(path.name for path in folder.glob(".partial-*"))
        assert left == [".partial-new-1", ".partial-new-2"]


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


def test_a_damaged_checkpoint_state_is_refused_and_does_not_hide_the_others() -> None:
    run = make()
    add_checkpoint(run, 2, loss=1.0)
    add_checkpoint(run, 4, loss=0.5)
    for rubbish in ("", "{", "{}", '{"format": 1, "step": 3}', '{"format": 9, "step": 4}', "[]"):
        (run.checkpoint_path(4) / "state.json").write_text(rubbish)
        message, hint = refused(lambda: run.checkpoint_state(4), CheckpointError)
        assert message.startswith("The checkpoint at step 4 of tiny is damaged: ")
        assert hint == "Use another one: tiny@STEP."
        assert run.best_step() == 2


def test_a_runs_tokenizer_that_cannot_be_read_is_refused() -> None:
    run = make()
    for spoil in (lambda p: p.write_bytes(b"\xff"), lambda p: p.unlink()):
        spoil(run.tokenizer_path)
        message, hint = refused(lambda: tokenizer_of(run))
        assert message.startswith("The tokenizer of tiny cannot be read: ")
        assert hint == "Restore its tokenizer.json, or train again."


def test_a_corpus_that_changed_is_refused(text_file: str) -> None:
    from core.text.tokenizer import ByteTokenizer

    config = CONFIG.with_changes(corpus=text_file, tokenizer="byte")
    run = create_run("tiny", config, {"corpus_sha256": "0" * 64}, ByteTokenizer().to_json())
    message = f"The corpus '{text_file}' has changed since tiny was made."
    with pytest.raises(RunError, match=re.escape(message)) as caught:
        result_of(tokenized_text_of(run))
    assert (
        caught.value.hint
        == "Restore the old text, or start a new run. What comes with Python changes with Python."
    )


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
