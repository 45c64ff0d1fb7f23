"""A list of runs out of which one can be deleted, and what is refused while one is trained."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

from core.errors import MinitfError, RunError
from minitf_tui import run_readings as readings
from minitf_tui.job import Device
from minitf_tui.run_list import Seen, delete
from minitf_tui.widgets.confirm import Confirm
from minitf_tui.widgets.pane import Pane, Recipes
from minitf_tui.widgets.run_table import RunTable, TableKeys

if TYPE_CHECKING:
    from core.store.summary import RunSummary


class DeletingPane(TableKeys, Pane):
    """Knows the runs, which one is in use, and takes away the highlighted one."""

    @dataclass
    class Used(Message):
        """All panes are to work with a run."""

        name: str

    def __init__(self, device: Device, recipes: Callable[[], Recipes]) -> None:
        super().__init__(device, recipes)
        self.used = "last"
        self._seen = Seen()
        self._table = RunTable(id="table")
        self._refused = ""
        """The run that a refusal was about; it is taken back once that run has ended."""

    def look_again(self) -> None:
        """Read the disk at the next tick."""

    def do_delete(self) -> None:
        """Delete the highlighted run, once somebody has said yes."""
        run = self._table.run
        if run is None or self._refuses(run, "is being trained and cannot be deleted"):
            return
        question = readings.deletion_question(run, self._seen.details.get(run.name))

        def answered(is_sure: bool | None) -> None:
            if is_sure:
                self.run_worker(self._delete(run.name), exit_on_error=False)

        self.app.push_screen(Confirm(question, yes="delete it", no="keep it"), answered)

    def _refuses(self, run: RunSummary, why: str) -> bool:
        """Say so when a run is being trained, and so cannot be changed."""
        if not run.is_trained:
            self._refused = ""
            self.complain(None)
            return False
        self._refused = run.name
        self.complain(
            RunError(
                f"The run {run.name} {why}.",
                hint="Stop it first: with s in the Train pane, or where it was started.",
            )
        )
        return True

    async def _delete(self, name: str) -> None:
        try:
            await asyncio.to_thread(delete, name)
        except (MinitfError, OSError) as error:
            self.complain(error)
            return
        self.complain(None)
        if self.used == name:
            self.post_message(self.Used("last"))
        self.look_again()
