"""The app that saves before it leaves: on q, on a signal, when its terminal is closed."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress

from minitf_tui.job import Device
from minitf_tui.preferences import RememberingApp

SAVING_LIMIT_S = 60.0
"""How long leaving waits for a checkpoint at most."""
SIGNALS = [
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGINT") if hasattr(signal, name)
]


class LeavingApp(RememberingApp):
    """Owns the device, and lets its jobs end in order."""

    def __init__(self) -> None:
        super().__init__()
        self.device = Device()
        self.exit_signal = 0
        self.is_leaving = False
        self.waits = True

    def on_mount(self) -> None:
        """What can be done only once it is on the screen."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            with suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, self._signalled, number)

    def look(self) -> None:
        """Show how things stand now."""

    def action_help_quit(self) -> None:
        """Ctrl+C, which is copy here."""
        self.notify("Ctrl+C copies selected text. q leaves; a running job is saved.", markup=False)

    async def action_quit(self) -> None:
        """The same as q."""
        await self.action_leave()

    async def action_leave(self) -> None:
        """Leave, once every job has saved what it has; a second time does not wait."""
        await self.keep_settings()
        self.waits = not self.is_leaving
        if self.is_leaving or not self.device.jobs:
            self.exit(0)
            return
        self.is_leaving = True
        self.device.stop_all()
        self.look()
        self.run_worker(self._leave_when_saved(), exit_on_error=False)

    async def _leave_when_saved(self) -> None:
        await asyncio.to_thread(self.device.wait, SAVING_LIMIT_S)
        self.exit(0)

    def _signalled(self, number: int) -> None:
        self.exit_signal = number
        self.run_worker(self.action_leave(), exit_on_error=False)
