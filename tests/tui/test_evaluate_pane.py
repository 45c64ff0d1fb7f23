"""The Evaluate pane: a card with its protocol, progress, and names that stay text."""

from __future__ import annotations

from core.errors import RunError
from tests.tui.events import finished, started
from tests.tui.pilot import BROAD, NARROW, reach, screen_text, settle
from tests.tui.scripted import Script, app_with
from tests.tui.stories import benchmark_story, evaluation_story


async def test_the_card_has_the_protocol_beside_the_number() -> None:
    app = app_with(evaluation=[Script(evaluation_story()), Script(evaluation_story("other"))])
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("2", "e")
        await settle(pilot)
        text = screen_text(app)
        for part in (
            "1.347",
            "1.330–1.363",
            "3.85",
            "0.663",
            "67.1 %",
            "85.4 %",
            "15,999 tokens",
            "46,600 bytes",
            "validation split",
            "python-docs-1@940",
        ):
            assert part in text, part
        await pilot.press("e")
        await settle(pilot)
        assert "earlier" in screen_text(app)
    assert app.asked[0] == ("evaluation", "last", None, 0)  # type: ignore[attr-defined]


async def test_the_name_of_a_folder_is_no_markup() -> None:
    app = app_with(evaluation=Script(evaluation_story("r[link='x]y")))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("2", "e")
        await settle(pilot)
        assert "r[link='x]y, step 940" in screen_text(app)


async def test_the_name_of_a_folder_cannot_reach_the_terminal() -> None:
    name, shown = "r\x1b[2J", "r·[2J"
    evaluations = [Script(evaluation_story(name)) for _ in range(2)]
    benchmark = Script(benchmark_story(run=name))
    training = Script([started(run=name), finished()])
    app = app_with(evaluation=evaluations, benchmarking=benchmark, training=training)
    async with app.run_test(size=BROAD) as pilot:
        for keys in (["2", "e"], ["e"], ["3", "b"], ["1", "r"]):
            await pilot.press(*keys)
            await settle(pilot)
            text = screen_text(app)
            assert shown in text
            assert "\x1b" not in text


async def test_an_evaluation_shows_progress_and_stops() -> None:
    session = Script(evaluation_story()[:2], then=evaluation_story()[2:], waits=True)
    app = app_with(evaluation=session)
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("2", "e")
        await reach(pilot, session.reached_gate)
        await pilot.pause(0.3)
        assert "8,000 of 15,999 tokens" in screen_text(app)
        assert "evaluation 50 %" in screen_text(app)
        await pilot.press("s")
        await settle(pilot)
        assert "stopped before the end; e starts again" in screen_text(app)


async def test_the_fields_of_an_evaluation_reach_core() -> None:
    app = app_with(evaluation=RunError("There is no run 'x'.", hint="Known: a."))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("2", "i", *["backspace"] * 4, "b", "down", "f", "down", "backspace", "8")
        await pilot.press("enter")
        await settle(pilot)
        assert "There is no run 'x'." in screen_text(app)
    assert app.asked[0] == ("evaluation", "b", "f", 8)  # type: ignore[attr-defined]
