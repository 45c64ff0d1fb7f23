"""Keys of a run in the Train pane: pause, step, save and control it, and turn its plots."""

from __future__ import annotations

import pytest

from core.events import CheckpointSaved
from minitf_tui.commands import control_commands
from minitf_tui.widgets.curves import LEVELS, next_level
from tests.tui.events import finished, started, step
from tests.tui.pilot import BROAD, NARROW, footer, pane_of, reach, screen_text, settle, until
from tests.tui.scripted import Commanded, Endless, Script, app_with
from tests.tui.stories import training_story

# The run.


async def test_p_pauses_and_resumes() -> None:
    session = Endless()
    app = app_with(training=session)
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("r")
        await pilot.pause()
        await pilot.press("p")
        while app.pane.state != "paused":
            await pilot.pause()
        at = session.step
        await pilot.pause(0.1)
        assert "paused; p goes on" in screen_text(app)
        assert session.step == at
        await pilot.press("p")
        while session.step == at:
            await pilot.pause()
        await pilot.press("s")
        await settle(pilot)
        assert "stopped: " in screen_text(app)
        assert "r run" in footer(app)


async def test_n_takes_one_step_while_paused() -> None:
    session = Endless()
    app = app_with(training=session)
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("r")
        await pilot.pause()
        await pilot.press("p")
        await until(pilot, lambda: app.pane.state == "paused")
        await pilot.pause(0.1)
        at = session.step
        assert "n step" in footer(app)
        await pilot.press("n")
        await until(pilot, lambda: session.step > at and app.pane.state == "paused")
        await pilot.pause(0.1)
        assert session.step == at + 1
        await pilot.press("s")
        await settle(pilot)
        assert "n step" not in footer(app)


@pytest.mark.parametrize("is_paused", [False, True])
async def test_w_saves_and_says_so(is_paused: bool) -> None:
    session = Endless()
    app = app_with(training=session)
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("r")
        await until(pilot, lambda: session.step > 2 and "w save" in footer(app))
        if is_paused:
            await pilot.press("p")
            await until(pilot, lambda: app.pane.state == "paused")
        await pilot.press("w")
        await until(pilot, lambda: "saved at step" in screen_text(app))
        assert app.pane.state == ("paused" if is_paused else "running")
        await pilot.press("s")
        await settle(pilot)


async def test_a_run_is_controlled_by_keys_and_by_words_and_marked() -> None:
    session = Commanded()
    app = app_with(training=session)
    async with app.run_test(size=BROAD) as pilot:
        await pilot.press("r")
        await until(pilot, lambda: session.step > 30 and "w save" in footer(app))
        await pilot.press("less_than_sign")
        await until(pilot, lambda: session.lr_factor == 0.5)
        await pilot.press("plus")
        await until(pilot, lambda: session.steps == 2500)
        await pilot.press("l", *"lr no", "enter")
        await until(pilot, lambda: "'no' is not a number" in screen_text(app))
        await pilot.press("backspace", "backspace", "4", "enter")
        await until(pilot, lambda: session.lr_factor == 2.0)
        at = session.step
        await until(pilot, lambda: session.step > at + 30)
        await until(pilot, lambda: "┊lr ×4" in screen_text(app))
        assert app.pane.watched.started.steps == 2500
        known = {command.name: command.do for command in control_commands(app)}
        known["Train: budget -10%"]()
        known["Train: lr × 0.5"]()
        await until(pilot, lambda: session.lr_factor == 1.0)
        await until(pilot, lambda: len(app.pane.watched.marks) == 5)
        assert [mark.word for mark in app.pane.watched.marks] == [
            *("lr ×0.5", "+500", "lr ×4", "-250", "lr ×0.5"),
        ]
        await pilot.press("s")
        await settle(pilot)


async def test_a_checkpoint_nobody_asked_for_is_not_announced() -> None:
    session = Script(
        [started(), step(1), CheckpointSaved(step=1, path="/x", save_s=0.1)], waits=True
    )
    app = app_with(training=session)
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("r")
        await reach(pilot, session.reached_gate)
        await pilot.pause(0.3)
        text = screen_text(app)
        assert "saved at step" not in text
        assert "saved at" in text
        session.stop()
        await settle(pilot)


async def test_a_pause_saves_so_that_other_panes_have_the_model_as_it_is() -> None:
    session = Endless()
    app = app_with(training=session)
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.press("r")
        await until(pilot, lambda: session.step > 2)
        await pilot.press("p")
        await until(pilot, lambda: app.pane.state == "paused")
        watched = pane_of(app).watched
        await until(pilot, lambda: watched is not None and watched.saved_step == session.step)
        assert app.pane.state == "paused"
        await pilot.press("s")
        await settle(pilot)


# Plots.


async def test_m_goes_through_the_plots_and_escape_shows_all() -> None:
    app = app_with(training=Script([*training_story(120), finished()]))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("r")
        await settle(pilot)
        seen = []
        for _ in range(4):
            await pilot.press("m")
            await pilot.pause(0.1)
            text = screen_text(app)
            names = ("loss, nats/token", "learning rate", "gradient norm")
            seen.append([name for name in names if name in text])
            assert ("perplexity" in text) == (len(seen) == 4)
        assert seen[:3] == [["loss, nats/token"], ["learning rate"], ["gradient norm"]]
        assert len(seen[3]) > 1
        await pilot.press("m", "escape")
        await pilot.pause(0.1)
        assert "sample at step" in screen_text(app)


async def test_y_and_o_change_the_loss_and_are_remembered() -> None:
    app = app_with(training=Script([*training_story(120), finished()]))
    async with app.run_test(size=BROAD) as pilot:
        await pilot.press("r")
        await settle(pilot)
        assert "mean(.9)" in screen_text(app)
        await pilot.press("o")
        await pilot.pause(0.1)
        assert "mean(.95)" in screen_text(app)
        await pilot.press("o", "o", "o", "y")
        await pilot.pause(0.1)
        text = screen_text(app)
        assert "mean(" not in text
        assert "loss, nats/token (log)" in text
        assert "━ batch" in text
        assert (app.settings.smoothing, app.settings.log_y) == (0.0, True)


def test_the_levels_of_smoothing_go_round_from_anywhere() -> None:
    assert [next_level(level) for level in LEVELS] == [*LEVELS[1:], LEVELS[0]]
    assert next_level(0.85) == 0.9
    assert next_level(0.995) == 0.0


async def test_the_rest_of_the_plan_is_drawn_ahead_to_the_end_of_the_budget() -> None:
    story = [started(seconds=0.0, steps=1000), *(step(n) for n in range(1, 101))]
    session = Script(story, waits=True)
    app = app_with(training=session)
    async with app.run_test(size=BROAD) as pilot:
        await pilot.press("r")
        await reach(pilot, session.reached_gate)
        await pilot.press("m", "m")
        await pilot.pause(0.3)
        text = screen_text(app)
        assert "━ ahead" in text
        assert "1000" in text
        session.stop()
        await settle(pilot)
