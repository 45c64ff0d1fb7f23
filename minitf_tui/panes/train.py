"""The Train pane: settings, what they will take, and a run that is watched while it learns.

The worker fills a `Watch`; twenty times a second the pane looks at it. Plots are redrawn when
their share of the processor allows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container

from core.errors import StoreError
from core.events import (
    CheckpointFailed,
    CheckpointSaved,
    Controlled,
    Event,
    ReturnedToCheckpoint,
    RunStarted,
)
from core.presets import QUICK
from minitf_tui import course, readings
from minitf_tui.course import Plan
from minitf_tui.job import Device, RunGoingOnError
from minitf_tui.problems import unsaved
from minitf_tui.widgets.controlling import CONTROLS, ControllingPane
from minitf_tui.widgets.curves import next_level
from minitf_tui.widgets.hint import Hint
from minitf_tui.widgets.pane import Recipes
from minitf_tui.widgets.readout import Readout
from minitf_tui.widgets.run_view import RunView

if TYPE_CHECKING:
    from core.recipes import Session
    from minitf_tui.settings import Settings
    from minitf_tui.watch import Watch


class TrainPane(ControllingPane):
    """Train a model and watch it learn."""

    NAME = "train"
    JOB = "training"
    KEYS = (
        Binding("r", "train", "run", tooltip="start a run with these settings"),
        Binding(
            "f,f5",
            "forecast",
            "forecast",
            key_display="f",
            tooltip="train for 3 seconds, to tell how long a run takes",
        ),
        *CONTROLS,
        Binding("y", "log", show=False, tooltip="loss on a logarithmic scale, or not"),
        Binding("o", "smooth", show=False, tooltip="another level of smoothing for the loss"),
        Binding("b", "baselines", show=False, tooltip="baselines as levels of the loss, or not"),
        Binding("m", "largest", "max", tooltip="one plot as large as it gets; then the next"),
        Binding("h", "health", "health", tooltip="how the layers fare, all alerts; or the curves"),
        Binding("escape", "back", "back", key_display="Esc", tooltip="show all plots again"),
    )

    def __init__(self, device: Device, recipes: Callable[[], Recipes]) -> None:
        super().__init__(device, recipes)
        self.watched: Watch | None = None
        self.run_view = RunView()
        self._facts = Readout(id="facts")
        self._setup_share: float | None = None
        self._settings: Settings | None = None
        self._seen_state = self.state

    def compose(self) -> ComposeResult:
        """Its parts, from top to bottom."""
        yield self.problem
        with Container(id="main"):
            with Container(id="side"):
                with Container(id="settings", classes="box") as box:
                    box.border_title = "settings"
                    yield self.form
                yield self._facts
            with Container(id="view"):
                yield Hint(
                    "Train a small transformer on real text.",
                    ("r", "train with these settings"),
                    ("i", "change the settings"),
                    ("f", "forecast what they take"),
                    ("q", "leave; a running job is saved"),
                )
                yield self.plan
                yield self.run_view

    def on_resize(self) -> None:
        """Fit what is shown to the new size."""
        self.run_view.curves.again()
        self.call_after_refresh(self.look_again)

    # Keys.

    def can(self, action: str) -> bool:
        """See `Pane.can`."""
        has_begun = self.limits is not None
        if (can := self.can_control(action, has_begun=has_begun)) is not None:
            return can
        match action:
            case "train":
                return not self.is_training
            case "forecast":
                return not self.is_active
            case "log" | "smooth" | "baselines" | "largest" | "health":
                return self.watched is not None and not self.is_planning
            case "back":
                view = self.run_view
                return bool(view.curves.largest) or view.shows_health or self._wants_plan
        return self.is_active and self.state != "stopping"

    def way_out(self) -> str:
        """See `Pane.way_out`."""
        return "In the Train pane, p pauses it and s stops it."

    def do_train(self) -> None:
        """Start a run with the settings in the form; a probe that is being made is stopped."""

        def make() -> Session:
            self._config = self.form.config()
            return self.recipes().training(self._config)

        self._begin(make)

    def resume(self, run: str) -> None:
        """Go on with a run, under the curves of its past."""
        self._begin(lambda: self.recipes().resuming(run))

    def fork(self, run: str, changes: dict[str, Any]) -> None:
        """Go on from a checkpoint of a run, as a new run with other settings."""
        self._begin(lambda: self.recipes().forking(run, **changes))

    def _begin(self, make: Callable[[], Session]) -> None:
        from minitf_tui.watch import Watch

        run = Watch(self._config or QUICK)

        def begun() -> Session:
            if self.is_training:
                raise RunGoingOnError(
                    "A run is going on in the Train pane.", hint="There s stops and saves it."
                )
            session = make()
            run.config = self._config or QUICK
            if self.job and self.is_active:
                self.job.stop()
            return session

        self.JOB = type(self).JOB
        if self.launch(begun, run.collect):
            self.watched, self.is_probe, self._wants_plan = run, False, False
            self.run_view.begin(run)
            self.settle()
            self.look_again()

    def do_forecast(self) -> None:
        """Time some real steps of the settings in the form."""
        super().do_forecast()
        self.set_class(self.watched is not None, "-started")
        self.look_again()

    @property
    def limits(self) -> RunStarted | None:
        """See `ControllingPane.limits`."""
        return self.watched.started if self.watched else None

    def saving(self) -> None:
        """See `ControllingPane.saving`."""
        self.run_view.saving()

    def do_log(self) -> None:
        """Logarithmic loss, or not."""
        self._like(log_y=not self.run_view.curves.log_y)

    def do_smooth(self) -> None:
        """The next level of smoothing; after the last one, none."""
        self._like(smoothing=next_level(self.run_view.curves.smoothing))

    def do_health(self) -> None:
        """How the layers fare, in the place of the curves; or the curves again."""
        self.run_view.show_health(not self.run_view.shows_health)
        self.call_after_refresh(self.look_again)
        self.app.refresh_bindings()

    def do_baselines(self) -> None:
        """Baselines in the plot of the loss, or not."""
        self._like(baselines=not self.settings.baselines)

    def do_largest(self) -> None:
        """The next plot as large as it gets; after the last one, all of them."""
        self.run_view.show_health(False)
        self.run_view.curves.enlarge_next()
        self._show_largest()

    def do_back(self) -> None:
        """From one plot to all of them, and from the plan to the run."""
        self.run_view.curves.enlarge("")
        self.run_view.show_health(False)
        super().do_back()
        self._show_largest()

    def _show_largest(self) -> None:
        self.set_class(bool(self.run_view.curves.largest), "-one")
        self.call_after_refresh(self.look_again)
        self.app.refresh_bindings()

    def _like(self, **changes: Any) -> None:
        self.change_settings(**changes)
        self.look_again()

    def _look_at_settings(self) -> None:
        settings = self.settings
        if settings is not self._settings:
            self._settings = settings
            self.plan.dots = settings.dots
            self.run_view.curves.be_like(settings)
            self.pace.hurry()

    # News.

    def hear(self, event: Event) -> None:
        """See `Pane.hear`."""
        self._setup_share = getattr(event, "share", None)
        if self.is_probe:
            self.hear_of_probe(event)
        elif self.watched is not None:
            self._hear_of_run(event, self.watched)
        self.look_again()

    def _hear_of_run(self, event: Event, run: Watch) -> None:
        run.hear(event)
        plan: Plan = ()
        if isinstance(event, RunStarted | ReturnedToCheckpoint | Controlled):
            steps = run.started.steps if run.started else 0
            plan = course.lowered(self.planned(run.config, steps), run.lr_factor)
        if isinstance(event, RunStarted):
            self._facts.show(readings.run_group(event))
            self.app.refresh_bindings()
        elif isinstance(event, CheckpointFailed):
            self.complain(unsaved(event))
        elif isinstance(event, CheckpointSaved) and isinstance(self.error, StoreError):
            self.complain(None)
        if run.problem is not None:
            self.complain(run.problem)
        self.run_view.hear(event, run, plan)

    def over(self) -> None:
        """See `Pane.over`."""
        if isinstance(self.error, RunGoingOnError):
            self.complain(None)
        if self.is_probe:
            self.plan.is_over()
        elif self.watched and not self.watched.ending:
            self.watched.ending = "ended by a problem" if self.error else "stopped"
        self.settle()
        self.look_again()

    @property
    def share(self) -> float | None:
        """See `Pane.share`."""
        return self.watched.share if self.watched and self.is_training else None

    # What is seen.

    def tick(self) -> None:
        """See `Pane.tick`."""
        self._look_at_settings()
        if self.job is None:
            return
        if self.state != self._seen_state:
            self._seen_state = self.state
            self.pace.hurry()
            self.app.refresh_bindings()
        if self.pace.is_due:
            with self.pace.measured():
                self._show()

    def look_again(self) -> None:
        """Show at once what changed by a key or by rare news."""
        self.pace.hurry()
        self.tick()

    def _show(self) -> None:
        if self.is_probe:
            self.show_probe(self._setup_share)
        elif self.watched:
            share = self._setup_share if self.stage else self.share
            self.run_view.show(self.watched, self.state, self.stage, self.waited, share)
