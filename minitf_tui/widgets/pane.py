"""What all panes share: a job on the device, its news, and a place for problems."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from textual import on
from textual.binding import Binding
from textual.containers import Container
from textual.message import Message
from textual.widgets import Static

from core.config import BenchConfig, RunConfig, SamplingConfig
from core.events import Event, SetupProgressed
from minitf_tui.job import Device, DeviceBusyError, Job
from minitf_tui.pacing import Pace
from minitf_tui.problems import explain
from minitf_tui.widgets.form import Form

if TYPE_CHECKING:
    from core.kept_run import KeptRun
    from core.recipes import Session
    from minitf_tui.settings import Settings

Collector = Callable[[Event], bool]

RUN = "run"
"""Name of the form's row for the run to work with."""
STOP = Binding("s", "stop", "stop", tooltip="stop the job of this pane")


def sends_all(_event: Event) -> bool:
    """The collector that keeps nothing."""
    return False


class Recipes(Protocol):
    """The part of `core.recipes` that the app needs. None of these does any work yet."""

    def training(self, config: RunConfig, *, name: str | None = None) -> Session:
        """See `core.recipes.training`."""

    def resuming(self, run: str = "last") -> Session:
        """See `core.recipes.resuming`."""

    def forking(self, run: str = "last", *, name: str | None = None, **changes: Any) -> Session:
        """See `core.recipes.forking`."""

    def forecasting(self, config: RunConfig) -> Session:
        """See `core.recipes.forecasting`."""

    def planned_lr(self, config: RunConfig, *, steps: int | None = None) -> Any:
        """See `core.recipes.planned_lr`."""

    def evaluation(self, run: str = "last", *, text: Any = None, stride: int = 0) -> Session:
        """See `core.recipes.evaluation`."""

    def generation(
        self,
        run: str = "last",
        sampling: SamplingConfig | None = None,
        *,
        kept: KeptRun | None = None,
    ) -> Session:
        """See `core.recipes.generation`."""

    def proving(self, run: str = "last", sampling: SamplingConfig | None = None) -> Session:
        """See `core.recipes.proving`."""

    def benchmarking(self, run: str = "last", bench: BenchConfig | None = None) -> Session:
        """See `core.recipes.benchmarking`."""

    def exporting(
        self,
        run: str = "last",
        *,
        format: str = "hf",
        out: Any = None,
        number_type: str = "f32",
        overwrite: bool = False,
    ) -> Session:
        """See `core.recipes.exporting`."""

    def importing(
        self,
        source: Any,
        *,
        name: str | None = None,
        tokenizer: Any = None,
        corpus: str = "python-docs",
        max_seq_len: int = 0,
    ) -> Session:
        """See `core.recipes.importing`."""

    def dueling(
        self,
        a: str | RunConfig,
        b: str | RunConfig | None = None,
        *,
        name: str | None = None,
        seeds: int = 1,
        changes: Any = None,
        changes_b: Any = None,
    ) -> Session:
        """See `core.recipes.dueling`."""

    def estimate(self, config: RunConfig) -> Any:
        """See `core.recipes.estimate`."""


class Pane(Container):
    """One of the rooms. At most one job at a time; its numbers stay when it has ended."""

    NAME: ClassVar[str]
    JOB: str
    """What its job is called in a sentence: "generation"."""
    KEYS: ClassVar[tuple[Binding, ...]]
    """Its keys: `description` is for the footer, `tooltip` for the help. An action is the name of
    a `do_` method; the app binds the keys while the pane is shown."""
    HAS_FORM: ClassVar[bool] = True

    class News(Message):
        """A rare event of a job."""

        def __init__(self, job: Job, event: Event) -> None:
            super().__init__()
            self.job, self.event = job, event

    class Ended(Message):
        """A job is over."""

        def __init__(self, job: Job, error: BaseException | None) -> None:
            super().__init__()
            self.job, self.error = job, error

    def __init__(self, device: Device, recipes: Callable[[], Recipes]) -> None:
        super().__init__(id=self.NAME)
        self.device, self.recipes = device, recipes
        self.job: Job | None = None
        self.stage = ""
        """What is being prepared; empty once the job proper has begun."""
        self._began = 0.0
        self._pace = Pace()
        self.error: BaseException | None = None
        self.problem = Static("", id="problem", markup=False)
        """The place for problems; nothing of it shows while there are none."""
        self.problem.display = False

    # What a pane adds.

    def hear(self, event: Event) -> None:
        """A rare event of the job that is shown."""

    def tick(self) -> None:
        """Twenty times a second while the pane is shown."""

    def can(self, action: str) -> bool:
        """True when the key of that action does something now."""
        return self.is_active == (action == "stop")

    def act(self, action: str) -> None:
        """Do what a key asks for."""
        getattr(self, f"do_{action}")()

    # What it gets.

    @property
    def is_active(self) -> bool:
        """True while its job is not over."""
        return self.job is not None and not self.job.finished.is_set()

    @property
    def state(self) -> str:
        """The state of its job; "empty" before the first one."""
        return self.job.state if self.job else "empty"

    @property
    def share(self) -> float | None:
        """How much of the job is done, for the top line."""
        return None

    @property
    def waited(self) -> str:
        """How long preparing has taken so far; empty once the job proper has begun."""
        return f"{time.monotonic() - self._began:.0f} s" if self.stage else ""

    def edit(self) -> None:
        """Into the fields."""
        self.query_one(Form).edit()

    @property
    def settings(self) -> Settings:
        """How somebody likes the app."""
        return self.app.settings  # type: ignore[attr-defined]

    def change_settings(self, **changes: Any) -> None:
        """Like it another way, in every pane and the next time."""
        self.app.change_settings(**changes)  # type: ignore[attr-defined]

    @property
    def pace(self) -> Pace:
        """When its plots may be drawn again, for the share of the processor that is granted."""
        self._pace.share = self.settings.plot_share
        return self._pace

    def use_run(self, name: str) -> None:
        """Work with that run from now on."""
        form = self.query(Form)
        if form and RUN in form.first().texts():
            form.first().fill({RUN: name})

    def launch(self, make: Callable[[], Session], collect: Collector = sends_all) -> bool:
        """Start a job; False, with the reason in the pane, when that cannot be.

        Args:
            make: the session; what it raises is shown.
            collect: keeps a frequent event and returns True, in the worker; every other event
                is sent to `hear`.
        """

        def listen(job: Job, event: Event) -> None:
            if not collect(event):
                self.post_message(self.News(job, event))

        try:
            job = Job(
                self.device,
                make(),
                title=self.JOB,
                way_out=self.way_out(),
                on_event=listen,
                on_end=self._ended_in_worker,
            )
            self.device.start(job)
        except Exception as error:  # shown in the pane, whatever it is
            self.complain(error)
            return False
        self.complain(None)
        self.job, self.stage, self._began = job, "starting", time.monotonic()
        self.set_class(True, "-started")
        self.app.refresh_bindings()
        return True

    def way_out(self) -> str:
        """How somebody in another pane can free the device."""
        return f"Stop it with s in the {self.NAME.capitalize()} pane."

    def complain(self, error: BaseException | None) -> None:
        """Keep a problem in the pane until it is solved; None takes it away."""
        self.error = error
        self.problem.update(explain(error) if error else "")
        self.problem.display = error is not None

    def look_at_device(self) -> None:
        """Take back that the device is busy, once it is not."""
        if isinstance(self.error, DeviceBusyError) and self.device.is_free:
            self.complain(None)

    def do_stop(self) -> None:
        """The key that ends the job."""
        if self.job:
            self.job.stop()
            self.app.refresh_bindings()

    def _ended_in_worker(self, job: Job, error: BaseException | None) -> None:
        self.post_message(self.Ended(job, error))

    @on(News)
    def _heard(self, message: News) -> None:
        if message.job is not self.job:  # a stopped job may still have news in the queue
            return
        event = message.event
        self.stage = event.stage if isinstance(event, SetupProgressed) else ""
        self.hear(event)

    @on(Ended)
    def _ended(self, message: Ended) -> None:
        if message.job is not self.job:
            return
        self.stage = ""
        if message.error is not None:
            self.complain(message.error)
        self.over()
        self.app.refresh_bindings()

    def over(self) -> None:
        """The job has ended, well or not."""
        self.tick()
