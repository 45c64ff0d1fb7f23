"""The Train pane on screens of any size: what has room there, and what gives way."""

from __future__ import annotations

from tests.tui.events import finished
from tests.tui.pilot import BROAD, NARROW, screen_text, settle, until
from tests.tui.scripted import Endless, Script, app_with
from tests.tui.stories import training_story

ROOMY = (200, 60)


async def test_a_larger_screen_shows_more_not_only_larger() -> None:
    app = app_with(training=Script([*training_story(120), finished()]))
    async with app.run_test(size=ROOMY) as pilot:
        await pilot.press("r")
        await settle(pilot)
        await pilot.pause(0.2)
        text = screen_text(app)
        assert "tokens/s" in text
        assert "epochs" in text
    app = app_with(training=Script([*training_story(120), finished()]))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("r")
        await settle(pilot)
        text = screen_text(app)
        assert "tokens/s" not in text
        assert "epochs" not in text


async def test_leaving_the_form_shows_the_results_again() -> None:
    app = app_with(training=Script([*training_story(120), finished()]))
    async with app.run_test(size=BROAD) as pilot:
        await pilot.press("r")
        await settle(pilot)
        await pilot.press("i")
        await pilot.pause(0.1)
        assert "learning rate, planned" in screen_text(app)
        await pilot.press("escape")
        await pilot.pause(0.1)
        text = screen_text(app)
        assert "finished: 940 steps" in text
        assert "learning rate, planned" not in text


async def test_editing_during_a_run_leaves_its_plots_in_sight() -> None:
    session = Endless()
    app = app_with(training=session)
    async with app.run_test(size=BROAD) as pilot:
        await pilot.press("r")
        await until(pilot, lambda: session.step > 3)
        await pilot.press("i")
        await pilot.pause(0.1)
        assert "loss, nats/token" in screen_text(app)
        await pilot.press("escape", "s")
        await settle(pilot)
