"""The Train pane: settings, and a run that is watched while it learns.

The worker fills a `History`; twenty times a second the pane looks at it. Plots are redrawn when
their share of the processor allows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.content import Content
from textual.events import DescendantBlur
from textual.widgets import Static

from core.config import RunConfig
from core.errors import MinitfError, StoreError
from core.events import (
    CheckpointFailed,
    CheckpointSaved,
    Diverged,
    Event,
    RunFinished,
    RunStarted,
    SampleCompleted,
    StepCompleted,
    ValidationCompleted,
)
from core.presets import QUICK
from minitf_tui import format as fmt
from minitf_tui import readings
from minitf_tui.figure import Figure
from minitf_tui.job import Device
from minitf_tui.pacing import Pace
from minitf_tui.problems import unsaved
from minitf_tui.sanitize import clean, clean_line
from minitf_tui.widgets.form import Form
from minitf_tui.widgets.hint import Hint
from minitf_tui.widgets.pane import Pane, Recipes
from minitf_tui.widgets.plot import Plot, dots_for_terminal
from minitf_tui.widgets.readout import Progress, Readout
from minitf_tui.widgets.run_form import RunForm

if TYPE_CHECKING:
    from minitf_tui.history import History


class TrainPane(Pane):
    """Train a model and watch it learn."""

    NAME = "train"
    JOB = "training"
    KEYS = (
        Binding("r", "train", "run", tooltip="start a run with these settings"),
        Binding("p", "pause", "pause", tooltip="pause or go on; the device is free meanwhile"),
        Binding("s", "stop", "stop", tooltip="save and stop"),
        Binding("y", "log", "log scale", tooltip="loss on a logarithmic scale, or not"),
    )

    def __init__(self, device: Device, recipes: Callable[[], Recipes]) -> None:
        super().__init__(device, recipes)
        self.history: History | None = None
        self.started: RunStarted | None = None
        self._config: RunConfig = QUICK
        self._saved_step: int | None = None
        self._ending = ""
        self._log_y = False
        self._pace = Pace()
        self._seen_state = self.state
        self._drawn: tuple[int, int] = (-1, -1)
        self._dots = dots_for_terminal()
        self.form = RunForm(lambda config: self.recipes().estimate(config))
        self._bar = Progress()
        self._numbers = Readout(id="numbers")
        self._facts = Readout(id="facts")
        self._loss = Plot(Figure("loss"), id="loss")
        self._lr = Plot(Figure("lr"), id="lr")
        self._grad = Plot(Figure("grad norm"), id="grad")
        self._sample = Static("", id="sample", markup=False)
        self._sample_box = Container(self._sample, id="sample-box", classes="box")

    def compose(self) -> ComposeResult:
        yield self.problem
        with Container(id="main"):
            with Container(id="side"):
                with Container(id="settings", classes="box"):
                    yield self.form
                yield self._facts
            with Container(id="view"):
                yield Hint(
                    "Train a small transformer on real text.",
                    ("r", "train with these settings"),
                    ("i", "change the settings"),
                    ("q", "leave; a running job is saved"),
                )
                yield self._bar
                yield self._numbers
                with Container(id="plots"):
                    yield self._loss
                    with Container(id="small"):
                        yield self._lr
                        yield self._grad
                yield self._sample_box

    def on_mount(self) -> None:
        self.query_one("#settings").border_title = "settings"
        self._sample_box.border_title = "sample"

    def edit(self) -> None:
        self.add_class("-editing")
        self.call_after_refresh(super().edit)

    @on(DescendantBlur)
    def _left_a_field(self) -> None:
        if self.app.focused is None:
            self.remove_class("-editing")

    @on(Form.Submitted)
    def _submitted(self) -> None:
        if self.can("train"):
            self.do_train()

    # Keys.

    def can(self, action: str) -> bool:
        if action == "train":
            return not self.is_active
        if action == "pause":
            return self.is_active and self.state != "stopping"
        if action == "log":
            return self.history is not None
        return self.is_active and self.state != "stopping"

    def way_out(self) -> str:
        return "In the Train pane, p pauses it and s stops it."

    def do_train(self) -> None:
        """Start a run with the settings in the form."""
        from minitf_tui.history import History

        history = History()

        def collect(event: Event) -> bool:
            if isinstance(event, StepCompleted):
                history.add_step(event)
                return True
            if isinstance(event, ValidationCompleted):
                history.add_validation(event)
            return False

        def make() -> Any:
            self._config = self.form.config()
            return self.recipes().training(self._config)

        if self.launch(make, collect):
            self.history, self.started, self._saved_step = history, None, None
            self._ending, self._drawn = "", (-1, -1)
            self._sample.update(self._sample_awaited())
            self._sample_box.border_title = "sample"
            self.look_again()

    def do_pause(self) -> None:
        """Leave the device after this step, or take it again."""
        if self.job is None:
            return
        if self.state in ("paused", "pausing"):
            self.job.resume()
        else:
            self.job.pause()
        self.app.refresh_bindings()
        self.look_again()

    def do_log(self) -> None:
        """Logarithmic loss, or not."""
        self._log_y = not self._log_y
        self._drawn = (-1, -1)
        self.look_again()

    # News.

    def hear(self, event: Event) -> None:
        match event:
            case RunStarted():
                self.started = event
                self._facts.show(readings.run_group(event))
                self._drawn = (-1, -1)
            case SampleCompleted():
                self._show_sample(event)
            case CheckpointSaved():
                self._saved_step = event.step
                if isinstance(self.error, StoreError):
                    self.complain(None)
            case CheckpointFailed():
                self.complain(unsaved(event))
            case Diverged():
                self._ending = f"diverged at step {event.step}"
                self.complain(_as_problem(event))
            case RunFinished():
                self._ending = readings.finish_line(event)
        self.look_again()

    def over(self) -> None:
        self.look_again()

    @property
    def share(self) -> float | None:
        if self.history is None or self.started is None or not self.is_active:
            return None
        return self.history.share_done(self.started.steps, self.started.seconds)

    # What is seen.

    def tick(self) -> None:
        if self.job is None:
            return
        if self.state != self._seen_state:
            self._seen_state = self.state
            self._pace.hurry()
        if not self._pace.is_due:
            return
        with self._pace.measured():
            self._show_progress()
            self._numbers.show(
                *readings.training_groups(self.history, self._saved_step, started=self.started)
            )
            history = self.history
            drawn = (len(history.steps), len(history.validations)) if history else (0, 0)
            if history and drawn[0] and drawn != self._drawn:
                self._drawn = drawn
                self._draw(history)

    def look_again(self) -> None:
        """Show at once what changed by a key or by rare news."""
        self._pace.hurry()
        self.tick()

    def _draw(self, history: History) -> None:
        dots = self._dots
        losses = readings.loss_figure(history, log_y=self._log_y, dots=dots)
        floor = self.started.floor_loss if self.started else None
        self._loss.show(readings.with_floor(losses, floor))
        for plot, name, title, log_y in (
            (self._lr, "lr", "learning rate", False),
            (self._grad, "grad_norm", "gradient norm (log)", True),
        ):
            plot.show(
                readings.step_figure(history, name, title, "secondary", dots=dots, log_y=log_y)
            )

    def _show_progress(self) -> None:
        name = f"{self.started.run}  " if self.started else ""
        line, right = self._ending or ("ended by a problem" if self.error else ""), ""
        if self.is_active and self.job:
            line = {
                "waiting": "waiting for the device",
                "pausing": "pausing after this step",
                "paused": "paused; p goes on",
                "stopping": "stopping and saving",
            }.get(self.state, self.stage or "training")
            left = self._seconds_left()
            right = f"{fmt.seconds(left)} left" if left is not None else self.waited
        self._bar.show(f"{name}{line}", self._bar_share(), right)

    def _bar_share(self) -> float | None:
        return self.share if self.is_active else None

    def _seconds_left(self) -> float | None:
        if self.history is None or self.started is None:
            return None
        return self.history.seconds_left(self.started.steps, self.started.seconds)

    def _sample_awaited(self) -> Content:
        interval = self._config.eval.sample_interval
        when = f"after step {interval}" if interval else "at the end"
        return Content.assemble((f"The model's first words come {when}.", "$quiet"))

    def _show_sample(self, event: SampleCompleted) -> None:
        prompt = clean_line(event.prompt)[-48:]
        text = "\n".join(line for line in clean(event.text).split("\n") if line.strip())
        self._sample.update(Content.assemble((prompt, "$quiet"), (text, "$foreground")))
        self._sample_box.border_title = f"sample at step {event.step:,}"


def _as_problem(event: Diverged) -> MinitfError:
    kept = (
        f"The checkpoint of step {event.checkpoint_step} is kept. "
        if event.checkpoint_step is not None
        else ""
    )
    return MinitfError(
        f"The run ended at step {event.step}: {event.what}.",
        hint=f"{kept}Try a lower lr, then press r.",
    )
