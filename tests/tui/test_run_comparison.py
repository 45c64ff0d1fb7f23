"""Runs beside each other: their curves in one plot, and what differs in their settings."""

from __future__ import annotations

import math
from typing import Any

import pytest

from minitf_tui.comparison import (
    COLOURS,
    comparison_figure,
    config_differences,
    curve_of,
    is_per_byte,
)
from minitf_tui.run_readings import difference_table
from tests.tui.pilot import BROAD, NARROW
from tests.tui.runs_on_disk import CONFIG, make_run
from tests.tui.runs_pane import opened, seen, two_runs
from tests.tui.scripted import app_with

# In the pane.


async def test_marked_runs_and_the_highlighted_one_share_the_plot() -> None:
    two_runs()
    make_run("third", loss=3.125, age_s=200)
    app = app_with()
    async with app.run_test(size=BROAD) as pilot:
        await opened(pilot)
        assert [c.name for c in app.pane._plot.figure.curves if c.name] == ["new-one"]  # type: ignore[attr-defined]
        await pilot.press("space")
        text = await seen(pilot)
        figure = app.pane._plot.figure  # type: ignore[attr-defined]
        assert [c.name for c in figure.curves if c.name] == ["new-one", "old-one"]
        assert "● new-one" in text
        assert "›○ old-one" in text
        assert "differences" in text
        assert [part in text for part in ("n_layers", "lr", "d_model")] == [True, True, False]
        await pilot.press("space")
        text = await seen(pilot)
        names = [c.name for c in app.pane._plot.figure.curves if c.name]  # type: ignore[attr-defined]
        assert names == ["new-one", "old-one", "third"]
        assert "differences" not in text
        await pilot.press("g", "space")
        await seen(pilot)
        assert app.pane._marked == ["old-one"]  # type: ignore[attr-defined]


async def test_x_goes_round_the_axes_and_y_is_remembered() -> None:
    two_runs()
    app = app_with()
    async with app.run_test(size=NARROW) as pilot:
        await opened(pilot)
        labels = []
        for _ in range(4):
            labels.append(app.pane._plot.figure.x_label)  # type: ignore[attr-defined]
            await pilot.press("x")
        assert labels == ["step", "tokens", "training seconds", "step"]
        await pilot.press("y")
        assert "nats/token (log)" in await seen(pilot)
        assert app.settings.log_y


# Figures and words.


def events(run: str = "a", **about: Any) -> list[dict[str, Any]]:
    return [
        {"event": "RunStarted", "run": run, "bytes_per_token": 3.0, "vocab_size": 512} | about,
        *(
            {"event": "StepCompleted", "step": n, "loss": 4.0, "tokens": 10 * n, "train_s": n / 2}
            for n in (1, 2, 3)
        ),
        {"event": "ValidationCompleted", "step": 2, "loss": 3.0},
    ]


def test_validations_stand_at_the_tokens_of_their_step() -> None:
    curve = curve_of("a", events(), 0.9)
    assert curve.validations["tokens"].tolist() == [20.0]
    assert curve.validations["train_s"].tolist() == [1.0]
    assert curve.steps["loss"].tolist() == pytest.approx([4.0, 4.0, 4.0])


def test_lines_that_lack_a_number_are_left_out() -> None:
    bad: list[dict[str, Any]] = [
        {"event": "StepCompleted", "step": 4, "loss": None, "tokens": 40, "train_s": 2.0},
        {"event": "StepCompleted", "step": "x", "loss": 1.0, "tokens": 40, "train_s": 2.0},
        {"event": "StepCompleted"},
    ]
    assert len(curve_of("a", [*events(), *bad], 0.9).steps["step"]) == 3
    assert len(curve_of("a", [], 0.9).steps["step"]) == 0
    assert curve_of("a", [{"event": "RunStarted", "vocab_size": "?"}], 0.9).vocab_size == 0


def test_runs_of_one_tokenizer_are_compared_in_nats_and_of_several_in_bits_per_byte() -> None:
    a, b = curve_of("a", events("a"), 0.9), curve_of("b", events("b", vocab_size=256), 0.9)
    same = comparison_figure((a, a), x_axis="step", dots="braille")
    assert same.title == "loss, nats/token"
    assert same.curves[0].y[0] == 4.0
    both = comparison_figure((a, b), x_axis="tokens", dots="braille")
    assert both.title == "bits/byte"
    assert both.curves[0].y[0] == pytest.approx(4.0 / math.log(2) / 3.0)
    assert both.curves[1].value == f"{3.0 / math.log(2) / 3.0:.3f}"
    unknown = curve_of("c", events("c", vocab_size=9, bytes_per_token=None), 0.9)
    assert not is_per_byte((a, unknown))


def test_colours_begin_again() -> None:
    curves = [curve_of(str(n), events(), 0.9) for n in range(len(COLOURS) + 1)]
    figure = comparison_figure(curves, x_axis="step", dots="*", log_y=True)
    assert figure.curves[0].colour == figure.curves[-1].colour
    assert figure.log_y


def test_only_what_differs_is_in_the_differences() -> None:
    other = CONFIG.with_changes(lr=0.5, qk_norm=not CONFIG.model.qk_norm, corpus="[/x]")
    found = config_differences(CONFIG, other)
    assert [name for name, _, _ in found] == ["qk_norm", "corpus", "lr"]
    assert found[2] == ("lr", "0.001", "0.5")
    assert config_differences(CONFIG, CONFIG) == []
    same = difference_table(("a", "b"), ("accent", "warning"), [], 40).plain
    assert "a and b have the same settings." in same


def test_a_long_name_keeps_its_end_in_the_differences() -> None:
    names = ("a-very-long-name-of-a-run-1", "a-very-long-name-of-a-run-2")
    table = difference_table(names, ("accent", "warning"), [("lr", "1", "2")], 40).plain
    assert "run-1" in table
    assert "run-2" in table
    assert all(len(line) <= 40 for line in table.split("\n"))
