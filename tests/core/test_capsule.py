"""Capsules: the same file each time, with all of a run in it, and restored whole or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any, NoReturn

import pytest

from core import api, recipes
from core.config import RunConfig
from core.errors import MinitfError, RunError
from core.events import ExportCompleted, ImportCompleted, RunStarted
from core.store.run import Run
from tests.core.capsule_files import LAST, exported, files_of, left, restored, run_of
from tests.core.capsule_files import config as config
from tests.core.capsule_files import whole as whole


def test_it_holds_all_and_begins_with_its_list(whole: Path) -> None:
    found = files_of(whole)
    reports = [name for name in found if name.startswith("evaluations/")]
    assert list(found) == [
        *("capsule.json", "run.toml", "tokenizer.json", "metrics.jsonl"),
        *(f"{LAST}/{name}" for name in ("state.json", "model.safetensors", "state.safetensors")),
        *reports,
        "corpus.txt",
    ]
    assert len(reports) == 1
    members = json.loads(found["capsule.json"])["members"]
    assert [m["name"] for m in members] == list(found)[1:]
    for one in members:
        data = found[one["name"]]
        assert (one["bytes"], one["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert "tiny" not in found["run.toml"].decode()


def test_export_import_export_gives_the_same_file(whole: Path, tmp_path: Path) -> None:
    first = restored(whole)
    assert (first.run, first.format, first.step) == ("tiny", "capsule", 4)
    exported("tiny", tmp_path / "again.tar.gz")
    exported("tiny", tmp_path / "twice.tar.gz")
    restored(tmp_path / "again.tar.gz", name="other")
    exported("other", tmp_path / "third.tar.gz")
    for name in ("again", "twice", "third"):
        assert (tmp_path / f"{name}.tar.gz").read_bytes() == whole.read_bytes()


def test_nothing_in_it_tells_when_or_by_whom_it_was_made(whole: Path) -> None:
    assert whole.read_bytes()[4:8] == b"\0\0\0\0"
    with tarfile.open(whole, "r:gz") as archive:
        for about in archive:
            assert (about.mtime, about.uid, about.gid) == (0, 0, 0)
            assert (about.uname, about.gname, about.isreg()) == ("", "", True)


def test_best_and_newest_are_put_in_and_the_rates_of_a_replay(
    config: RunConfig, tmp_path: Path
) -> None:
    api.train(config.with_changes(steps=6, checkpoint_interval=2), name="run")
    api.replay("run", name="again")
    state = run_of("again").checkpoint_path(4) / "state.json"
    state.write_text(state.read_text().replace('"loss": 5', '"loss": 1'))
    exported("again", tmp_path / "a.tar.gz")
    found = files_of(tmp_path / "a.tar.gz")
    steps = {name.split("/")[1] for name in found if name.startswith("checkpoints/")}
    assert steps == {"step-00000004", "step-00000006"}
    assert "rates.json" in found
    restored(tmp_path / "a.tar.gz", "back")
    exported("back", tmp_path / "b.tar.gz")
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()


def test_weights_that_it_began_with_are_put_in(config: RunConfig, tmp_path: Path) -> None:
    api.train(config, name="base")
    api.train(config.with_changes(steps=8), name="tuned", init_from="base")
    exported("tuned", tmp_path / "a.tar.gz")
    restored(tmp_path / "a.tar.gz", "back")
    agreement = api.replay("back").agreement
    assert agreement is not None
    assert (agreement.steps, agreement.is_equal) == (8, True)


def test_weights_from_elsewhere_are_put_in_once(config: RunConfig, tmp_path: Path) -> None:
    """Before its first step a run has them under two names."""
    api.train(config, name="base")
    events = recipes.training(config, name="tuned", init_from="base").run()
    for event in events:
        if isinstance(event, RunStarted):
            break
    shutil.copytree(run_of("tuned").path, tmp_path / "tuned")
    events.close()
    exported(str(tmp_path / "tuned"), tmp_path / "a.tar.gz")
    weights = [name for name in files_of(tmp_path / "a.tar.gz") if name.endswith(".safetensors")]
    assert weights == ["init.safetensors"]
    assert restored(tmp_path / "a.tar.gz", "back").step == 0
    exported("back", tmp_path / "b.tar.gz")
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()
    first, start = run_of("back").checkpoint_path(0), run_of("back").path
    assert (first / "model.safetensors").samefile(start / "init.safetensors")
    assert api.resume("back").steps == 4


def test_a_run_in_a_folder_that_cannot_be_written_is_exported(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.train(config, name="run")

    def denied(_: Run) -> NoReturn:
        raise PermissionError

    monkeypatch.setattr(Run, "lock", denied)
    assert exported("run", tmp_path / "a.tar.gz").step == 4


def test_a_run_without_a_checkpoint_is_a_capsule_too(config: RunConfig, tmp_path: Path) -> None:
    events = recipes.training(config, name="run").run()
    for event in events:
        if isinstance(event, RunStarted):
            break
    events.close()
    exported("run", tmp_path / "a.tar.gz")
    assert restored(tmp_path / "a.tar.gz", "back").step == 0
    assert api.resume("back").steps == 4


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("tiny.tar.gz", "tiny"),
        ("tiny.tgz", "tiny.tgz"),
        ("My model!.tar.gz", "my-model-1"),
        ("last.tar.gz", "last-1"),
        ("é.tar.gz", "run-1"),
    ],
)
def test_it_is_called_after_its_file(whole: Path, tmp_path: Path, file: str, name: str) -> None:
    path = tmp_path / file
    path.write_bytes(whole.read_bytes())
    assert restored(path).run == name


def test_a_name_that_is_taken_is_counted_or_refused(whole: Path) -> None:
    assert [restored(whole).run for _ in range(3)] == ["tiny", "tiny-1", "tiny-2"]
    with pytest.raises(RunError, match="A run named 'tiny' exists already"):
        restored(whole, name="tiny")


def test_a_run_that_is_being_trained_is_not_put_in(config: RunConfig, tmp_path: Path) -> None:
    api.train(config, name="run")
    with run_of("run").lock(), pytest.raises(RunError, match="run is in use by another minitf"):
        exported("run", tmp_path / "a.tar.gz")
    assert not (tmp_path / "a.tar.gz").exists()


def stop_after(session: Any, n_events: int) -> None:
    """Ask for an end after so many events; the job does not come to its own."""
    for n, event in enumerate(session.run()):
        assert not isinstance(event, ExportCompleted | ImportCompleted)
        if n == n_events:
            session.stop()


@pytest.mark.parametrize("after", [0, 3, 6, 12, 15])
def test_stopped_anywhere_it_leaves_nothing(whole: Path, after: int) -> None:
    stop_after(recipes.importing(whole), after)
    assert left() == []


def test_an_export_that_is_stopped_leaves_nothing(config: RunConfig, tmp_path: Path) -> None:
    api.train(config, name="run")
    path = tmp_path / "a.tar.gz"
    path.write_text("precious")
    before = set(tmp_path.iterdir())
    for after in range(8):
        stop_after(recipes.exporting("run", format="capsule", out=path, overwrite=True), after)
        assert set(tmp_path.iterdir()) == before
        assert path.read_text() == "precious"


def test_a_run_that_is_not_there_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(MinitfError, match="There is no run"):
        exported("nobody", tmp_path / "a.tar.gz")
    assert not (tmp_path / "a.tar.gz").exists()
