"""A benchmark as files: all of its numbers, a picture of the same ones, and nothing overwritten."""

from __future__ import annotations

import csv
import errno
import io
from pathlib import Path

import pytest

from core.errors import StoreError
from minitf_tui import bench_files
from tests.tui.bench_story import FAST, FAST4, NONE, RIVAL, STATIC, bench_story
from tests.tui.test_bench_board import board_of

STORY = (NONE, STATIC, FAST, FAST4, RIVAL)


def test_the_table_has_a_row_for_each_cell_and_all_its_samples() -> None:
    board = board_of(bench_story(STORY, broken=(FAST,)))
    rows = list(csv.DictReader(io.StringIO(bench_files.table(board))))
    assert len(rows) == 2 * len(STORY)
    row = next(r for r in rows if (r["engine"], r["phase"], r["bits"]) == ("fast", "decode", "0"))
    cell = board.tracks[2].cells["decode"]
    assert [float(part) for part in row["samples_ms"].split(";")] == list(cell.samples_ms)
    assert float(row["mean_ms"]) == cell.mean_ms
    assert (float(row["ci95_low_ms"]), float(row["ci95_high_ms"])) == cell.interval_ms
    assert (row["is_ranked"], row["proof_passes"], row["identical_tokens"]) == (
        "False",
        "False",
        "3",
    )
    assert (row["bound"], row["share_of_limit"]) == ("bytes", "0.62")
    rival = rows[-1]
    assert (rival["rival"], rival["bound"], rival["proof_passes"]) == ("llama.cpp", "", "")


def test_without_matplotlib_the_table_is_written_alone(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(bench_files, "has_pictures", lambda: False)
    saved = bench_files.save(board_of(bench_story(STORY)), "run", 940, tmp_path)
    assert saved == (tmp_path / "bench-run-940.csv",)
    assert list(tmp_path.iterdir()) == list(saved)


@pytest.mark.slow
def test_pictures_are_written_beside_it(tmp_path) -> None:
    pytest.importorskip("matplotlib")
    saved = bench_files.save(board_of(bench_story(STORY, broken=(FAST,))), "run", 940, tmp_path)
    assert [path.suffix for path in saved] == [".csv", ".png", ".svg"]
    assert saved[1].read_bytes().startswith(b"\x89PNG")
    drawing = saved[2].read_text(encoding="utf-8")
    for words in (
        "run at step 940",
        "fast KV cache f32",
        "proof failed",
        "crossing at",
        "llama.cpp",
    ):
        assert words in drawing, words


def test_nothing_is_overwritten(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(bench_files, "has_pictures", lambda: False)
    board = board_of(bench_story((STATIC,)))
    (tmp_path / "bench-run-1.csv").write_text("mine")
    names = [bench_files.save(board, "run", 1, tmp_path)[0].name for _ in range(2)]
    assert names == ["bench-run-1-2.csv", "bench-run-1-3.csv"]
    assert (tmp_path / "bench-run-1.csv").read_text() == "mine"
    monkeypatch.setattr(bench_files, "MOST_NAMES", 4)
    with pytest.raises(StoreError, match="holds 3 files named bench-run-1 already") as caught:
        bench_files.save(board, "run", 1, tmp_path)
    assert caught.value.hint == "Move some away."


def test_a_name_that_is_no_file_name_becomes_one(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(bench_files, "has_pictures", lambda: False)
    [path] = bench_files.save(board_of(bench_story((STATIC,))), "../[/foo]\x1b", 3, tmp_path)
    assert path.parent == tmp_path
    assert path.name == "bench-..-foo--3.csv"


def test_a_disk_that_refuses_is_told_and_leaves_nothing(tmp_path, monkeypatch) -> None:
    board = board_of(bench_story((STATIC,)))
    monkeypatch.setattr(bench_files, "_contents", lambda *_: {".csv": b"1", ".png": b"2"})
    opened = Path.open

    def full(path: Path, *mode: str):
        if path.suffix == ".png":
            raise OSError(errno.ENOSPC, "No space left on device")
        return opened(path, *mode)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(StoreError, match="The benchmark cannot be written to") as caught:
        bench_files.save(board, "run", 1, tmp_path)
    assert "No space left on device" in str(caught.value)
    assert caught.value.hint == "Start minitf in a folder that you may write to."
    assert not list(tmp_path.iterdir())


def test_a_working_folder_that_is_gone_is_told(monkeypatch) -> None:
    def gone(_name: str) -> Path:
        raise FileNotFoundError

    monkeypatch.setattr(bench_files.paths, "absolute", gone)
    with pytest.raises(
        StoreError, match="The folder in which minitf was started is gone"
    ) as caught:
        bench_files.folder()
    assert caught.value.hint == "Start it in another one."
