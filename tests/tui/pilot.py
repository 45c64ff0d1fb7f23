"""What a test does with the app while it runs: it waits, and reads the screen."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from textual.pilot import Pilot

from minitf_tui.app import MinitfApp
from minitf_tui.panes.train import TrainPane

NARROW, BROAD, VAST = (80, 24), (120, 36), (200, 60)
SIZES = [NARROW, BROAD, VAST, (60, 16)]


async def settle(pilot: Pilot[Any]) -> None:
    """Until no job runs and every message has been heard."""
    app: Any = pilot.app
    await asyncio.to_thread(app.device.wait, 10)
    for _ in range(3):
        await pilot.pause()
    app._ticks = -1  # the next look is one at the device, too
    app.look()
    await pilot.pause()


async def reach(pilot: Pilot[Any], event: threading.Event) -> None:
    """Until the worker has come to that place."""
    assert await asyncio.to_thread(event.wait, 10)
    for _ in range(3):
        await pilot.pause()


async def until(pilot: Any, is_so: Any) -> None:
    """Until it is so, at most 20 seconds."""
    async with asyncio.timeout(20):
        while not is_so():
            await pilot.pause()


def screen_text(app: Any) -> str:
    """The screen as text, a line a row."""
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in strips)


def footer(app: MinitfApp) -> str:
    """The bottom line of the screen."""
    return screen_text(app).splitlines()[-1]


def pane_of(app: MinitfApp) -> TrainPane:
    """The Train pane, in sight or not."""
    return app.query_one(TrainPane)
