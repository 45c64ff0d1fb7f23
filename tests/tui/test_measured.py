"""What is seen of a measurement while it is made."""

from __future__ import annotations

import pytest

from minitf_tui.measured import scatter_figure, settling_figure
from tests.tui.scripted import (
    Script,
    app_with,
    benchmark_story,
    evaluation_story,
    screen_text,
    settle,
)


def test_a_loss_that_settles() -> None:
    figure = settling_figure([(100, 2.0), (200, 1.5)], dots="*")
    assert figure.curves[0].x.tolist() == [100, 200]
    assert figure.curves[0].y.tolist() == [2.0, 1.5]
    assert figure.curves[0].value == "1.500"
    assert settling_figure([], dots="*").curves[0].value == ""


def test_repetitions_scatter_in_the_colours_of_their_bars() -> None:
    samples, colours = {"a": [5.0, 6.0], "b": []}, {"a": "warning", "b": "accent"}
    figure = scatter_figure("decode", samples, colours, dots="*")
    assert figure.title == "decode, ms"
    assert figure.y_from_zero
    assert [c.x.tolist() for c in figure.curves] == [[1, 2], [1, 2], [], []]
    assert [c.colour for c in figure.curves] == ["warning", "warning", "accent", "accent"]


@pytest.mark.parametrize(("size", "is_drawn"), [((80, 24), False), ((120, 36), True)])
async def test_plots_of_measurements_are_drawn_where_there_is_room(
    size: tuple[int, int], is_drawn: bool
) -> None:
    app = app_with(evaluation=Script(evaluation_story()), benchmarking=Script(benchmark_story()))
    async with app.run_test(size=size) as pilot:
        await pilot.press("2", "e")
        await settle(pilot)
        app.look()
        await pilot.pause()
        assert ("tokens scored" in screen_text(app)) == is_drawn
        await pilot.press("3", "b")
        await settle(pilot)
        assert ("repetition\n" in screen_text(app)) == is_drawn
