"""What is seen of a measurement while it is made."""

from __future__ import annotations

import pytest

from minitf_tui.measured import settling_figure
from tests.tui.pilot import screen_text, settle
from tests.tui.scripted import Script, app_with
from tests.tui.stories import evaluation_story


def test_a_loss_that_settles() -> None:
    figure = settling_figure([(100, 2.0), (200, 1.5)], dots="*")
    assert figure.curves[0].x.tolist() == [100, 200]
    assert figure.curves[0].y.tolist() == [2.0, 1.5]
    assert figure.curves[0].value == "1.500"
    assert settling_figure([], dots="*").curves[0].value == ""


@pytest.mark.parametrize(("size", "is_drawn"), [((80, 24), False), ((120, 36), True)])
async def test_plots_of_measurements_are_drawn_where_there_is_room(
    size: tuple[int, int], is_drawn: bool
) -> None:
    app = app_with(evaluation=Script(evaluation_story()))
    async with app.run_test(size=size) as pilot:
        await pilot.press("2", "e")
        await settle(pilot)
        app.look()
        await pilot.pause()
        assert ("tokens scored" in screen_text(app)) == is_drawn
