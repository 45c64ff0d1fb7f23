"""A run that is gone on with in the Train pane: its past, its plan, and refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.events import ReturnedToCheckpoint
from core.store.metrics import MetricsWriter
from tests.tui.events import finished, sample, started, step, validation
from tests.tui.pilot import BROAD, NARROW, pane_of, reach, screen_text, settle, until
from tests.tui.runs_on_disk import make_run
from tests.tui.scripted import Endless, Script, app_with
from tests.tui.stories import training_story


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
