"""The Evaluate pane: a text, scored, with the protocol beside the number."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.content import Content
from textual.widgets import Static

from core.events import EvaluationCompleted, EvaluationProgressed, Event, ReportFailed
from minitf_tui import format as fmt
from minitf_tui import readings
from minitf_tui.figure import Figure
from minitf_tui.job import Device
from minitf_tui.problems import unsaved
from minitf_tui.sanitize import clean_line
from minitf_tui.widgets.form import Form, Item
from minitf_tui.widgets.hint import Hint
from minitf_tui.widgets.pane import STOP, Pane, Recipes
from minitf_tui.widgets.plot import Plot
from minitf_tui.widgets.readout import Progress, Readout

if TYPE_CHECKING:
    from core.recipes import Session

SETTINGS = (
    Item("run", "last", "which run: a name, last, best, or one of them with @STEP"),
    Item("text", "", "the path of a UTF-8 file; empty takes the run's own validation split"),
    Item("stride", 0, "tokens between two windows; 0 is the context", unit="tokens"),
)
KEPT_RESULTS = 8


class EvaluatePane(Pane):
    """Measure how well a run predicts a text."""

    NAME = "evaluate"
    JOB = "evaluation"
    KEYS = (Binding("e", "evaluate", "evaluate", tooltip="score the text with the run"), STOP)

    def __init__(self, device: Device, recipes: Callable[[], Recipes]) -> None:
        super().__init__(device, recipes)
        self.results: list[EvaluationCompleted] = []
        self._progress: EvaluationProgressed | None = None
        self._settling: list[tuple[int, float]] = []
        """`(tokens, mean loss)` of the job so far; the worker appends."""
        self._drawn = 0
        self._plot = Plot(Figure(""), id="settling")
        self._bar = Progress()
        self._readout = Readout(id="result")
        self._card = Container(self._readout, id="card", classes="box")
        self._earlier = Static("", id="earlier", markup=False)

    def compose(self) -> ComposeResult:
        """Its parts, from top to bottom."""
        yield self.problem
        with Container(id="settings", classes="box"):
            yield Form(SETTINGS, columns=3)
        yield Hint(
            "How well does a run predict a text it was not trained on?",
            ("e", "evaluate the last run"),
            ("i", "choose another run, text or stride"),
        )
        yield self._bar
        yield self._card
        yield self._plot
        yield self._earlier

    def on_mount(self) -> None:
        """What can be done only once it is on the screen."""
        self.query_one("#settings").border_title = "evaluate"
        self._card.display = False

    @on(Form.Submitted)
    def _submitted(self) -> None:
        if self.can("evaluate"):
            self.do_evaluate()

    def can(self, action: str) -> bool:
        """See `Pane.can`."""
        return self.is_active == (action == "stop")

    def do_evaluate(self) -> None:
        """Score the text in the form with the run in the form."""

        settling: list[tuple[int, float]] = []

        def make() -> Session:
            values = self.query_one(Form).values()
            self._progress = None
            return self.recipes().evaluation(
                values["run"] or "last", text=values["text"] or None, stride=values["stride"]
            )

        def collect(event: Event) -> bool:
            if isinstance(event, EvaluationProgressed):
                self._progress = event
                settling.append((event.tokens, event.loss))
                return True
            return False

        if self.launch(make, collect):
            self._settling, self._drawn = settling, 0
            self.tick()

    def hear(self, event: Event) -> None:
        """See `Pane.hear`."""
        if isinstance(event, ReportFailed):
            self.complain(unsaved(event))
        elif isinstance(event, EvaluationCompleted):
            self.results = [event, *self.results][:KEPT_RESULTS]
            self._show_card(event)
        self.tick()

    @property
    def share(self) -> float | None:
        """See `Pane.share`."""
        progress = self._progress
        return progress.tokens / progress.of if self.is_active and progress else None

    def tick(self) -> None:
        """See `Pane.tick`."""
        if self.job is None:
            return
        line, right = "", ""
        if self.is_active:
            line = {"waiting": "waiting for the device", "stopping": "stopping"}.get(
                self.state, "evaluating" if self._progress else self.stage
            )
            if self._progress:
                right = (
                    f"{fmt.whole(self._progress.tokens)} of {fmt.whole(self._progress.of)} tokens,"
                    f" loss {fmt.loss(self._progress.loss)}"
                )
        elif self.error is None and not self._is_complete:
            line = "stopped before the end; e starts again"
        self._bar.show(line, self.share, right)
        self._draw()

    def _draw(self) -> None:
        """The loss so far, where there is room for it and time."""
        n = len(self._settling)
        if n == self._drawn or not self._plot.size or (self.is_active and not self.pace.is_due):
            return
        from minitf_tui.measured import settling_figure

        with self.pace.measured():
            self._drawn = n
            self._plot.show(settling_figure(self._settling[:n], dots=self.settings.dots))

    @property
    def _is_complete(self) -> bool:
        progress = self._progress
        return bool(self.results) and (progress is None or progress.tokens >= progress.of)

    def _show_card(self, event: EvaluationCompleted) -> None:
        self._card.display = True
        self._card.border_title = Content(clean_line(f"{event.run}, step {event.step:,}"))
        self._readout.show(*readings.evaluation_groups(event))
        lines = [
            Content.assemble(
                (f"{clean_line(f'{old.run}@{old.step}')[:24]:<25}", "$foreground"),
                (f"{clean_line(old.text)[-24:]:<25}", "$quiet"),
                (f"{old.result.loss:8.3f}", "$foreground"),
                (" nats/token ", "$quiet"),
                (f"{old.result.bits_per_byte:7.3f}", "$foreground"),
                (" bits/byte", "$quiet"),
            )
            for old in self.results[1:]
        ]
        if lines:
            lines.insert(0, Content.assemble(("earlier", "$secondary")))
        self._earlier.update(Content("\n").join(lines))
