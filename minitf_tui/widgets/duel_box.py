"""A duel in a box: two configs, their difference as it grows, and who is better."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from core.config import RunConfig
from core.errors import ConfigError
from core.events import (
    DuelCompleted,
    DuelRoundCompleted,
    DuelStarted,
    Event,
    ReportFailed,
    SetupProgressed,
    SideTold,
)
from core.presets import PRESETS, QUICK
from core.store.duels import DuelStory, KeptDuel
from minitf_tui import duel_readings as readings
from minitf_tui import format as fmt
from minitf_tui.figure import Figure
from minitf_tui.forking import read_changes
from minitf_tui.job import Device
from minitf_tui.problems import unsaved
from minitf_tui.sanitize import clean, clean_line
from minitf_tui.widgets.form import Form, Item, Row
from minitf_tui.widgets.pane import Pane, Recipes
from minitf_tui.widgets.plot import Plot
from minitf_tui.widgets.readout import Progress
from minitf_tui.widgets.transfer import bare

if TYPE_CHECKING:
    from core.recipes import Session

TICK_S = 0.1
EXPLAINED = (
    "Both learn in lockstep from the same batches, and stay as two runs.\nEnter starts   Esc leaves"
)


def items(a: str, b: str, runs: Sequence[str]) -> tuple[Item, ...]:
    """What the box asks for."""
    known = (*PRESETS, *runs)
    what = f"a preset ({', '.join(list(PRESETS)[:4])}, …), a run or a TOML file"
    own = "empty: the settings of the Train pane"
    return (
        Item("a", a, f"{what}; {own}", is_wide=True, suggestions=known),
        Item("b", b, f"{what}; empty: the same as A", is_wide=True, suggestions=known),
        Item("change_b", "", "what is different in B, as in lr=0.001 n_layers=6", is_wide=True),
        Item("steps", 0, "budget of both; 0 takes what A and B say", unit="steps"),
        Item("seconds", 0.0, "pure training time of each; 0 takes what A and B say", unit="s"),
        Item("seeds", 1, "repeat it with so many seeds: whether the settings differ, 3 tell"),
        Item("name", "", "the runs become NAME-a and NAME-b; empty makes one up", is_wide=True),
    )


class DuelBox(Pane):
    """Asks for two sides, lets them learn, and says how they stand; or shows a kept duel."""

    NAME = "duel"
    JOB = "duel"
    KEYS = ()

    def __init__(
        self,
        device: Device,
        recipes: Callable[[], Recipes],
        config: Callable[[], RunConfig],
        *,
        a: str = "",
        b: str = "",
        runs: Sequence[str] = (),
        kept: KeptDuel | None = None,
    ) -> None:
        """`config` gives the settings of the Train pane, which an empty side A stands for."""
        super().__init__(device, recipes)
        self.form = Form(items(a, b, runs))
        self.story = DuelStory()
        self._config, self._kept = config, kept
        self._seen_state = self.state
        self._field: Widget | None = None
        """Where one was when it was begun, to be there again if it cannot be."""
        self._begun: DuelStarted | None = None
        self._title = ""
        self._verdict = ""
        self._remark = ""
        self._share: float | None = None
        self._bar = Progress()
        self._standing = Static("", id="standing", markup=False)
        self._difference = Plot(Figure(""), id="difference")
        self._losses = Plot(Figure(""), id="losses")

    def compose(self) -> ComposeResult:
        """Its parts, from top to bottom."""
        yield self.problem
        yield self.form
        yield self._bar
        with Container(id="course"):
            yield self._standing
            yield self._difference
            yield self._losses

    def on_mount(self) -> None:
        """What can be done only once it is on the screen."""
        self.border_title = "duel"
        if self._kept is None:
            self.ask()
        else:
            self._show_kept(self._kept)
        self.set_interval(TICK_S, self._look)

    def on_resize(self) -> None:
        """Fit what is shown to the new size."""
        self.call_after_refresh(self._draw)

    # What it is asked.

    @property
    def is_asking(self) -> bool:
        """Whether the form is shown."""
        return self.screen.has_class("-asking")

    def ask(self) -> None:
        """Show the form, and go into it."""
        self.screen.add_class("-asking")
        self.border_title = "duel"
        self.form.disabled = False
        self.form.summarise(EXPLAINED)
        # At once: `focus` would come behind the next key.
        self.screen.set_focus(self._field or self.form.query(Row).first().field)
        self.app.refresh_bindings()

    @on(Form.Submitted)
    def start(self) -> None:
        """Begin with what stands in the form."""
        if self.is_active:
            return
        self._field = self.screen.focused or self._field
        if not self.launch(self.make, lambda event: self.story.hear(event)):
            self.ask()
            return
        self._begun, self._verdict, self._remark, self._share = None, "", "", None
        self.form.disabled = True
        self.screen.remove_class("-asking")
        self.border_title = Content(clean_line(self._title))
        self.tick()

    @on(Form.Changed)
    def _take_back(self) -> None:
        """What was wrong was wrong with what stood there before."""
        if not self.is_active:
            self.complain(None)

    def make(self) -> Session:
        """The duel that the form asks for.

        Raises:
            MinitfError: it cannot be asked for like that.
        """
        values = self.form.values()
        a, b, name = (bare(values[key]) for key in ("a", "b", "name"))
        changes_b = read_changes(values["change_b"].split(), QUICK)
        if not b and not changes_b:
            raise ConfigError(
                "A and B are the same settings.", hint="Name another B, or what differs in it."
            )
        self.story = DuelStory()
        others = " ".join([b or "the same", *values["change_b"].split()])
        self._title = f"duel   A: {a or 'these settings'}   B: {others}"
        both: dict[str, Any] = {k: values[k] for k in ("steps", "seconds") if values[k]}
        return self.recipes().dueling(
            a or self._config(),
            b or None,
            name=name or None,
            seeds=values["seeds"],
            changes=both,
            changes_b=changes_b,
        )

    # Keys.

    @property
    def is_working(self) -> bool:
        """True until it is done or somebody has stopped it."""
        return self.is_active and self.state != "stopping"

    @property
    def is_paused(self) -> bool:
        """Whether it waits for somebody to let it go on."""
        return self.state in ("paused", "pausing")

    def do_pause(self) -> None:
        """Leave the device after the step that both are taking, or go on."""
        if self.job is not None and self.is_working:
            self.job.resume() if self.is_paused else self.job.pause()
            self.app.refresh_bindings()
            self.tick()

    def way_out(self) -> str:
        """See `Pane.way_out`."""
        return "In the box of the duel, p pauses it and Escape stops it."

    # News.

    @property
    def share(self) -> float | None:
        """See `Pane.share`."""
        return self._share if self.is_active else None

    def hear(self, event: Event) -> None:
        """See `Pane.hear`."""
        match event:
            case SideTold(side=side, event=SetupProgressed() as told):
                self.stage, self._share = f"{side.upper()}: {told.stage}", told.share
            case SetupProgressed():
                self._share = event.share
            case SideTold():
                self._remark = readings.remark_of(event.side, event.event) or self._remark
            case DuelStarted():
                self._begun = event
            case ReportFailed():
                self.complain(unsaved(event))
            case DuelRoundCompleted():
                self._remark = ""
            case DuelCompleted() if event.result.rounds:
                self._verdict = readings.verdict(event.result)
        self.pace.hurry()
        self.tick()

    def over(self) -> None:
        """See `Pane.over`."""
        super().over()
        if not self._verdict:
            self.ask()
        self.pace.hurry()
        self.tick()

    # What is seen.

    def _show_kept(self, kept: KeptDuel) -> None:
        told: tuple[Event, ...] = (*kept.steps, *kept.validations)
        for event in told:
            self.story.hear(event)
        self._verdict = readings.kept_verdict(kept)
        names = f"duel of {kept.runs[0]} and {kept.runs[1]}"
        self.border_title = Content(clean_line(names))
        self.add_class("-started")
        self.app.refresh_bindings()

    def _look(self) -> None:
        self.look_at_device()
        self.tick()

    def tick(self) -> None:
        """See `Pane.tick`."""
        if self.state != self._seen_state:
            self._seen_state = self.state
            self.pace.hurry()
            self.app.refresh_bindings()
        if self.is_asking or not self.pace.is_due:
            return
        with self.pace.measured():
            self._draw()

    def _draw(self) -> None:
        steps, validations = self.story.steps, self.story.validations
        line = self.stage
        if self._begun is not None and not self.stage:
            self._share = readings.share(self._begun, steps)
            line = f"step {fmt.whole(steps[-1].step if steps else 0)}"
        words = "waiting for the device" if self.state == "waiting" else self.state
        if self.is_active and words != "running":
            line = f"{line}, {words}" if line else words
        self._bar.show(clean(line), self._share, self.waited or readings.round_of(self._begun))
        self._bar.display = self.is_active
        said = self._verdict or readings.standings(steps, validations, self._remark)
        self._standing.update(clean(said))
        dots = self.settings.dots
        self._difference.show(readings.difference_figure(steps, validations, dots=dots))
        self._losses.show(readings.losses_figure(steps, validations, dots=dots))
