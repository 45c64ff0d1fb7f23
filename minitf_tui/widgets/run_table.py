"""The list of runs. Draws the rows that are in sight; its keys are those of its pane."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from textual.binding import Binding
from textual.content import Content
from textual.events import Click
from textual.geometry import Size
from textual.message import Message
from textual.widget import Widget

from minitf_tui import run_readings

if TYPE_CHECKING:
    from core.store.summary import RunSummary

WHEEL_ROWS = 3
LIST = Binding.Group("list")


class RunTable(Widget):
    """Runs, one of them highlighted; the highlight stays on its run when the list changes."""

    DEFAULT_CSS = "RunTable { width: 1fr; height: auto; min-height: 2; }"
    ALLOW_SELECT = False

    class Moved(Message):
        """Another run is highlighted."""

    class Clicked(Message):
        """The highlighted run was clicked once more."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.runs: tuple[RunSummary, ...] = ()
        self._marks: Mapping[str, str] = {}
        self._kept: frozenset[str] = frozenset()
        self._here = 0
        self._top = 0

    @property
    def run(self) -> RunSummary | None:
        """The one that is highlighted."""
        return self.runs[self._here] if self.runs else None

    def show(self, runs: Sequence[RunSummary]) -> None:
        """Replace the list."""
        if tuple(runs) == self.runs:
            return
        name, grew = self.run.name if self.run else "", len(runs) != len(self.runs)
        self.runs = tuple(runs)
        names = [run.name for run in runs]
        self._here = names.index(name) if name in names else min(self._here, max(0, len(runs) - 1))
        if not self.run or self.run.name != name:
            self.post_message(self.Moved())
        self.refresh(layout=grew)

    def mark(self, marks: Mapping[str, str], kept: Iterable[str]) -> None:
        """The colours of the runs whose curves are drawn, and which of them are to stay."""
        if (marks, frozenset(kept)) != (self._marks, self._kept):
            self._marks, self._kept = dict(marks), frozenset(kept)
            self.refresh()

    def move(self, by: int) -> None:
        """Highlight a run further down, or up."""
        self.go_to(self._here + by)

    def go_to(self, place: int) -> None:
        """Highlight the run there, or the nearest."""
        place = max(0, min(place, len(self.runs) - 1))
        if self.runs and place != self._here:
            self._here = place
            self.post_message(self.Moved())
            self.refresh()

    @property
    def page(self) -> int:
        """How many runs are in sight."""
        return max(1, self.size.height - 1)

    def render(self) -> Content:
        # Scrolls no further than keeps the highlight in sight and the last page full.
        """What is painted."""
        self._top = min(self._top, self._here, max(0, len(self.runs) - self.page))
        self._top = max(self._top, self._here - self.page + 1)
        width = self.size.width
        lines = [run_readings.heading(width)]
        for place in range(self._top, min(len(self.runs), self._top + self.page)):
            run = self.runs[place]
            lines.append(
                run_readings.row(
                    run,
                    width,
                    mark=self._marks.get(run.name, ""),
                    is_kept=run.name in self._kept,
                    is_here=place == self._here,
                )
            )
        return Content("\n").join(lines)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Rows it needs at that width."""
        return 1 + len(self.runs)

    def on_click(self, event: Click) -> None:
        """Answer a click."""
        place = self._top + event.y - 1
        if event.y < 1 or place >= len(self.runs):
            return
        if place == self._here and event.chain > 1:
            self.post_message(self.Clicked())
        self.go_to(place)

    def on_mouse_scroll_down(self) -> None:
        """Further down."""
        self.move(WHEEL_ROWS)

    def on_mouse_scroll_up(self) -> None:
        """Further up."""
        self.move(-WHEEL_ROWS)


class TableKeys:
    """The keys that move through the list, for a pane that shows it."""

    MOVES = (
        Binding("j,down", "down", show=False, group=LIST, tooltip="to the run below"),
        Binding("k,up", "up", show=False, group=LIST, tooltip="to the run above"),
        Binding("pagedown", "page_down", show=False, group=LIST, tooltip="a page down"),
        Binding("pageup", "page_up", show=False, group=LIST, tooltip="a page up"),
        Binding("g,home", "first", show=False, group=LIST, tooltip="to the newest run"),
        Binding("G,end", "last", show=False, group=LIST, tooltip="to the oldest run"),
    )

    _table: RunTable

    def do_down(self) -> None:
        """To the next run."""
        self._table.move(1)

    def do_up(self) -> None:
        """To the run before."""
        self._table.move(-1)

    def do_page_down(self) -> None:
        """A page on."""
        self._table.move(self._table.page)

    def do_page_up(self) -> None:
        """A page back."""
        self._table.move(-self._table.page)

    def do_first(self) -> None:
        """To the newest run."""
        self._table.go_to(0)

    def do_last(self) -> None:
        """To the oldest run."""
        self._table.go_to(len(self._table.runs) - 1)
