"""The Runs pane, opened and read, and two runs on disk for it."""

from __future__ import annotations

from typing import Any

from textual.pilot import Pilot

from tests.tui.pilot import screen_text
from tests.tui.runs_on_disk import make_run


async def seen(pilot: Pilot[Any]) -> str:
    """The screen, once the disk has been read after all that happened."""
    app: Any = pilot.app
    pane = app.pane
    for _ in range(3):
        pane.look_again()
        app.look()
        await app.workers.wait_for_complete()
        await pilot.pause()
    return screen_text(app)


async def opened(pilot: Pilot[Any]) -> str:
    await pilot.press("5")
    return await seen(pilot)


def two_runs() -> None:
    make_run("old-one", steps=60, loss=2.25, age_s=100, lr=0.003)
    make_run("new-one", steps=40, loss=1.75, n_layers=2)
