"""Runs as they are read from disk, and the words of their rows."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from core import paths
from core.events import Baseline, BaselinesCounted
from core.store import summary
from core.store.files import FileLock
from core.store.metrics import MetricsWriter
from core.store.run_names import NAME_PATTERN
from minitf_tui import comparison
from minitf_tui.run_list import RunReader
from minitf_tui.run_readings import (
    COLUMNS,
    STEP,
    baseline_groups,
    checkpoints_line,
    columns_for,
    heading,
    moment,
    row,
)
from tests.tui.events import step
from tests.tui.runs_on_disk import make_run
from tests.tui.runs_pane import two_runs

# The reader.


def test_a_run_with_odd_files_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    two_runs()
    for module, reader in ((summary, "summarise"), (comparison, "curve_of")):
        monkeypatch.setattr(module, reader, _choking_on_old_one(getattr(module, reader)))
    found = RunReader().look(["old-one", "new-one"], 0.9)
    assert [run.name for run in found.runs] == ["new-one"]
    assert found.unreadable == ("old-one",)
    assert list(found.details) == ["new-one"]


def _choking_on_old_one(read: Any) -> Any:
    def choke(run: Any, *others: Any) -> Any:
        if getattr(run, "name", run) == "old-one":
            raise TypeError("int() argument must be a number, not 'NoneType'")
        return read(run, *others)

    return choke


def test_only_what_changed_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    two_runs()
    reader, read = RunReader(), []
    monkeypatch.setattr("core.store.summary.summarise", _counted(read))
    assert [run.name for run in reader.look([], 0.9).runs] == ["new-one", "old-one"]
    assert sorted(read) == ["new-one", "old-one"]
    reader.look([], 0.9)
    assert len(read) == 2
    path = paths.runs_dir() / "old-one"
    with MetricsWriter(path) as metrics:
        metrics.write(step(61))
    os.utime(path / "metrics.jsonl", (time.time() + 5, time.time() + 5))
    seen_now = reader.look([], 0.9)
    assert [(run.name, run.step) for run in seen_now.runs] == [("old-one", 61), ("new-one", 40)]
    assert read[2:] == ["old-one"]


def _counted(read: list[str]) -> Any:
    from core.store.summary import summarise

    def counting(run: Any) -> Any:
        read.append(run.name)
        return summarise(run)

    return counting


def test_a_run_whose_trainer_was_killed_does_not_run_for_ever() -> None:
    make_run("a")
    reader, lock = RunReader(), FileLock(paths.runs_dir() / "a" / "lock")
    assert lock.acquire()
    assert reader.look([], 0.9).runs[0].state == "running"
    lock.release()
    assert reader.look([], 0.9).runs[0].state == "finished"


def test_details_are_kept_until_the_files_or_the_smoothing_change() -> None:
    make_run("a")
    reader = RunReader()
    first = reader.look(["a", "gone"], 0.9).details
    assert list(first) == ["a"]
    assert reader.look(["a"], 0.9).details["a"] is first["a"]
    again = reader.look(["a"], 0.0).details["a"]
    assert again.curve.steps["loss"][-1] == pytest.approx(step(40).loss)
    assert first["a"].curve.steps["loss"][-1] != pytest.approx(step(40).loss)


# Words.


@pytest.mark.parametrize("width", [30, 48, 76, 116, 160])
def test_every_row_of_the_list_is_as_wide_as_the_list(width: int) -> None:
    make_run("a" * 64)
    run = RunReader().look([], 0.9).runs[0]
    assert len(heading(width).plain) == width
    assert len(row(run, width, mark="accent", is_kept=True, is_here=True).plain) == width
    assert NAME_PATTERN.fullmatch(run.name)


def test_the_most_wanted_columns_stay_longest() -> None:
    assert [c.heading for c in columns_for(40)] == ["state", "loss"]
    assert columns_for(200) == list(COLUMNS)


def test_words_of_the_list() -> None:
    make_run("a", steps=40)
    run = RunReader().look([], 0.9).runs[0]
    assert STEP.value(run) == "40 of 100"
    assert checkpoints_line(()) == "none yet"
    assert checkpoints_line(range(0, 1000, 100)) == "…, 600, 700, 800, 900"
    assert moment("[/x] \x1b no date") == "[/x] · no d"
    assert moment("") == "–"
    assert moment("2026-11-24T12:00:00").startswith("11-")


def test_baselines_stand_beside_the_run_with_what_they_were_counted_on() -> None:
    make_run("one", loss=3.0)
    kinds = [Baseline(name="2-gram", loss=2.5, kind="ngram")]
    kinds.append(Baseline(name="uniform", loss=7.0, kind="uniform"))
    told = BaselinesCounted(baselines=tuple(kinds), counted_tokens=2_000_000, scored_tokens=9)
    with MetricsWriter(paths.runs_dir() / "one") as metrics:
        metrics.write(told)
    seen = RunReader().look(["one"], 0.0)
    (group,) = baseline_groups(seen.runs[0], seen.details["one"])
    assert [(r.label, r.value, r.unit) for r in group.readings] == [
        ("uniform", "7.000", "passed"),
        ("2-gram", "2.500", ""),
        ("counted in the last", "2.0 M", "tokens"),
    ]
    make_run("bare")
    seen = RunReader().look(["bare"], 0.0)
    assert baseline_groups(seen.runs[0], seen.details["bare"]) == ()
