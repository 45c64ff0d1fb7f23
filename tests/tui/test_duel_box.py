"""A duel in the app: what it asks, what is seen while it goes on, and what is left of it."""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot

from core.errors import ConfigError
from core.events import ReportFailed
from core.presets import preset
from core.store.duels import keep_duel
from minitf_tui import duel_readings as readings
from minitf_tui.widgets.confirm import Confirm
from minitf_tui.widgets.duel_box import DuelBox
from minitf_tui.widgets.duel_screen import DuelScreen
from tests.tui import duel_story as story
from tests.tui.pilot import NARROW, SIZES, reach, screen_text, settle
from tests.tui.runs_on_disk import make_run
from tests.tui.runs_pane import opened
from tests.tui.scripted import Endless, Script, app_with
from tests.tui.test_palette import choose


def box_of(app: Any) -> DuelBox:
    assert isinstance(app.screen, DuelScreen)
    return app.screen.box


async def press(pilot: Pilot[Any], *keys: str) -> str:
    for key in keys:
        await pilot.press(key)
    await pilot.pause()
    return screen_text(pilot.app)


async def seen(pilot: Pilot[Any]) -> str:
    """The screen, drawn now."""
    box = box_of(pilot.app)
    box.pace.hurry()
    box.tick()
    await pilot.pause()
    return screen_text(pilot.app)


@pytest.mark.parametrize("size", SIZES)
async def test_from_the_form_to_the_verdict(size: tuple[int, int]) -> None:
    script = Script(story.beginning(120), then=story.ending(200), waits=True)
    app = app_with(dueling=script)
    async with app.run_test(size=size) as pilot:
        app.duel(b="small")
        await press(pilot)
        box_of(app).form.fill({"change_b": "lr=0.001", "steps": 200})
        await press(pilot, "enter")
        await reach(pilot, script.reached_gate)
        text = await seen(pilot)
        assert "A: these settings   B: small lr=0.001" in text
        assert "B is ahead: B - A" in text
        assert "step 120" in text
        assert box_of(app).share == 0.6
        script.gate.set()
        await settle(pilot)
        text = await seen(pilot)
        assert "B is better on this seed" in text
        config = preset("quick")
        how = {"name": None, "seeds": 1, "changes": {"steps": 200}, "changes_b": {"lr": 1e-3}}
        ((kind, a, *rest),) = app.asked  # type: ignore[attr-defined]
        assert (kind, a.with_changes(), *rest) == ("dueling", config, "small", how)
        await press(pilot, "escape")
        assert len(app.screen_stack) == 1


async def test_no_difference_is_said_plainly_and_both_runs_are_named() -> None:
    app = app_with(dueling=Script([*story.beginning(60, 0.0), *story.ending(60, 0.0)]))
    async with app.run_test(size=(120, 36)) as pilot:
        app.duel("quick", "small")
        await press(pilot)
        await press(pilot, "enter")
        await settle(pilot)
        text = await seen(pilot)
        assert "No difference yet: the validation loss of B - A" in text
        assert "Kept as runs, each with this curve: duel-1-a, duel-1-b." in text
        assert "n another duel" in text.splitlines()[-1]
        text = await press(pilot, "n")
        assert "Enter start" in text
        assert box_of(app).form.texts()["b"] == "small"


async def test_it_is_held_and_goes_on_and_stopping_asks_first() -> None:
    script = Script(story.beginning(40), then=story.ending(200), waits=True)
    app = app_with(dueling=script)
    async with app.run_test(size=NARROW) as pilot:
        app.duel("quick", "small")
        await press(pilot)
        assert "p pause" in (await press(pilot, "enter")).splitlines()[-1]
        await reach(pilot, script.reached_gate)
        assert "p go on" in (await press(pilot, "p")).splitlines()[-1]
        assert box_of(app).state == "pausing"  # until both have taken their step
        await press(pilot, "p")
        assert box_of(app).state == "running"
        text = await press(pilot, "escape")
        assert isinstance(app.screen, Confirm)
        assert "Both runs stay, with what was found so far." in text
        await press(pilot, "n")
        assert not script.stopped.is_set()
        await press(pilot, "escape", "y")
        assert script.stopped.is_set()
        await settle(pilot)
        assert box_of(app).is_asking


async def test_it_waits_for_no_training_but_says_who_has_the_device() -> None:
    training = Endless()
    app = app_with(training=training, dueling=Script(story.beginning(5)))
    async with app.run_test(size=(120, 36)) as pilot:
        await press(pilot, "r")
        app.duel("quick", "small")
        await press(pilot)
        text = await press(pilot, "enter")
        assert "The device is busy: training is running." in text
        assert "In the Train pane, p pauses it and s stops it." in text
        assert not [what for what in app.asked if what[0] == "dueling"] or not box_of(app).job  # type: ignore[attr-defined]
        app.device.stop_all()
        await settle(pilot)


async def test_another_pane_is_told_how_to_free_the_device_of_a_duel() -> None:
    app = app_with()
    async with app.run_test(size=NARROW) as pilot:
        app.duel()
        await press(pilot)
        assert box_of(app).way_out() == "In the box of the duel, p pauses it and Escape stops it."


async def test_what_is_wrong_stands_in_the_box_until_it_is_changed() -> None:
    refusal = ConfigError("batch_size=2 in [/A] and 4 in B.", hint="Give both the same.")
    app = app_with(dueling=Script([], error=refusal))
    async with app.run_test(size=(120, 36)) as pilot:
        app.duel("quick")
        await press(pilot)
        text = await press(pilot, "enter")
        assert "A and B are the same settings." in text
        assert "Name another B, or what differs in it." in text
        box_of(app).form.fill({"change_b": "ler=1"})
        await pilot.pause()
        assert "A and B are the same settings." not in screen_text(app)
        assert "There is no setting 'ler'." in await press(pilot, "enter")
        box_of(app).form.fill({"change_b": "", "b": "small"})
        await press(pilot, "enter")
        await settle(pilot)
        text = screen_text(app)
        assert "batch_size=2 in [/A] and 4 in B." in text
        assert box_of(app).form.texts()["b"] == "small"


async def test_a_curve_that_cannot_be_kept_is_said() -> None:
    lost = ReportFailed(what="duel", reason="No space left on device")
    app = app_with(dueling=Script([*story.beginning(60), lost, *story.ending(60)]))
    async with app.run_test(size=(120, 36)) as pilot:
        app.duel("quick", "small")
        await press(pilot)
        await press(pilot, "enter")
        await settle(pilot)
        text = await seen(pilot)
        assert "The duel could not be kept with its run: No space left on device." in text
        assert "B is better on this seed" in text


async def test_two_marked_runs_are_the_sides_and_one_is_held_against_the_form() -> None:
    make_run("old", age_s=60)
    make_run("new")
    app = app_with()
    async with app.run_test(size=(120, 36)) as pilot:
        await opened(pilot)
        await press(pilot, "c")
        assert box_of(app).form.texts()["a"] == ""
        assert box_of(app).form.texts()["b"] == "new"
        await press(pilot, "escape")
        await press(pilot, "space", "space", "c")
        assert (box_of(app).form.texts()["a"], box_of(app).form.texts()["b"]) == ("new", "old")
        await press(pilot, "escape")


async def test_a_kept_duel_is_told_beside_its_run_and_shown_again() -> None:
    keep_duel(make_run("duel-1-a"), story.kept())
    app = app_with()
    async with app.run_test(size=(120, 36)) as pilot:
        await opened(pilot)
        assert "B is better on this seed" in " ".join(screen_text(app).split("│"))
        await press(pilot, "w")
        text = await seen(pilot)
        assert "duel of duel-1-a and duel-1-b" in text
        assert "A: quick   B: small, seed 0" in text
        assert "loss of B - A" in text
        assert "Enter" not in text.splitlines()[-1]
        await press(pilot, "n")
        assert box_of(app).is_asking
        await press(pilot, "escape")
        assert len(app.screen_stack) == 1


async def test_the_palette_offers_a_duel() -> None:
    app = app_with()
    async with app.run_test(size=(120, 36)) as pilot:
        await choose(pilot, "Duel: these settings")
        assert box_of(app).is_asking


def test_shares_and_rounds_in_words() -> None:
    begun = story.beginning(0)[-1]
    assert readings.share(begun, []) == 0.0  # type: ignore[arg-type]
    assert readings.share(begun, [story.differed(50)]) == 0.25  # type: ignore[arg-type]
    assert readings.round_of(None) == ""


async def test_the_palette_tells_how_a_sweep_is_begun() -> None:
    app = app_with()
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        await choose(pilot, "Sweep")
        (told,) = app._notifications
        assert "minitf sweep FILE.toml in a terminal" in told.message
