"""The box of an export or import: keys into it, and what it shows of them."""

from __future__ import annotations

from typing import Any

from textual.pilot import Pilot

from minitf_tui.widgets.transfer import Transfer, TransferScreen
from tests.tui.pilot import screen_text, settle


def box_of(app: Any) -> Transfer[Any]:
    assert isinstance(app.screen, TransferScreen)
    return app.screen.box


async def press(pilot: Pilot[Any], *keys: str) -> str:
    for key in keys:
        await pilot.press(key)
        await pilot.pause()
    await pilot.pause()
    return screen_text(pilot.app)


async def done(pilot: Pilot[Any]) -> str:
    await settle(pilot)
    return screen_text(pilot.app)


async def fill(app: Any, pilot: Pilot[Any], **values: str) -> None:
    box_of(app).form.fill(values)
    await pilot.pause()
