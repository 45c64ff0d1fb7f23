"""The Runs pane: every run on disk; use one, go on with one, compare some, delete one.

The disk is read in a thread, at most every second and with a twentieth of a processor; the
screen shows what was read last.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.content import Content
from textual.message import Message

from minitf_tui import run_readings as readings
from minitf_tui.forking import fork_box
from minitf_tui.job import Device
from minitf_tui.run_list import RunReader, Seen
from minitf_tui.widgets.deleting import DeletingPane
from minitf_tui.widgets.hint import Hint
from minitf_tui.widgets.pane import Recipes
from minitf_tui.widgets.run_curves import RunCurves
from minitf_tui.widgets.run_side import RunSide
from minitf_tui.widgets.run_table import RunTable

if TYPE_CHECKING:
    from core.store.duels import KeptDuel

LEAST_INTERVAL_S = 1.0
READING_SHARE = 0.05
"""Of one processor, for reading runs."""


class RunsPane(DeletingPane):
    """What was trained."""

    NAME = "runs"
    JOB = "reading"
    HAS_FORM = False
    KEYS = (
        Binding("o,enter", "use", "use", tooltip="make it the run that all panes work with"),
        Binding("u", "resume", "resume", tooltip="go on with it in the Train pane"),
        Binding("f", "fork", show=False, tooltip="go on from a checkpoint with other settings"),
        Binding("space", "mark", "compare", tooltip="keep its curve in the plot; again: take out"),
        Binding("c", "duel", "duel", tooltip="let two runs' settings learn on the same batches"),
        Binding("w", "show_duel", show=False, tooltip="who won: the duel that it fought in"),
        Binding("e", "export", "export", tooltip="write it for transformers, llama.cpp, Ollama"),
        Binding("i", "import", "import", tooltip="make a run of a model from elsewhere"),
        Binding("x", "axis", "x axis", show=False, tooltip="against steps, tokens or time"),
        Binding("y", "log", "log scale", show=False, tooltip="loss on a logarithmic scale, or not"),
        Binding("v", "view", "details", tooltip="plot, or details and differences"),
        Binding("d", "delete", "delete", tooltip="delete it, after a question"),
        *DeletingPane.MOVES,
    )

    @dataclass
    class Resumed(Message):
        """The Train pane is to go on with a run."""

        name: str

    @dataclass
    class Forked(Message):
        """The Train pane is to go on from a checkpoint of a run, in another way."""

        run: str
        changes: dict[str, Any]

    @dataclass
    class Exported(Message):
        """A run is to be written for other programs."""

        name: str

    @dataclass
    class Duelled(Message):
        """Two settings are to be held against each other, or a duel is to be shown again."""

        a: str = ""
        b: str = ""
        runs: tuple[str, ...] = ()
        kept: KeptDuel | None = None

    class Imported(Message):
        """A model from elsewhere is to become a run."""

    def __init__(self, device: Device, recipes: Callable[[], Recipes]) -> None:
        super().__init__(device, recipes)
        self._reader = RunReader()
        self._marked: list[str] = []
        self._wanted = ""
        """The run to highlight as soon as it is in the list."""
        self._is_reading = False
        self._due = 0.0
        self._plot = RunCurves()
        self._side = RunSide()
        self._hint = Hint(
            "There are no runs yet.",
            ("1", "go to Train, where r starts one"),
            ("i", "import a model from elsewhere"),
        )
        self._hint.display = False  # nobody knows before the first look at the disk
        self._list_box = Container(self._table, id="list-box", classes="box")

    def compose(self) -> ComposeResult:
        """Its parts, from top to bottom."""
        yield self.problem
        yield self._hint
        with Container(id="main"):
            with Container(id="left"):
                yield self._list_box
                yield self._plot
            yield self._side

    def on_mount(self) -> None:
        """What can be done only once it is on the screen."""
        self._list_box.border_title = "runs"

    def on_resize(self) -> None:
        """What is cut to a width is cut anew."""
        if self._seen.runs:
            self.call_after_refresh(self._show)

    def use_run(self, name: str) -> None:
        """See `Pane.use_run`."""
        self.used = name
        if self._seen.runs:
            self._show()

    # Keys.

    def can(self, action: str) -> bool:
        """See `Pane.can`."""
        if action == "view":
            return bool(self._seen.runs) and self.screen.has_class("-narrow")
        if action == "show_duel":
            return self._kept_duel is not None
        return bool(self._seen.runs) or action == "import"

    @on(RunTable.Clicked)
    def do_use(self) -> None:
        """All panes work with the highlighted run from now on."""
        if run := self._table.run:
            self.post_message(self.Used(run.name))

    def do_resume(self) -> None:
        """Go on with the highlighted run in the Train pane."""
        if (run := self._table.run) and not self._refuses(run, "is being trained already"):
            self.post_message(self.Resumed(run.name))

    def do_fork(self) -> None:
        """Ask from which step and with which settings, then train in the Train pane."""
        if (run := self._table.run) and (about := self._seen.details.get(run.name)):
            self.app.push_screen(fork_box(about, lambda *of: self.post_message(self.Forked(*of))))

    def do_export(self) -> None:
        """Write the highlighted run for other programs."""
        if run := self._table.run:
            self.post_message(self.Exported(run.name))

    def do_duel(self) -> None:
        """Two marked runs, or the highlighted one as B of the settings in the Train pane."""
        two, names = self._plotted(), tuple(run.name for run in self._seen.runs)
        a, b = two[:2] if len(two) > 1 else ("", two[0])
        self.post_message(self.Duelled(a, b, names))

    def do_show_duel(self) -> None:
        """The verdict and the curve of the duel in which the highlighted run fought."""
        self.post_message(self.Duelled(kept=self._kept_duel))

    @property
    def _kept_duel(self) -> KeptDuel | None:
        here = self._seen.details.get(self._table.run.name) if self._table.run else None
        return here.duel if here else None

    def do_import(self) -> None:
        """Make a run of a model from elsewhere."""
        self.post_message(self.Imported())

    def go_to(self, name: str) -> None:
        """Highlight a run, also one that the next look at the disk will find."""
        self._wanted = name
        self.look_again()

    def do_mark(self) -> None:
        """Keep the curve of the highlighted run in the plot, or take it out."""
        if run := self._table.run:
            keep = [name for name in self._marked if name != run.name]
            self._marked = keep if len(keep) < len(self._marked) else [*keep, run.name]
            self._table.move(1)
            self._show()

    def do_axis(self) -> None:
        """The next of step, tokens and time."""
        self._plot.turn_axis()
        self._show()

    def do_log(self) -> None:
        """Logarithmic loss, or not."""
        self.change_settings(log_y=not self.settings.log_y)
        self._show()

    def do_view(self) -> None:
        """Details instead of the plot where there is no room for both."""
        self.toggle_class("-details")

    # The disk.

    def tick(self) -> None:
        """See `Pane.tick`."""
        if self._is_reading or time.monotonic() < self._due:
            return
        self._is_reading = True
        self.run_worker(self._look(), group="runs", exit_on_error=False)

    def look_at_device(self) -> None:
        """See `Pane.look_at_device`."""
        if self._refused:  # also while another pane is shown: its tab tells of the refusal
            self.tick()

    @on(RunTable.Moved)
    def look_again(self) -> None:
        """Read at the next tick: something is wanted that is not known."""
        self._due = 0.0

    async def _look(self) -> None:
        wanted, smoothing = self._plotted(), self.settings.smoothing
        interval_s = LEAST_INTERVAL_S
        try:
            seen = await asyncio.to_thread(self._reader.look, wanted, smoothing)
            interval_s = max(interval_s, seen.cost_s / READING_SHARE)
        finally:
            self._is_reading = False
            if wanted == self._plotted():
                self._due = time.monotonic() + interval_s
        self._heard_from_disk(seen)

    def _heard_from_disk(self, seen: Seen) -> None:
        if seen.error is not None:  # what was seen before stays in sight
            self.complain(seen.error)
            self._seen = replace(self._seen, error=seen.error)
            return
        had_any, trained = bool(self._seen.runs), {run.name: run.is_trained for run in seen.runs}
        is_solved = bool(self._refused) and not trained.get(self._refused)
        if is_solved or (self.error is not None and self.error is self._seen.error):
            self._refused = ""
            self.complain(None)
        self._seen = seen
        self._marked = [name for name in self._marked if name in trained]
        self._table.show(seen.runs)
        if self._wanted in trained:
            self._table.go_to(list(trained).index(self._wanted))
            self._wanted = ""
        self._hint.display = not seen.runs
        self.set_class(bool(seen.runs), "-started")
        if had_any != bool(seen.runs):
            self.app.refresh_bindings()
            self.call_after_refresh(self._show)  # once the parts beside the list have a width
        self._show()

    # What is seen.

    def _plotted(self) -> list[str]:
        """Names of the runs whose curves are wanted: the marked ones, then the highlighted."""
        here = [self._table.run.name] if self._table.run else []
        return self._marked + [name for name in here if name not in self._marked]

    def _show(self) -> None:
        from minitf_tui.comparison import COLOURS

        known, here = self._seen.details, self._table.run
        drawn = [name for name in self._plotted() if name in known]
        marks = readings.marks_of(drawn, COLOURS)
        self._table.mark(marks, self._marked)
        self._list_box.border_subtitle = Content(
            readings.total_line(self._seen.runs, self._seen.unreadable, self.used)
        )
        self._plot.draw([known[name] for name in drawn], self.settings)
        if here and here.name in known:
            self._side.show(here, marks, known)
