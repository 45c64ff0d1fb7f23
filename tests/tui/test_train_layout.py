"""The Train pane on screens of any size: what has room there, and what gives way."""

from __future__ import annotations

import pytest

from tests.tui.events import finished
from tests.tui.pilot import BROAD, NARROW, SIZES, reach, screen_text, settle, until
from tests.tui.scripted import Endless, Script, app_with
from tests.tui.stories import training_story

ROOMY = (200, 60)


async def test_training_at_80x24_shows_plots_numbers_and_sample() -> None:
    session = Script(training_story(640), waits=True)
    app = app_with(training=session)
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("r")
        await reach(pilot, session.reached_gate)
        await pilot.pause(0.3)
        text = screen_text(app)
        for part in (
            "python-docs-1",
            "29.2 s left",
            "nats/tok",
            "21.5 k tok/s",
            "1.353",  # held out
            "0.666",  # bits per byte
            "9.30e-04",
            "grad norm",
            "loss, nats/token",
            "● held out 1.353",
            "learning rate",
            "sample at step 600",
            "support the buffer protocol",
            "p pause",
        ):
            assert part in text, part
        assert "training 67 %" in text.splitlines()[0]
        assert any("\u2800" < c <= "\u28ff" for c in text)
        session.stop()
        await settle(pilot)


@pytest.mark.parametrize("size", SIZES)
async def test_every_line_fits_its_screen(size: tuple[int, int]) -> None:
    app = app_with(training=Script([*training_story(300), finished()]))
    async with app.run_test(size=size) as pilot:
        await pilot.press("r")
        await settle(pilot)
        lines = screen_text(app).splitlines()
        assert len(lines) <= size[1]
        assert all(len(line) <= size[0] for line in lines)


async def test_the_form_gives_way_to_the_plots_where_it_is_small_and_comes_back_for_i() -> None:
    app = app_with(training=Script([*training_story(20), finished()]))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("r")
        await settle(pilot)
        assert "d_model" not in screen_text(app)
        await pilot.press("i")
        await pilot.pause()
        await pilot.pause()
        assert "d_model" in screen_text(app)
        assert app.focused is not None
        await pilot.press("escape")
        await pilot.pause()
        await pilot.pause()
        assert "d_model" not in screen_text(app)


async def test_form_and_plots_share_a_larger_screen() -> None:
    app = app_with(training=Script([*training_story(120), finished()]))
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.press("r")
        await settle(pilot)
        text = screen_text(app)
        assert all(part in text for part in ("d_model", "gradient norm", "parameters", "1.1 M"))


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
