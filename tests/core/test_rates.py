"""Which recorded rates are still true, line by line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.presets import preset
from core.store.metrics import read_metrics
from core.store.rates import forget_given_rates, keep_rates, rates_still_given, rates_to_repeat
from core.store.run import Run


def write(path: Path, *events: dict[str, Any]) -> Path:
    lines = [json.dumps({"format": 1}), *map(json.dumps, events), '{"event": "StepCompleted", "st']
    (path / "metrics.jsonl").write_text("\n".join(lines))
    return path


def step(n: int, lr: float) -> dict[str, Any]:
    return {"event": "StepCompleted", "step": n, "lr": lr}


def resumed(n: int, **more: Any) -> dict[str, Any]:
    return {"event": "Resumed", "step": n, **more}


def returned(n: int, to: int, returns: int = 1) -> dict[str, Any]:
    return {"event": "ReturnedToCheckpoint", "step": n, "to_step": to, "returns": returns}


ONE_TO_FOUR = [step(n, float(n)) for n in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("events", "rates"),
    [
        ([], {}),
        (ONE_TO_FOUR, {1: 1, 2: 2, 3: 3, 4: 4}),
        # Killed and resumed: what was lost is to be repeated, and stays known for the next time.
        ([*ONE_TO_FOUR, resumed(2, rates_to=4)], {1: 1, 2: 2, 3: 3, 4: 4}),
        ([*ONE_TO_FOUR, resumed(2, rates_to=4), step(3, 3.0)], {1: 1, 2: 2, 3: 3, 4: 4}),
        # With another budget it is not, nor in runs that are older than recorded rates.
        ([*ONE_TO_FOUR, resumed(2, rates_to=2), step(3, 9.0)], {1: 1, 2: 2, 3: 9}),
        ([*ONE_TO_FOUR, resumed(2)], {1: 1, 2: 2}),
        # After a return the same steps are taken at other rates.
        ([*ONE_TO_FOUR, returned(5, to=2)], {1: 1, 2: 2}),
        ([*ONE_TO_FOUR, returned(5, to=2), step(3, 1.5)], {1: 1, 2: 2, 3: 1.5}),
    ],
)
def test_rates_that_are_out_of_date_are_not_repeated(
    tmp_path: Path, events: list[dict[str, Any]], rates: dict[int, float]
) -> None:
    assert rates_to_repeat(write(tmp_path, *events)) == rates


def test_given_rates_are_out_of_date_after_a_return_that_the_run_knows_of(tmp_path: Path) -> None:
    run = Run(write(tmp_path, *ONE_TO_FOUR, returned(5, to=2)), preset("seed"), {})
    keep_rates([0.1, 0.2, 0.3], tmp_path)
    assert rates_still_given(run, returns=0) == {1: 0.1, 2: 0.2, 3: 0.3}
    assert rates_still_given(run, returns=1) == {1: 0.1, 2: 0.2}
    forget_given_rates(run)
    forget_given_rates(run)
    assert rates_still_given(run, returns=0) == {}


def test_a_run_without_metrics_has_no_rates(tmp_path: Path) -> None:
    assert rates_to_repeat(tmp_path) == {}


def names(path: Path) -> list[tuple[str, int]]:
    return [(e["event"], e["step"]) for e in read_metrics(path)]


def test_readers_drop_what_a_return_undid(tmp_path: Path) -> None:
    diverged = {"event": "Diverged", "step": 5}
    path = write(tmp_path, *ONE_TO_FOUR, diverged, returned(5, to=2), step(3, 1.0))
    assert names(path) == [
        *(("StepCompleted", n) for n in (1, 2)),
        ("ReturnedToCheckpoint", 5),
        ("StepCompleted", 3),
    ]


def test_readers_keep_the_returns_that_a_resumed_run_knows_of(tmp_path: Path) -> None:
    story = [*ONE_TO_FOUR, returned(5, to=2), *ONE_TO_FOUR[2:], returned(5, to=2, returns=2)]
    for known in (0, 1, 2):
        path = write(tmp_path, *story, resumed(1, returns=known))
        assert names(path) == [
            ("StepCompleted", 1),
            *[("ReturnedToCheckpoint", 5)] * known,
            ("Resumed", 1),
        ]
