"""The views of a benchmark: its cells, latency against depth, steps, bits, ratios, limits, proof.

Where there is room the cells stay in sight above the others; where there is not, they are the
first view. Only the view that is shown is drawn.
"""

from __future__ import annotations

from collections.abc import Callable

from textual import on
from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.events import Click
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from minitf_tui import bench_tables
from minitf_tui.bench_board import Board
from minitf_tui.figure import Figure
from minitf_tui.widgets.listing import Listing, Sheet
from minitf_tui.widgets.plot import Plot

CELLS = "cells"
VIEWS = (CELLS, "depth", "steps", "bits", "ratios", "limits", "proof")
SHEETS: dict[str, Callable[[Board], Sheet]] = {
    "bits": bench_tables.bits_sheet,
    "ratios": bench_tables.ratios_sheet,
    "limits": bench_tables.limits_sheet,
    "proof": bench_tables.proof_sheet,
}


class ViewStrip(Widget):
    """The names of the views on one line, the one that is shown marked."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "ViewStrip { width: 1fr; height: 1; }"

    class Chosen(Message):
        """Somebody clicked one."""

        def __init__(self, view: str) -> None:
            super().__init__()
            self.view = view

    def __init__(self) -> None:
        super().__init__()
        self.views: tuple[str, ...] = VIEWS
        self.shown = ""
        self.right = ""

    def show(self, views: tuple[str, ...], shown: str, right: str = "") -> None:
        """Replace what is shown."""
        if (views, shown, right) != (self.views, self.shown, self.right):
            self.views, self.shown, self.right = views, shown, right
            self.refresh()

    def render(self) -> Content:
        """What is painted."""
        parts: list[tuple[str, str]] = []
        for view in self.views:
            parts.append((f" {view} ", "bold on $panel" if view == self.shown else "$quiet"))
            parts.append((" ", ""))
        used = sum(len(text) for text, _ in parts)
        room = self.size.width - used
        if len(self.right) <= room:
            parts.append((self.right.rjust(room), "$quiet"))
        return Content.assemble(*parts)

    def on_click(self, event: Click) -> None:
        """Answer a click."""
        end = 0
        for view in self.views:
            begin, end = end, end + len(view) + 3
            if begin <= event.x < end:
                self.post_message(self.Chosen(view))


class BenchViews(Container):
    """Shows a board; which view, and which variant is highlighted, is kept here."""

    DEFAULT_CSS = """
    BenchViews {
        width: 1fr; height: 1fr;
        & > Listing { padding: 0; }
        & > #cells { max-height: 100%; }
        &.-cells > #settling { display: block; margin-top: 1; }
        &.-cells > #cells { max-height: 60%; }
        & > #trace, & > #settling, & > #depth, & > #sheet { display: none; }
        &.-depth > #depth, &.-steps > #trace, &.-steps > #settling { display: block; }
        &.-bits > #sheet, &.-ratios > #sheet, &.-limits > #sheet, &.-proof > #sheet {
            display: block;
        }
        & > #no-trace { display: none; height: auto; color: $quiet; }
        &.-steps.-traceless {
            & > #trace { display: none; }
            & > #no-trace { display: block; }
        }
    }
    """

    def __init__(self) -> None:
        super().__init__(id="views")
        self.board = Board()
        self.here = 0
        self.log_y = False
        self.precision = 0.0
        self.dots = "braille"
        self._view = ""
        self._strip = ViewStrip()
        self._cells = Listing(id="cells")
        self._sheet = Listing(id="sheet")
        self._plots = {name: Plot(Figure(""), id=name) for name in ("depth", "trace", "settling")}
        words = "This engine writes all tokens in one go: it has no time of each."
        self._no_trace = Static(words, id="no-trace", markup=False)

    def compose(self) -> ComposeResult:
        """Its parts, from top to bottom."""
        yield self._strip
        yield self._cells
        yield self._plots["depth"]
        yield self._plots["trace"]
        yield self._no_trace
        yield self._plots["settling"]
        yield self._sheet

    @property
    def is_tall(self) -> bool:
        """There is room for the cells above another view."""
        return self.is_attached and self.screen.has_class("-tall")

    @property
    def names(self) -> tuple[str, ...]:
        """The views that there are now."""
        return VIEWS[1:] if self.is_tall else VIEWS

    @property
    def view(self) -> str:
        """The one that is shown."""
        return self._view if self._view in self.names else self.names[0]

    def begin(self, board: Board, precision: float) -> None:
        """Another benchmark from now on."""
        self.board, self.precision, self.here = board, precision, 0

    def turn(self, by: int) -> None:
        """To the next view, or to the one before."""
        self.go_to(self.names[(self.names.index(self.view) + by) % len(self.names)])

    def go_to(self, view: str) -> None:
        """To that view."""
        self._view = view

    def move(self, by: int) -> None:
        """Highlight the variant below, or above."""
        self.here = max(0, min(self.here + by, len(self.board.tracks) - 1))

    def tell(self) -> None:
        """Show the words, and make room for what belongs to the view."""
        if not self.is_attached:  # a look may outlive the screen
            return
        view, tracks = self.view, self.board.tracks
        for name in VIEWS:
            self.set_class(name == view, f"-{name}")
        track = tracks[self.here] if self.here < len(tracks) else None
        self.set_class(
            bool(track and track.counted and not track.counted[-1].steps_ms), "-traceless"
        )
        self._cells.display = view == CELLS or self.is_tall
        self._strip.show(self.names, view, self._right())
        if self._cells.display:
            self._cells.show(bench_tables.cells_sheet(self.board, self.precision), self.here)
        if view in SHEETS:
            self._sheet.show(SHEETS[view](self.board))

    def _right(self) -> str:
        if self.view == "steps":
            return "j k another "
        return "v next view "

    def draw(self) -> None:
        """The plots that are seen."""
        if not self.board.heard:
            return
        from minitf_tui import bench_figures

        if self.view == "depth":
            figure = bench_figures.depth_figure(self.board, dots=self.dots, log_y=self.log_y)
            self._plots["depth"].show(figure)
        elif self.view in (CELLS, "steps") and self.here < len(self.board.tracks):
            track = self.board.tracks[self.here]
            if self.view == "steps":
                self._plots["trace"].show(bench_figures.trace_figure(track, dots=self.dots))
            self._plots["settling"].show(bench_figures.settling_figure(track, dots=self.dots))

    @on(Listing.Clicked)
    def _row_clicked(self, event: Listing.Clicked) -> None:
        event.stop()
        self.here = event.place
        self.tell()
        self.draw()

    @on(ViewStrip.Chosen)
    def _view_chosen(self, event: ViewStrip.Chosen) -> None:
        event.stop()
        self.go_to(event.view)
        self.tell()
        self.draw()
