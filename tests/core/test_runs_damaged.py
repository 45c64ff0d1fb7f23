"""Runs that are damaged or half written: refused, left out of lists, swept away."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from core import paths
from core.errors import CheckpointError, RunError
from core.store.files import new_folder, sweep, write_atomically
from core.store.find import all_runs
from core.store.run import create_run, open_run
from core.store.summary import list_runs
from core.store.tokenizers import tokenizer_of
from core.store.tokens import tokenized_text_of
from core.testing import result_of
from tests.core.bare_runs import CONFIG, add_checkpoint, make, refused


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
