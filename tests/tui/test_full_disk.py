"""What a full disk looks like in the app: a problem that stays until it is solved."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from core.errors import StoreError
from core.events import CheckpointFailed, CheckpointSaved, Event, ReportFailed
from minitf_tui.job import Device, Job
from tests.tui.events import finished, started, step
from tests.tui.pilot import reach, screen_text, settle
from tests.tui.scripted import Endless, Script, app_with
from tests.tui.stories import benchmark_story, evaluation_story

NARROW = (80, 24)
FAILED = CheckpointFailed(step=1, reason="No space left on device", kept_step=None)


async def test_a_checkpoint_that_was_not_written_stays_in_sight_until_one_is() -> None:
    saved = CheckpointSaved(step=2, path="x", save_s=0.1)
    session = Script([started(), step(1), FAILED], then=[step(2), saved, finished()], waits=True)
    app = app_with(training=session)
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("r")
        await reach(pilot, session.reached_gate)
        await pilot.pause()
        text = screen_text(app)
        assert "The checkpoint of step 1 could not be written: No space left on device." in text
        assert "So far none is kept. Training goes on" in text
        session.gate.set()
        await settle(pilot)
        assert "could not be written" not in screen_text(app)


async def test_a_run_that_could_not_be_saved_ends_with_what_is_kept() -> None:
    error = StoreError("The run tiny could not be saved at step 8.", hint="Step 2 is kept.")
    app = app_with(training=Script([started(), step(1), FAILED], error=error))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("r")
        await settle(pilot)
        text = screen_text(app)
        assert "The run tiny could not be saved at step 8." in text
        assert "Step 2 is kept." in text


@pytest.mark.parametrize(("key", "kind"), [("2", "evaluation"), ("3", "benchmark")])
async def test_a_result_that_was_not_kept_is_shown_with_the_reason(key: str, kind: str) -> None:
    *story, done = evaluation_story() if kind == "evaluation" else benchmark_story()
    failed = ReportFailed(what=kind, reason="Read-only file system")
    app = app_with(
        **{kind if kind == "evaluation" else "benchmarking": Script([*story, failed, done])}
    )
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.press(key, "e" if kind == "evaluation" else "b")
        await settle(pilot)
        text = screen_text(app)
        assert f"The {kind} could not be kept with its run: Read-only file system." in text
        assert "perplexity" in text or "fastest over first" in text


class Unlucky(Endless):
    """Finds no room whenever it saves."""

    def run(self) -> Generator[Event, None, None]:
        for event in super().run():
            yield FAILED if isinstance(event, CheckpointSaved) else event


def test_a_paused_job_that_could_not_save_stays_paused() -> None:
    told: list[Event] = []
    session, device = Unlucky(), Device()

    def listen(job: Job, event: Event) -> None:
        told.append(event)
        if event is FAILED:
            job.stop()

    job = Job(
        device, session, title="it", way_out="", on_event=listen, on_end=lambda job, error: None
    )
    job.pause()
    assert job.state in ("pausing", "paused")
    job.save()
    device.start(job)
    assert job.finished.wait(10)
    assert FAILED in told
    assert not job._owes_save
