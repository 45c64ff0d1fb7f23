"""What is beside the list of runs: two that are compared, the highlighted one, its newest words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from minitf_tui import run_readings as readings
from minitf_tui.widgets.readout import Readout

if TYPE_CHECKING:
    from core.store.summary import RunSummary
    from minitf_tui.run_list import RunDetails


class RunSide(VerticalScroll):
    """Shows what it is given, cut to its own width."""

    def __init__(self) -> None:
        super().__init__(id="side", can_focus=False)
        self._details = Readout(id="details")
        self._differences = Static("", id="differences", markup=False)
        self._duel = Static("", id="duel", markup=False)
        self._sample = Static("", id="sample", markup=False)

    def compose(self) -> ComposeResult:
        """Its parts, from top to bottom."""
        yield self._differences
        yield self._details
        yield self._duel
        yield self._sample

    def show(
        self, run: RunSummary, marks: Mapping[str, str], known: Mapping[str, RunDetails]
    ) -> None:
        """Replace what is shown.

        Args:
            marks: the colours of the runs in the plot; two are compared.
            known: the details of these and of `run`.
        """
        self._details.show(*readings.details_groups(run, known[run.name]))
        width = self._details.size.width
        self._differences.update(readings.differences(marks, known, width))
        self._differences.display = len(marks) == 2
        duel = known[run.name].duel
        self._duel.display = duel is not None
        if duel is not None:
            self._duel.update(readings.duel_lines(duel, width))
        self._sample.update(readings.sample_lines(known[run.name].sample, width))
