"""The Benchmark pane: ways to decode a run, timed in turns until they settle, and proved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.content import Content
from textual.widgets import Static

from core.config import BenchConfig
from core.events import BenchmarkCompleted, Event, ReportFailed
from minitf_tui import bench_files, readings
from minitf_tui import format as fmt
from minitf_tui.bench_board import Board
from minitf_tui.job import Device
from minitf_tui.problems import unsaved
from minitf_tui.sanitize import clean_line
from minitf_tui.widgets.bench_form import BenchForm
from minitf_tui.widgets.bench_views import BenchViews
from minitf_tui.widgets.form import Form
from minitf_tui.widgets.hint import Hint
from minitf_tui.widgets.pane import STOP, Pane, Recipes
from minitf_tui.widgets.readout import Progress

if TYPE_CHECKING:
    from core.recipes import Session

VIEWS = Binding.Group("views")


class BenchmarkPane(Pane):
    """Measure what a cache, an engine, fewer bits are worth."""

    NAME = "benchmark"
    JOB = "benchmark"
    KEYS = (
        Binding("b", "bench", "benchmark", tooltip="time the variants of the form, in turns"),
        STOP,
        Binding("v,right", "view", "view", tooltip="the next view of the results"),
        Binding("V,left", "view_back", show=False, tooltip="the view before"),
        Binding("j,down", "below", show=False, tooltip="to the variant below, for its steps"),
        Binding("k,up", "above", show=False, tooltip="to the variant above"),
        Binding("y", "log", show=False, tooltip="latency on a logarithmic scale, or not"),
        Binding("w", "save", "save", tooltip="save as CSV, PNG and SVG, under a new name"),
        Binding("c", "copy", "copy path", tooltip="copy the path of the saved files"),
        Binding("p", "plan", "plan", tooltip="fill the form with another plan"),
    )

    def __init__(self, device: Device, recipes: Callable[[], Recipes]) -> None:
        super().__init__(device, recipes)
        self._bench = BenchConfig()
        self._board = Board()
        self._done: BenchmarkCompleted | None = None
        self._drawn = -1
        """Repetitions that are in the plots."""
        self._saved: bench_files.Saved = ()
        self._is_saving = False
        self._bar = Progress()
        self._views = BenchViews()
        self._place = Static("", id="place", markup=False)
        self._environment = Static("", id="environment", markup=False)

    def compose(self) -> ComposeResult:
        """Its parts, from top to bottom."""
        yield self.problem
        with Container(id="settings", classes="box"):
            yield BenchForm()
        yield Hint(
            "How fast does a run write, by which engine and cache, with how many bits?",
            ("b", "benchmark the last run"),
            ("p", "another plan: caches, bits, depths, threads"),
            ("i", "choose another run, or a grid of your own"),
        )
        yield self._bar
        yield self._place
        yield self._views
        yield self._environment

    def on_mount(self) -> None:
        """What can be done only once it is on the screen."""
        self.query_one("#settings").border_title = "benchmark"
        self.call_after_refresh(self.query_one(BenchForm).tell)

    @on(Form.Changed)
    def _form_changed(self) -> None:
        if not self.has_class("-started") or self.query_one(BenchForm).has_focus_within:
            self.query_one(BenchForm).tell()

    @on(Form.Submitted)
    def _submitted(self) -> None:
        if self.can("bench"):
            self.do_bench()

    def can(self, action: str) -> bool:
        """See `Pane.can`."""
        match action:
            case "bench" | "stop":
                return self.is_active == (action == "stop")
            case "plan":
                return not self.is_active
            case "save":
                return self._done is not None and not self.is_active
            case "copy":
                return bool(self._saved)
            case "log":
                return bool(self._board.heard) and self._views.view == "depth"
            case _:
                return bool(self._board.tracks)

    def do_bench(self) -> None:
        """Time the variants in the form."""
        bench = self._bench

        def make() -> Session:
            nonlocal bench
            run, bench = self.query_one(BenchForm).config()
            return self.recipes().benchmarking(run, bench)

        if self.launch(make):
            self._bench, self._board, self._done, self._drawn = bench, Board(), None, -1
            self._views.begin(self._board, bench.precision)
            self._tell_saved(())
            self.remove_class("-done")
            self.query_one(BenchForm).summarise("")
            self.pace.hurry()
            self.tick()

    def do_plan(self) -> None:
        """Fill in the next plan."""
        form = self.query_one(BenchForm)
        form.next_plan()
        form.tell()

    def do_view(self, by: int = 1) -> None:
        """Another view of the same measurements."""
        self._views.turn(by)
        self._look_again()

    def do_view_back(self) -> None:
        """The view before."""
        self.do_view(-1)

    def do_below(self, by: int = 1) -> None:
        """Highlight the next variant."""
        self._views.move(by)
        self._look_again()

    def do_above(self) -> None:
        """Highlight the variant above."""
        self.do_below(-1)

    def do_log(self) -> None:
        """Latency on a logarithmic scale, or not."""
        self._views.log_y = not self._views.log_y
        self._look_again()

    def do_copy(self) -> None:
        """The path, by the terminal's own clipboard."""
        path = str(self._saved[0]).encode(errors="replace").decode()
        self.app.copy_to_clipboard(path)
        self.notify("The path is copied, if this terminal lets programs copy.", markup=False)

    def do_save(self) -> None:
        """Write the files, in a thread of their own."""
        if not self._is_saving:
            self._is_saving = True
            self._place.update("saving")
            self.add_class("-saved")
            self.run_worker(self._save(), exit_on_error=False)

    async def _save(self) -> None:
        done, board = self._done, self._board
        try:
            if done is not None:
                given = (board, done.run, done.step, bench_files.folder())
                self._tell_saved(await asyncio.to_thread(bench_files.save, *given))
                self.complain(None)
        except Exception as error:  # shown in the pane, whatever it is
            self._tell_saved(self._saved)
            self.complain(error)
        finally:
            self._is_saving = False
        self.app.refresh_bindings()

    def _tell_saved(self, saved: bench_files.Saved) -> None:
        self._saved = saved
        self.set_class(bool(saved), "-saved")
        if saved:
            self._place.update(_saved_line(saved))

    def hear(self, event: Event) -> None:
        """See `Pane.hear`."""
        if isinstance(event, ReportFailed):
            self.complain(unsaved(event))
        elif isinstance(event, BenchmarkCompleted):
            self._done = event
            self._board.complete(event.result)
            self._environment.update(readings.environment_line(event))
            self.add_class("-done")
            self._drawn = -1
        elif self.state != "stopping":
            self._board.hear(event)
        self.tick()

    @property
    def share(self) -> float | None:
        """See `Pane.share`."""
        return self._board.share(self._bench.reps) if self.is_active else None

    def tick(self) -> None:
        """See `Pane.tick`."""
        if self.job is None:
            return
        line, right = "", ""
        board = self._board
        if self.is_active:
            line = {"waiting": "waiting for the device", "stopping": "stopping"}.get(
                self.state, clean_line(self.stage) or self._doing()
            )
            right = f"{board.settled} of {fmt.plural(len(board.tracks), 'variant')} settled"
            right = right if board.tracks else ""
        elif self._done:
            line = clean_line(f"{self._done.run}, step {self._done.step:,}")
            speedup = self._done.result.speedup
            right = f"fastest over first: {fmt.times(speedup)}" if len(board.tracks) > 1 else ""
        elif self.error is None:
            line = "stopped before the end; b starts again"
        self._bar.show(line, self.share, right)
        self._views.tell()
        self._draw()

    def _doing(self) -> str:
        tracks = self._board.tracks
        if any(not track.counted for track in tracks):
            return "warming up, not counted"
        if all(track.decode for track in tracks):
            return "proving that all write the same"
        n = sum(len(track.counted) for track in tracks)
        return f"timing, {fmt.plural(n, 'repetition')} counted"

    def _draw(self) -> None:
        """The plots, where there is time for it; all that was measured once it is over."""
        if self._drawn == self._board.heard or (self.is_active and not self.pace.is_due):
            return
        self._views.dots = self.settings.dots
        with self.pace.measured():
            self._drawn = self._board.heard
            self._views.draw()

    def _look_again(self) -> None:
        """A key was pressed: everything at once."""
        self._drawn = -1
        self.pace.hurry()
        self.tick()
        self.app.refresh_bindings()

    def on_resize(self) -> None:
        """Fit what is shown to the new size."""
        self._drawn = -1


def _saved_line(saved: tuple[Path, ...]) -> Content:
    suffixes = " ".join(path.suffix for path in saved)
    place = clean_line(str(saved[0].with_suffix("")))
    hint = "" if bench_files.has_pictures() else "; pictures need: pip install matplotlib"
    return Content.assemble("saved ", (place, "$accent"), (f" {suffixes}{hint}", "$quiet"))
