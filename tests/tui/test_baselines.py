"""Baselines in the app: levels in the plot of the loss, the news of passing one, the card."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rich.style import Style

from core.events import Baseline, BaselinePassed, BaselinesCounted, EvaluationCompleted, RunStarted
from minitf_tui import readings
from minitf_tui.figure import Curve, Figure, Level, Palette
from minitf_tui.history import History
from minitf_tui.plotting import draw
from tests.tui.events import validation
from tests.tui.pilot import screen_text, settle
from tests.tui.scripted import Script, app_with
from tests.tui.stories import evaluation_story, training_story

PALETTE = Palette({}, text=(200, 200, 200), quiet=(90, 90, 90))
BASELINES = tuple(
    Baseline(name=name, loss=loss, kind="ngram")
    for name, loss in (("uniform", 6.9), ("1-gram", 5.5), ("2-gram", 3.5), ("3-gram", 2.9))
)
COUNTED = BaselinesCounted(baselines=BASELINES, counted_tokens=1000, scored_tokens=100)


def rows(figure: Figure, width: int = 50, height: int = 16) -> list[str]:
    return [strip.text for strip in draw(figure, width, height, PALETTE, Style())]


def falling(**given: object) -> Figure:
    x = np.arange(1.0, 101)
    return replace(Figure("loss", (Curve("", x, 1 + 3 * np.exp(-x / 20), "accent"),)), **given)


class TestLevels:
    def test_a_level_is_dotted_where_nothing_is_drawn_and_has_its_name(self) -> None:
        plain = rows(falling())
        drawn = rows(falling(levels=(Level("2-gram 2.480", 2.48),)))
        changed = [i for i, (a, b) in enumerate(zip(plain, drawn, strict=True)) if a != b]
        (row,) = changed
        assert " 2-gram 2.480 " in drawn[row]
        assert drawn[row].count("·") > 25
        for old, new in zip(plain[row], drawn[row], strict=True):
            assert new == old or old in " \u2800"

    def test_what_the_curves_do_not_reach_is_left_out_unless_it_is_the_goal(self) -> None:
        assert rows(falling(levels=(Level("low", 0.2),))) == rows(falling())
        drawn = rows(falling(levels=(Level("low", 0.2, is_goal=True),)))
        assert any(" low " in row for row in drawn)

    def test_of_two_in_one_row_the_more_important_one_is_drawn(self) -> None:
        drawn = "\n".join(rows(falling(levels=(Level("first", 2.0), Level("second", 2.01)))))
        assert "first" in drawn
        assert "second" not in drawn

    def test_there_are_few(self) -> None:
        many = tuple(Level(f"n{i}", 1 + i / 5) for i in range(15))
        drawn = rows(falling(levels=many), height=10)
        assert 1 <= sum("·" in row for row in drawn) <= 4

    @pytest.mark.parametrize("y", [2.0, -1.0])
    def test_on_a_logarithmic_scale(self, y: float) -> None:
        drawn = rows(falling(log_y=True, levels=(Level("level", y, is_goal=True),)))
        assert any(" level " in row for row in drawn) == (y > 0)


class TestOrder:
    def test_the_next_one_to_pass_comes_first_then_the_last_that_was_passed(self) -> None:
        found = readings.with_baselines(falling(), BASELINES, 4.0).levels
        assert [level.name for level in found] == [
            "2-gram 3.500",
            "1-gram 5.500",
            "uniform 6.900",
            "3-gram 2.900",
        ]
        assert [level.is_goal for level in found] == [True, False, False, False]

    def test_before_a_validation_there_is_no_goal_nor_when_all_are_passed(self) -> None:
        for loss in (None, 1.0):
            found = readings.with_baselines(falling(), BASELINES, loss).levels
            assert len(found) == 4
            assert not any(level.is_goal for level in found)
        assert readings.with_baselines(falling(), (), 1.0).levels == ()


def story() -> list[object]:
    events: list[object] = []
    for event in training_story(300):
        events.append(event)
        if isinstance(event, RunStarted):
            events.append(COUNTED)
    return [*events[:-1], BaselinePassed(step=300, name="2-gram", loss=3.5), events[-1]]


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_the_train_pane_draws_them_until_b_is_pressed(size: tuple[int, int]) -> None:
    app = app_with(training=Script(story()))  # type: ignore[arg-type]
    async with app.run_test(size=size) as pilot:
        await pilot.press("r")
        await settle(pilot)
        shown = screen_text(app)
        assert " 3-gram 2.900 ·" in shown
        assert "passed the 2-gram 3.500 at step 300" in shown
        await pilot.press("b")
        await settle(pilot)
        assert " 3-gram 2.900 ·" not in screen_text(app)
        assert app.settings.baselines is False


def test_the_card_of_an_evaluation_says_where_the_run_stands() -> None:
    event = next(e for e in evaluation_story() if isinstance(e, EvaluationCompleted))
    result = replace(event.result, loss=3.0, baselines=BASELINES, accuracy=0.25, problems=80)
    group, _ = readings.evaluation_groups(replace(event, result=result))
    found = {reading.label: (reading.value, reading.unit) for reading in group.readings}
    assert found["below"] == ("2-gram 3.500", "")
    assert found["above"] == ("3-gram 2.900", "")
    assert found["solved"] == ("25.0 %", "of 80")


def test_what_is_solved_stands_beside_the_loss_of_a_task_alone() -> None:
    for accuracy, label in ((0.456, "solved"), (None, "perplexity")):
        history = History()
        history.add_validation(replace(validation(50), accuracy=accuracy))
        _, held_out, _ = readings.training_groups(history, None)
        assert held_out.readings[2].label == label
    assert held_out.readings[2].value != "–"
