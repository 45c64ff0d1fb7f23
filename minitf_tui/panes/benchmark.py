"""The Benchmark pane: the KV cache against no cache, timed and proved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.widgets import Static

from core.config import BenchConfig
from core.events import BenchmarkCompleted, Event, RepetitionCompleted, ReportFailed
from minitf_tui import format as fmt
from minitf_tui import readings
from minitf_tui.figure import Figure
from minitf_tui.job import Device
from minitf_tui.problems import unsaved
from minitf_tui.sanitize import clean_line
from minitf_tui.widgets.bars import Bar, Bars
from minitf_tui.widgets.form import Form, Item, items_of
from minitf_tui.widgets.hint import Hint
from minitf_tui.widgets.pane import STOP, Pane, Recipes
from minitf_tui.widgets.plot import Plot
from minitf_tui.widgets.readout import Progress, Readout

if TYPE_CHECKING:
    from core.recipes import Session

RUN = Item("run", "last", "which run: a name, last, best, or one of them with @STEP")
CACHES = {"none": "$warning", "static": "$accent"}


class BenchmarkPane(Pane):
    """Measure what the KV cache is worth."""

    NAME = "benchmark"
    JOB = "benchmark"
    KEYS = (
        Binding("b", "bench", "benchmark", tooltip="time the run with its cache and without"),
        STOP,
    )

    def __init__(self, device: Device, recipes: Callable[[], Recipes]) -> None:
        super().__init__(device, recipes)
        self._bench = BenchConfig()
        self._result: BenchmarkCompleted | None = None
        self._repetition = 0
        self._drawn = -1
        """Repetitions that are in the plot."""
        self._samples: dict[tuple[str, str], list[float]] = defaultdict(list)
        self._bar = Progress()
        self._bars = {phase: Bars(phase, id=phase) for phase in ("decode", "prefill")}
        self._plot = Plot(Figure(""), id="repetitions")
        self._readout = Readout(id="result")
        self._environment = Static("", id="environment", markup=False)
        self._proof = Container(self._readout, self._environment, id="proof", classes="box")

    def compose(self) -> ComposeResult:
        """Its parts, from top to bottom."""
        yield self.problem
        with Container(id="settings", classes="box"):
            fields = items_of(BenchConfig(), ("n", "reps", "warmup", "prompt_tokens"))
            yield Form((RUN, *fields), columns=3)
        yield Hint(
            "How much faster does a run write when it keeps its keys and values?",
            ("b", "benchmark the last run"),
            ("i", "choose another run, length or number of repetitions"),
        )
        yield self._bar
        with Container(id="times", classes="box"):
            yield from self._bars.values()
        yield self._proof
        yield self._plot

    def on_mount(self) -> None:
        """What can be done only once it is on the screen."""
        self.query_one("#settings").border_title = "benchmark"
        self.query_one("#times").border_title = "time, mean ± σ"
        self._proof.border_title = "speed-up and proof"
        self._proof.display = False

    @on(Form.Submitted)
    def _submitted(self) -> None:
        if self.can("bench"):
            self.do_bench()

    def can(self, action: str) -> bool:
        """See `Pane.can`."""
        return self.is_active == (action == "stop")

    def do_bench(self) -> None:
        """Time the run in the form."""
        bench = self._bench

        def make() -> Session:
            nonlocal bench
            values = self.query_one(Form).values()
            run = values.pop("run") or "last"
            bench = BenchConfig(**values)
            return self.recipes().benchmarking(run, bench)

        if self.launch(make):
            self._bench, self._result, self._repetition = bench, None, 0
            self._drawn = -1
            self.pace.hurry()
            self._samples.clear()
            self._proof.display = False
            self._show_bars()
            self.tick()

    def hear(self, event: Event) -> None:
        """See `Pane.hear`."""
        if isinstance(event, RepetitionCompleted) and self.state != "stopping":
            self._repetition += 1
            if event.index >= 1:
                self._samples[event.variant.cache, "prefill"].append(event.prefill_ms)
                self._samples[event.variant.cache, "decode"].append(event.decode_ms)
            self._show_bars()
        elif isinstance(event, ReportFailed):
            self.complain(unsaved(event))
        elif isinstance(event, BenchmarkCompleted):
            self._result = event
            self._show_proof(event)
        self.tick()

    @property
    def share(self) -> float | None:
        """See `Pane.share`."""
        total = len(CACHES) * (self._bench.reps + self._bench.warmup)
        return self._repetition / total if self.is_active else None

    def tick(self) -> None:
        """See `Pane.tick`."""
        if self.job is None:
            return
        line, right = "", ""
        if self.is_active:
            line = {"waiting": "waiting for the device", "stopping": "stopping"}.get(
                self.state, self.stage or self._doing()
            )
            right = f"{self._repetition} of {len(CACHES) * (self._bench.reps + self._bench.warmup)}"
        elif self._result:
            line = clean_line(f"{self._result.run}, step {self._result.step:,}")
            right = fmt.plural(self._bench.reps, "repetition") + f" of {self._bench.n} tokens"
        elif self.error is None:
            line = "stopped before the end; b starts again"
        self._bar.show(line, self.share, right)
        self._show_repetitions()

    def _doing(self) -> str:
        warmups = len(CACHES) * self._bench.warmup
        if self._repetition < warmups:
            return "warming up, not counted"
        return "timing" if (self.share or 0) < 1 else "proving that both write the same"

    def _show_bars(self) -> None:
        prompt = self._bench.prompt_tokens[0]
        phases = {
            "decode": (f"decode, {self._bench.n} tokens one by one", self._bench.n),
            "prefill": (f"prefill, {prompt} tokens at once", prompt),
        }
        for phase, (heading, tokens) in phases.items():
            bars = [
                Bar(fmt.CACHES[cache], tuple(self._samples[cache, phase]), tokens, style)
                for cache, style in CACHES.items()
            ]
            self._bars[phase].show(heading, *bars)

    def _show_repetitions(self) -> None:
        """The plot, where there is time for it; all that was measured once it is over."""
        if self._drawn == self._repetition or (self.is_active and not self.pace.is_due):
            return
        from minitf_tui.measured import scatter_figure

        samples = {fmt.CACHES[cache]: self._samples[cache, "decode"] for cache in CACHES}
        colours = {fmt.CACHES[cache]: style.removeprefix("$") for cache, style in CACHES.items()}
        dots = self.settings.dots
        with self.pace.measured():
            self._drawn = self._repetition
            self._plot.show(scatter_figure("decode", samples, colours, dots=dots))

    def _show_proof(self, event: BenchmarkCompleted) -> None:
        self._proof.display = True
        self._readout.show(*readings.benchmark_groups(event))
        self._environment.update(readings.environment_line(event))
