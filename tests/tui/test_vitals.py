"""What was measured of a run's layers, as it is kept and as it is read."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from typing import Any

import pytest

from core.events import ReturnedToCheckpoint
from core.presets import QUICK
from core.store.metrics import finite
from minitf_tui import health_readings
from minitf_tui.figure import Mark
from minitf_tui.marks import marks_of
from minitf_tui.vitals import Vitals, course
from minitf_tui.watch import Watch
from tests.tui.events import alert, health, step


def on_disk(event: Any) -> dict[str, Any]:
    line = {"event": type(event).__name__} | finite(asdict(event))
    found: dict[str, Any] = json.loads(json.dumps(line))
    return found


def vitals(n: int = 30, layers: int = 3) -> Vitals:
    found = Vitals()
    found.measured = [health(10 * i, layers) for i in range(1, n + 1)]
    return found


def test_what_a_run_had_told_is_read_back_as_it_was() -> None:
    found = Vitals()
    found.add_past([on_disk(health(10)), on_disk(step(11)), on_disk(alert(12)), {"event": "New"}])
    assert found.measured == [health(10)]
    assert found.alerts == [alert(12)]


def test_a_number_that_was_none_is_a_gap() -> None:
    found = Vitals()
    broken = replace(health(10), update_ratios=(math.inf,) * 5, logit_low=math.nan)
    found.add_past([on_disk(broken)])
    assert all(math.isnan(ratio) for ratio in found.measured[0].update_ratios)
    text = health_readings.table(found, 1.0, 78, 20).plain
    assert "logits –" in text


@pytest.mark.parametrize(
    "change",
    [{"update_ratios": [1]}, {"layers": 3}, {"grad_norms": ["x"] * 5}, {"layers": []}],
)
def test_what_is_not_as_we_write_it_is_left_out(change: dict[str, Any]) -> None:
    found = Vitals()
    found.add_past([on_disk(health(10)) | change, on_disk(alert(1)) | {"hint": 3}])
    assert (found.measured, found.alerts) == ([], [])


def test_words_from_a_file_are_cleaned() -> None:
    found = Vitals()
    found.add_past([on_disk(replace(alert(1), sentence="a\x1b[2Jb"))])
    assert "\x1b" not in found.alerts[0].sentence


def test_a_return_to_a_checkpoint_undoes_measurements_and_keeps_alerts() -> None:
    watch = Watch(QUICK)
    for event in (health(10), health(20)):
        assert watch.collect(event)
    assert not watch.collect(alert(25))
    watch.hear(alert(25))
    back = {"step": 25, "what": "x", "lr_factor": 0.5, "returns": 1}
    assert not watch.collect(ReturnedToCheckpoint(to_step=15, **back))
    assert watch.vitals.measured == [health(10)]
    assert watch.vitals.alerts == [alert(25)]


def test_an_alert_is_a_mark_on_the_plot() -> None:
    watch = Watch(QUICK)
    watch.hear(alert(25))
    assert watch.marks == (Mark(25.0, "spike", "error"),) == marks_of([on_disk(alert(25))])


def test_a_course_takes_from_the_whole_run_with_both_ends() -> None:
    measured = vitals(100).measured
    found = course(measured, "update_ratios", 0, 8)
    assert (found[0], found[-1]) == (measured[0].update_ratios[0], measured[-1].update_ratios[0])
    assert len(found) == 8
    assert course(measured[:1], "update_ratios", 0, 8) == [measured[0].update_ratios[0]]
    assert course(measured, "dead_shares", -1, 4) == [None] * 4


def test_blocks_go_from_the_least_to_the_greatest() -> None:
    assert health_readings.spark([1, 10, 100, None, 1000], is_log=True) == "▁▃▆ █"
    assert health_readings.spark([0.5, 0.5], is_log=False) == "▁▁"
    assert health_readings.spark([math.nan, None], is_log=False) == "  "


@pytest.mark.parametrize("width", [40, 78, 118, 198])
@pytest.mark.parametrize("height", [6, 15, 40])
def test_every_line_fits_whatever_the_size_of_the_model(width: int, height: int) -> None:
    found = vitals(layers=30)
    found.alerts = [alert(10), alert(200)]
    lines = health_readings.table(found, 3.0, width, height).plain.split("\n")
    assert len(lines) <= height
    if width >= 78:
        assert all(len(line) <= width for line in lines)
        assert any(line.startswith("head") for line in lines) or height < 10


def test_before_the_first_measurement_it_says_why() -> None:
    assert health_readings.table(Vitals(), 0.0, 78, 10).plain == health_readings.NOTHING
