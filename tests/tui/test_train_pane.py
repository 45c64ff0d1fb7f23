"""The Train pane: what is planned, what runs, what was; keys in, screen out."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import RunError
from core.events import (
    CheckpointSaved,
    Forecast,
    ForecastCompleted,
    ForecastProgressed,
    LossGuess,
    ReturnedToCheckpoint,
    SetupProgressed,
)
from core.presets import QUICK
from core.store.metrics import MetricsWriter
from minitf_tui.app import MinitfApp
from minitf_tui.commands import control_commands
from minitf_tui.panes.train import TrainPane
from minitf_tui.widgets.curves import LEVELS, next_level
from tests.tui.events import finished, sample, started, step, validation
from tests.tui.pilot import reach, screen_text, settle
from tests.tui.runs_on_disk import make_run
from tests.tui.scripted import Commanded, Endless, Script, app_with
from tests.tui.stories import evaluation_story, training_story

NARROW, BROAD, ROOMY = (80, 24), (120, 36), (200, 60)
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


def pane_of(app: MinitfApp) -> TrainPane:
    return app.query_one(TrainPane)


def footer(app: MinitfApp) -> str:
    return screen_text(app).splitlines()[-1]


async def until(pilot: Any, is_so: Any) -> None:
    async with asyncio.timeout(20):
        while not is_so():
            await pilot.pause()


# What is planned.


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


# Keys of a run.


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


# Going on with a run.


def kept_run(folder: Path, steps: int) -> Path:
    """Metrics as the store leaves them, with a part that was lost."""
    lines: list[dict[str, Any]] = [{"format": 1}]
    lines += [_line(step(n)) for n in range(1, steps + 1)]
    lines += [_line(validation(steps // 2)), _line(sample(steps // 2, "of old"))]
    lines += [_line(step(steps + 1, loss=99.0)), {"event": "Resumed", "step": steps}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def _line(event: Any) -> dict[str, Any]:
    from dataclasses import asdict

    values = {k: None if v != v else v for k, v in asdict(event).items()}
    return {"event": type(event).__name__} | values


async def test_a_resumed_run_shows_the_curves_of_its_past(tmp_path: Path) -> None:
    path = str(kept_run(tmp_path, 300))
    story = [started(step=300, path=path, run="old-1"), *(step(n) for n in range(301, 321))]
    session = Script(story, waits=True)
    app = app_with(resuming=session)
    async with app.run_test(size=BROAD) as pilot:
        pane_of(app).resume("old-1")
        await reach(pilot, session.reached_gate)
        await pilot.pause(0.3)
        watched = pane_of(app).watched
        assert watched is not None
        assert watched.history.steps["step"].tolist() == list(range(1, 321))
        assert watched.history.steps["loss"].max() < 99
        text = screen_text(app)
        assert "old-1" in text
        assert "sample at step 150" in text
        assert "of old" in text
        assert "100" in text
        session.stop()
        await settle(pilot)
    assert app.asked == [("resuming", "old-1")]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("at", "factor"), [(0, 1.0), (40, 0.5)])
async def test_a_resumed_run_is_planned_by_its_own_settings_and_returns(
    at: int, factor: float
) -> None:
    run = make_run("old-1", lr=0.0123, is_finished=False)
    with MetricsWriter(run.path) as metrics:
        if at:
            back = {"what": "the loss is nan", "lr_factor": factor, "returns": 1}
            metrics.write(ReturnedToCheckpoint(step=41, to_step=at, **back))
        metrics.resumed(at, returns=1 if at else 0)
    session = Script([started(step=at, path=str(run.path), run="old-1"), step(at + 1)], waits=True)
    app = app_with(resuming=session)
    async with app.run_test(size=BROAD) as pilot:
        pane = pane_of(app)
        pane.resume("old-1")
        await reach(pilot, session.reached_gate)
        await until(pilot, lambda: pane.run_view.curves.plan)
        rates = [rate for _, rate in pane.run_view.curves.plan]
        wanted = [rate * factor for _, rate in pane.planned(run.config, 0)]
        assert rates == pytest.approx(wanted)
        assert pane.watched is not None
        assert pane.watched.history.steps["step"].tolist() == list(range(1, at + 2))
        session.stop()
        await settle(pilot)


async def test_resuming_while_a_run_goes_on_is_refused_and_loses_nothing() -> None:
    session = Endless()
    app = app_with(training=session, resuming=Script([finished()]))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("r")
        await pilot.pause()
        await pilot.press("p")
        await until(pilot, lambda: app.pane.state == "paused")
        pane_of(app).resume("other")
        await pilot.pause()
        assert "A run is going on in the Train pane." in screen_text(app)
        assert "s stops and saves it" in screen_text(app)
        assert app.pane.state == "paused"
        await pilot.press("s")
        await settle(pilot)
        assert not app.pane.problem.display
    assert ("resuming", "other") not in app.asked  # type: ignore[attr-defined]


async def test_a_run_that_is_finished_says_so_and_what_helps() -> None:
    app = app_with(resuming=Script([finished("finished already")]))
    async with app.run_test(size=NARROW) as pilot:
        pane_of(app).resume("done-1")
        await settle(pilot)
        text = screen_text(app)
        assert "finished already" in text
        assert "The budget of python-docs-1 is spent." in text
        way_on = "A larger one goes on: minitf train --resume python-docs-1 --steps STEPS"
        assert way_on in text


# What is told.


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


async def test_a_finished_run_shows_its_own_past_not_that_of_the_run_before() -> None:
    run = make_run("done-1", steps=40)
    over = finished("finished already")
    over = replace(over, result=replace(over.result, run="done-1", path=str(run.path)))
    app = app_with(training=Script(training_story(120)), resuming=Script([over]))
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.press("r")
        await settle(pilot)
        pane_of(app).resume("done-1")
        await settle(pilot)
        watched = pane_of(app).watched
        assert watched is not None
        assert watched.history.steps.last("step") == 40


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
