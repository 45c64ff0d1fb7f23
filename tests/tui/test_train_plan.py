"""The Train pane before a run: the planned learning rate, and what a forecast tells."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import RunError
from core.events import Forecast, ForecastCompleted, ForecastProgressed, LossGuess, SetupProgressed
from core.presets import QUICK
from tests.tui.events import finished
from tests.tui.pilot import BROAD, NARROW, pane_of, reach, screen_text, settle, until
from tests.tui.scripted import Endless, Script, app_with
from tests.tui.stories import evaluation_story, training_story

FORECAST = Forecast(
    step_ms=21.4,
    step_ms_sd=1.3,
    steps=3912,
    train_s=84.1,
    total_s=103.2,
    tokens=4_005_888,
    tokens_per_s=47_900.0,
    n_params=722_048,
    peak_bytes=311 * 2**20,
    setup_s=1.5,
    process_bytes=650 * 2**20,
    disk_bytes=25 * 2**20,
    final_loss=LossGuess(loss=2.512, low=2.318, high=2.744, why="by the law of small runs"),
)


def probe(*, waits: bool = False, error: Exception | None = None) -> Script:
    told = [ForecastProgressed(index=n, step_ms=21.0, share=n / 10) for n in range(-1, 6)]
    return Script(
        [SetupProgressed(stage="loading PyTorch"), *told],
        then=() if error else [ForecastCompleted(result=FORECAST)],
        waits=waits,
        error=error,
    )


async def test_the_planned_learning_rate_is_shown_while_somebody_edits() -> None:
    app = app_with()
    async with app.run_test(size=NARROW) as pilot:
        await pilot.pause()
        assert "learning rate, planned" not in screen_text(app)
        await pilot.press("i")
        await pilot.pause(0.1)
        assert "learning rate, planned" in screen_text(app)
        assert "0.04┤" not in screen_text(app)
        pane_of(app).form.edit("lr")
        await pilot.pause()
        await pilot.press("end", "ctrl+u", *"0", "full_stop", *"05")
        await pilot.pause(0.1)
        assert "0.04┤" in screen_text(app)
        await pilot.press("escape")
        await pilot.pause()
        assert "learning rate, planned" not in screen_text(app)


async def test_a_plan_over_a_known_number_of_steps_counts_in_steps() -> None:
    app = app_with()
    async with app.run_test(size=BROAD) as pilot:
        await pilot.press("i")
        await pilot.pause(0.1)
        assert "% of the run" in screen_text(app)
        pane_of(app).form.fill({"steps": 4000})
        await pilot.pause(0.1)
        text = screen_text(app)
        assert "% of the run" not in text
        assert "4000" in text


async def test_a_forecast_tells_time_steps_and_memory() -> None:
    app = app_with(forecasting=probe())
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("f")
        await settle(pilot)
        text = screen_text(app)
        for part in ("21.4 ± 1.3 ms", "1 min 43 s", "1 min 24 s", "3,912", "4.0 M", "650.0 MiB"):
            assert part in text, part
        assert "about 2.51 (2.32–2.74)" in text
        assert "step" in text
        await pilot.press("escape")
        await pilot.pause()
        assert "r   train with these settings" in screen_text(app)
    assert app.asked == [("forecasting", QUICK)]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "value", "is_stale"),
    [("lr", 0.1, False), ("seed", 7, False), ("d_model", 64, True), ("seconds", 5, True)],
)
async def test_a_forecast_goes_stale_with_settings_that_matter(
    name: str, value: Any, is_stale: bool
) -> None:
    app = app_with(forecasting=[probe(), probe()])
    async with app.run_test(size=BROAD) as pilot:
        await pilot.press("f")
        await settle(pilot)
        pane_of(app).form.fill({name: value})
        await pilot.pause()
        assert ("Settings have changed" in screen_text(app)) == is_stale
        await pilot.press("f5")
        await settle(pilot)
        assert "Settings have changed" not in screen_text(app)


async def test_a_forecast_shows_how_far_it_is_and_can_be_stopped() -> None:
    session = probe(waits=True)
    app = app_with(forecasting=session)
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("i", "f5")
        await reach(pilot, session.reached_gate)
        await pilot.pause(0.3)
        text = screen_text(app)
        assert "timing steps" in text
        assert "━" in text
        assert text.splitlines()[0].endswith("forecast")
        await pilot.press("escape", "s")
        await settle(pilot)
        text = screen_text(app)
        assert "timing steps" not in text
        assert "± " not in text
        assert not pane_of(app).problem.display


async def test_a_forecast_is_refused_while_another_pane_computes() -> None:
    busy = Script(evaluation_story()[:2], waits=True)
    app = app_with(evaluation=busy, forecasting=probe())
    async with app.run_test(size=BROAD) as pilot:
        await pilot.press("2", "e")
        await reach(pilot, busy.reached_gate)
        await pilot.press("1", "f")
        await pilot.pause()
        assert "busy: evaluation is running" in screen_text(app)
        busy.stop()
        await settle(pilot)
    assert not any(asked[0] == "training" for asked in app.asked)  # type: ignore[attr-defined]


async def test_nothing_is_measured_beside_a_run() -> None:
    app = app_with(training=Endless(), forecasting=probe())
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("r")
        await pilot.pause()
        await pilot.press("f")
        await pilot.press("p")
        await until(pilot, lambda: app.pane.state == "paused")
        await pilot.press("f", "s")
        await settle(pilot)
    assert [asked[0] for asked in app.asked] == ["training"]  # type: ignore[attr-defined]


async def test_a_run_may_be_started_over_a_forecast() -> None:
    first = probe(waits=True)
    app = app_with(forecasting=first, training=Script([*training_story(5), finished()]))
    async with app.run_test(size=BROAD) as pilot:
        await pilot.press("f")
        await reach(pilot, first.reached_gate)
        await pilot.press("r")
        await settle(pilot)
        assert first.stopped.is_set()
        assert "finished: 940 steps" in screen_text(app)


async def test_what_goes_wrong_with_a_forecast_is_told() -> None:
    app = app_with(forecasting=probe(error=RunError("No text.", hint="Try another.")))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("f")
        await settle(pilot)
        assert "No text." in screen_text(app)
