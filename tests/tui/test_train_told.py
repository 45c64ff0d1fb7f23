"""What a run tells, as the Train pane shows it: stages, problems, odd numbers, returns."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from core.errors import DataError
from core.events import CheckpointSaved, Diverged, ReturnedToCheckpoint, SetupProgressed
from minitf_tui.widgets.curves import LEVELS
from tests.tui.events import finished, sample, started, step, validation
from tests.tui.pilot import BROAD, NARROW, pane_of, reach, screen_text, settle, until
from tests.tui.scripted import Script, app_with
from tests.tui.stories import training_story


async def test_a_problem_stays_until_it_is_solved() -> None:
    bad = Script([step(1)], error=DataError("The text [/foo] \x1b[2J is empty.", hint="Try [x]."))
    app = app_with(training=[bad, Script([started(), finished()])])
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("r")
        await settle(pilot)
        text = screen_text(app)
        assert "The text [/foo] \\x1b[2J is empty." in text
        assert "Try [x]." in text
        assert "\x1b" not in text
        await pilot.press("2", "1")
        await pilot.pause()
        assert app.pane.problem.display
        await pilot.press("r")
        await settle(pilot)
        assert not app.pane.problem.display


async def test_a_fault_of_ours_is_told_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("MINITF_HOME", str(tmp_path))
    app = app_with(training=Script([], error=ZeroDivisionError("[oops]")))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("r")
        await settle(pilot)
        text = screen_text(app)
        assert "fault in minitf" in text
        assert "Traceback" not in text


async def test_divergence_is_told_with_a_way_on() -> None:
    story = [started(), step(1), Diverged(step=2, what="loss is nan", checkpoint_step=0)]
    app = app_with(training=Script(story))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("r")
        await settle(pilot)
        text = screen_text(app)
        assert "The run ended at step 2: loss is nan." in text
        assert "The checkpoint of step 0 is kept. Try a lower lr, then press r." in text


async def test_numbers_that_are_not_finite_do_not_hurt() -> None:
    nan, inf = float("nan"), float("inf")
    story = [started(), *(step(n) for n in range(1, 30)), step(30, loss=nan, grad_norm=inf, lr=nan)]
    app = app_with(training=Script([*story, validation(30), finished()]))
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.press("r")
        await settle(pilot)
        await pilot.press("y")
        await pilot.pause()
        assert "loss, nats/token (log)" in screen_text(app)


async def test_a_sample_cannot_reach_the_terminal() -> None:
    app = app_with(training=Script([started(), sample(1, "[/x] \x1b[31m \x9b \u202e\x00 end")]))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("r")
        await settle(pilot)
        text = screen_text(app)
        assert "[/x] ·[31m · ·· end" in text


async def test_setting_up_says_what_is_being_done() -> None:
    session = Script([SetupProgressed(stage="training a tokenizer")], waits=True)
    app = app_with(training=session)
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("r")
        await reach(pilot, session.reached_gate)
        await pilot.pause(0.1)
        assert "training a tokenizer" in screen_text(app)
        session.stop()
        await settle(pilot)


async def test_setting_up_shows_its_share() -> None:
    event: Any = SetupProgressed(stage="tokenising")
    if "share" in SetupProgressed.__dataclass_fields__:
        event = SetupProgressed(stage="tokenising", share=0.5)  # type: ignore[call-arg]
    session = Script([event], waits=True)
    app = app_with(training=session)
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("r")
        await reach(pilot, session.reached_gate)
        await pilot.pause(0.1)
        line = screen_text(app).splitlines()[1]
        assert "tokenising" in line
        assert ("━" in line) == hasattr(event, "share")
        session.stop()
        await settle(pilot)


async def test_an_idle_look_draws_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    app = app_with(training=Script([*training_story(200), finished()]))
    async with app.run_test(size=BROAD) as pilot:
        await pilot.press("r")
        await settle(pilot)
        pane = pane_of(app)
        drawn: list[str] = []
        for plot in pane.run_view.curves._plots.values():
            monkeypatch.setattr(plot, "show", lambda _figure: drawn.append("plot"))
        for _ in range(5):
            pane.look_again()
        await asyncio.sleep(0)
        assert drawn == []


async def test_a_return_to_a_checkpoint_is_told_and_its_steps_replaced() -> None:
    back = ReturnedToCheckpoint(
        step=21, what="the loss is nan", to_step=10, lr_factor=0.5, returns=1
    )
    dropped = CheckpointSaved(step=15, path="/x", save_s=0.1)
    before, again = [step(n) for n in range(1, 21)], [step(n) for n in range(11, 16)]
    story = [started(), *before, dropped, back, *again]
    session = Script(story, waits=True)
    app = app_with(training=session)
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("r")
        await reach(pilot, session.reached_gate)
        await until(pilot, lambda: "back to step 10, lr × 0.5" in screen_text(app))
        watched = pane_of(app).watched
        assert watched is not None
        assert watched.history.steps["step"].tolist() == list(range(1, 16))
        assert watched.saved_step == 10
        session.stop()
        await settle(pilot)


async def test_spikes_and_gaps_do_not_hurt() -> None:
    nan = math.nan
    story = [started(), *(step(n) for n in range(1, 60)), step(60, loss=1e4), step(61, loss=nan)]
    app = app_with(training=Script([*story, *(step(n) for n in range(62, 90)), finished()]))
    async with app.run_test(size=BROAD) as pilot:
        await pilot.press("r")
        await settle(pilot)
        for _ in LEVELS:
            await pilot.press("o")
            await pilot.pause()
        assert "loss, nats/token" in screen_text(app)
