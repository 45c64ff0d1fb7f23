"""Plots may cost a share of the processor, and no more."""

from __future__ import annotations

import pytest

from core.events import RepetitionCompleted
from minitf_tui.pacing import LONGEST_INTERVAL_S, SHARE, Pace
from minitf_tui.panes.benchmark import BenchmarkPane
from minitf_tui.settings import Settings
from minitf_tui.widgets.pane import Pane
from tests.tui.pilot import reach, settle
from tests.tui.scripted import Script, app_with
from tests.tui.stories import benchmark_story, evaluation_story


class Clock:
    def __init__(self) -> None:
        self.now = self.cpu = 0.0


@pytest.mark.parametrize(
    ("cost", "interval"), [(0.0001, 0.2), (0.008, 0.2), (0.02, 0.5), (0.4, LONGEST_INTERVAL_S)]
)
def test_the_next_drawing_waits_until_its_share_is_earned(cost: float, interval: float) -> None:
    clock = Clock()
    pace = Pace(0.04, 0.2, clock=lambda: clock.now, cpu=lambda: clock.cpu)
    assert pace.is_due
    with pace.measured():
        clock.cpu += cost
    clock.now = interval - 0.001
    assert not pace.is_due
    clock.now = interval + 0.001
    assert pace.is_due


def test_what_the_framework_paints_after_a_drawing_counts_too() -> None:
    clock = Clock()
    pace = Pace(0.04, 0.2, clock=lambda: clock.now, cpu=lambda: clock.cpu)
    with pace.measured():
        clock.cpu += 0.01
    clock.now, clock.cpu = 0.3, 0.02
    assert not pace.is_due
    clock.now = 0.51
    assert pace.is_due


def test_a_key_is_answered_at_once() -> None:
    clock = Clock()
    pace = Pace(clock=lambda: clock.now, cpu=lambda: clock.cpu)
    with pace.measured():
        clock.cpu += 5
    pace.hurry()
    assert pace.is_due


def test_the_share_has_one_definition() -> None:
    assert Settings().plot_share == Pace().share == SHARE


@pytest.mark.parametrize("keys", ["2e", "3b"])
async def test_a_plot_keeps_to_the_share_that_was_granted(keys: str) -> None:
    stories = Script(evaluation_story()), Script(benchmark_story())
    app = app_with(evaluation=stories[0], benchmarking=stories[1])
    async with app.run_test(size=(120, 36)) as pilot:
        app.change_settings(plot_share=0.25)
        await pilot.press(*keys)
        await settle(pilot)
        assert isinstance(app.pane, Pane)
        assert app.pane._pace.share == 0.25


async def test_a_benchmark_is_drawn_when_its_share_is_earned_and_whole_at_its_end() -> None:
    story, drawn = benchmark_story(), []
    session = Script(story[:6], then=story[6:], waits=True)
    app = app_with(benchmarking=session)
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.press("3")
        pane = app.query_one(BenchmarkPane)
        pane._pace = Pace(clock=lambda: 0.0, cpu=lambda: 0.0)  # the next one is never due
        pane._views.draw = lambda: drawn.append(pane._board.heard)  # type: ignore[method-assign]
        await pilot.press("b")
        await reach(pilot, session.reached_gate)
        assert len(drawn) <= 1
        session.gate.set()
        await settle(pilot)
        assert drawn[-1] == sum(isinstance(event, RepetitionCompleted) for event in story)
