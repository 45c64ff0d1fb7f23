"""A place where nothing can be written: a sentence and a hint, before any work is done."""

from __future__ import annotations

import errno
import os

import pytest

from core import events as ev
from core.store import files
from core.store.files import check_writable, make_folder
from minitf_tui.problems import explain, unsaved

HINT = "MINITF_HOME=FOLDER keeps all data in another place.\n"


@pytest.fixture(params=["in-the-way/home", "/proc/minitf/home"])
def nowhere(request, tmp_path, monkeypatch):
    """A data folder that cannot exist, for root neither."""
    (tmp_path / "in-the-way").write_text("")
    place = str(tmp_path / request.param)
    monkeypatch.setenv("MINITF_HOME", place)
    return place


def test_training_says_so_before_it_begins(refused, nowhere):
    words = refused("train", "--steps", "1")
    assert words.startswith("minitf: Nothing can be written to ")
    assert words.endswith(HINT)


@pytest.mark.parametrize("command", ["eval", "generate", "bench", "plot"])
def test_there_is_no_run_to_use(minitf, nowhere, command):
    outcome = minitf(command)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.endswith("minitf: There is no run yet.\nStart one with: minitf train\n")


def test_what_needs_no_place_works(minitf, nowhere):
    assert minitf("runs").out == "There are no runs yet. minitf train makes one.\n"
    assert minitf("presets").code == 0
    assert minitf("__complete", "fish", "eval", "").out.startswith("last")


def test_looking_whether_a_place_can_be_written_leaves_nothing(tmp_path):
    before = list(tmp_path.iterdir())
    check_writable(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == before


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(files.StoreError, match="cannot be made: Not a directory") as caught:
        make_folder(tmp_path / "file" / "folder")
    assert f"The folder '{tmp_path}/file/folder' cannot be made" in str(caught.value)
    assert caught.value.hint == HINT.strip()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EDQUOT, "Your share of the disk is used up."),
        (errno.EFBIG, "The system allows no file of that size."),
    ],
)
def test_what_else_the_system_refuses(number, words):
    assert explain(OSError(number, os.strerror(number))) == f"{words}\n{HINT.strip()}"


@pytest.mark.parametrize("kept", [None, 250])
def test_a_checkpoint_that_was_not_written_is_a_remark_and_no_end(minitf, recipes, make, kept):
    failed = ev.CheckpointFailed(step=500, reason="No space left on device", kept_step=kept)
    recipes.play(make.started(), make.step(500), failed, make.step(501), make.finished())
    outcome = minitf("train", "--json")
    assert outcome.code == 0
    so_far = "none is kept" if kept is None else "step 250 is kept"
    assert (
        "The checkpoint of step 500 could not be written: No space left on device. "
        f"So far {so_far}. Training goes on, and the next one is tried again: make room.\n"
    ) in outcome.err


@pytest.mark.parametrize(("command", "what"), [("eval", "evaluation"), ("bench", "benchmark")])
def test_a_result_that_was_not_kept_is_told_all_the_same(minitf, recipes, make, command, what):
    failed = ev.ReportFailed(what=what, reason="Read-only file system")
    done = make.evaluated() if command == "eval" else make.benchmarked()
    recipes.play(failed, done)
    outcome = minitf(command)
    assert outcome.code == 0
    words = f"The {what} could not be kept with its run: Read-only file system."
    assert outcome.err == f"{words}\n"
    assert outcome.out
    assert str(unsaved(failed)) == words
