"""metrics.jsonl: what was written can be read, whatever happened to its writer."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.events import Diverged, SampleCompleted, StepCompleted
from core.store.metrics import MetricsWriter, read_last_metrics, read_metrics


def step(n: int, loss: float = 1.0) -> StepCompleted:
    return StepCompleted(
        step=n, loss=loss, lr=0.1, grad_norm=2.0, tokens=n, tokens_per_s=3.0, train_s=0.5
    )


def write(path: Path, *steps: int) -> None:
    with MetricsWriter(path) as metrics:
        for n in steps:
            metrics.write(step(n))


def steps(path: Path) -> list[int]:
    return [e["step"] for e in read_metrics(path) if e["event"] == "StepCompleted"]


def test_events_come_back_in_order(tmp_path: Path) -> None:
    write(tmp_path, 1, 2)
    write(tmp_path, 3)
    assert steps(tmp_path) == [1, 2, 3]
    first = read_metrics(tmp_path)[0]
    assert first["event"] == "StepCompleted"
    assert (first["loss"], first["grad_norm"], first["train_s"]) == (1.0, 2.0, 0.5)
    assert (tmp_path / "metrics.jsonl").read_text().splitlines()[0] == '{"format": 1}'


def test_without_a_file_there_are_no_events(tmp_path: Path) -> None:
    assert read_metrics(tmp_path) == read_last_metrics(tmp_path) == []


def test_each_event_is_on_disk_when_the_next_one_is_made(tmp_path: Path) -> None:
    with MetricsWriter(tmp_path) as metrics:
        metrics.write(step(1))
        assert steps(tmp_path) == [1]


@given(n_bytes=st.integers(1, 60))
def test_a_torn_line_is_dropped_when_reading_and_cut_off_when_appending(
    tmp_path_factory: object, n_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("torn")  # type: ignore[attr-defined]
    write(folder, 1, 2, 3)
    path = folder / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-n_bytes])
    assert steps(folder) == [1, 2]
    write(folder, 3, 4)
    assert steps(folder) == [1, 2, 3, 4]
    assert all(json.loads(line) for line in path.read_bytes().splitlines())


def test_what_was_lost_with_a_process_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, 1, 2, 3, 4)
    with MetricsWriter(tmp_path) as metrics:
        metrics.write(Diverged(step=5, what="x", checkpoint_step=None))
        metrics.resumed(2)
        metrics.write(step(3, loss=9.0))
    assert steps(tmp_path) == [1, 2, 3]
    assert read_metrics(tmp_path)[-1]["loss"] == 9.0
    assert "Diverged" not in [e["event"] for e in read_metrics(tmp_path)]


def test_nan_and_infinity_are_null(tmp_path: Path) -> None:
    with MetricsWriter(tmp_path) as metrics:
        metrics.write(step(1, loss=math.nan))
        metrics.write(step(2, loss=-math.inf))
    assert [e["loss"] for e in read_metrics(tmp_path)] == [None, None]
    assert "NaN" not in (tmp_path / "metrics.jsonl").read_text()


def test_whatever_a_model_writes_stays_one_line(tmp_path: Path) -> None:
    text = "a\nb\r\u2028\x00\ud800“"
    with MetricsWriter(tmp_path) as metrics:
        metrics.write(SampleCompleted(step=1, prompt="", text=text))
    assert read_metrics(tmp_path)[0]["text"] == text.replace("\ud800", "?")


def test_lines_that_are_no_events_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, 1)
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(b'rubbish\n[1]\n{"no": "event"}\n\xff\n\n')
    write(tmp_path, 2)
    assert steps(tmp_path) == [1, 2]


def test_the_newest_events_of_a_long_run_are_read_from_its_end(tmp_path: Path) -> None:
    write(tmp_path, *range(1, 1001))
    last = read_last_metrics(tmp_path)
    assert 100 < len(last) < 1000
    assert [e["step"] for e in last] == list(range(1001 - len(last), 1001))


@pytest.mark.parametrize(
    "line",
    [
        '{"event": "StepCompleted", "step": 2, "loss": "\\u001b[31m", "lr": 0.1, "train_s": 1.0}',
        '{"event": "StepCompleted", "step": 2, "loss": 1.0, "lr": [], "train_s": 1.0}',
        '{"event": "StepCompleted", "step": 2, "loss": 1e999, "lr": 0.1, "train_s": 1.0}',
        '{"event": "StepCompleted", "step": 1' + "0" * 30 + ', "train_s": 1.0}',
        '{"event": "RunStarted", "steps": null, "seconds": 0.0}',
        '{"event": "RunFinished", "reason": "budget", "result": "x"}',
        '{"event": "RunFinished", "reason": "budget", "result": {"train_s": "x"}}',
        '{"event": ["Resumed"]}',
        '{"event": ' + "[" * 50_000,
    ],
)
def test_a_line_that_is_no_such_event_is_skipped(tmp_path: Path, line: str) -> None:
    good = '{"event": "StepCompleted", "step": 1, "loss": null, "lr": 0.1, "train_s": 1}'
    (tmp_path / "metrics.jsonl").write_text(f"{good}\n{line}\n")
    assert [event["step"] for event in read_metrics(tmp_path)] == [1]
    assert [event["step"] for event in read_last_metrics(tmp_path)] == [1]


def test_a_folder_or_a_pipe_in_place_of_metrics_holds_none(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").mkdir()
    assert read_metrics(tmp_path) == read_last_metrics(tmp_path) == []
    (tmp_path / "metrics.jsonl").rmdir()
    os.mkfifo(tmp_path / "metrics.jsonl")
    assert read_metrics(tmp_path) == read_last_metrics(tmp_path) == []
