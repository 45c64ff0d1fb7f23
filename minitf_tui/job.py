"""The one device, and the jobs that take turns on it.

A job pulls a session's generator in a thread of its own. To pause it stops pulling, at an
event boundary, and hands the device on; the generator is kept. A session that takes commands is
told so, and pulled until it says that nothing is left to do (`Paused`); then it is asked now and
then whether another process wants something of it. Only the worker takes and leaves the device,
so no job begins while a step of another is still being computed.

Threads: the screen calls `start pause resume step save stop control`; the callbacks `on_event`
and `on_end` are called in the worker and must not block.
"""

from __future__ import annotations

import contextvars
import gc
import itertools
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

from core.config import Command
from core.errors import MinitfError
from core.events import (
    CheckpointFailed,
    CheckpointSaved,
    Controlled,
    EvaluationProgressed,
    Event,
    Paused,
    RepetitionCompleted,
    RunStarted,
    SetupProgressed,
    StepCompleted,
    TokenGenerated,
)

if TYPE_CHECKING:
    from core.recipes import Session

Listener = Callable[["Job", Event], None]
Ending = Callable[["Job", BaseException | None], None]

STEPS = (StepCompleted, EvaluationProgressed, TokenGenerated, RepetitionCompleted)
"""The event that ends a step, of each kind of job."""
LOOK_S = 0.25
"""Between two looks at what other processes want of a paused job."""


class DeviceBusyError(MinitfError):
    """Another job has the device."""


class Device:
    """The slot that one job holds while it computes."""

    def __init__(self) -> None:
        self._turn = threading.Condition()
        self._holder: Job | None = None
        self._queue: list[Job] = []
        self._jobs: list[Job] = []

    @property
    def jobs(self) -> list[Job]:
        """Jobs that are not finished, oldest first."""
        self._jobs = [job for job in self._jobs if not job.finished.is_set()]
        return self._jobs

    @property
    def is_free(self) -> bool:
        """True when a job may start."""
        return all(job.is_leaving for job in self.jobs)

    def start(self, job: Job) -> None:
        """Start `job` now, or as soon as a job that is already leaving has left.

        Raises:
            DeviceBusyError: another job has the device and means to keep it.
        """
        keeping = [other for other in self.jobs if not other.is_leaving]
        if keeping:
            raise DeviceBusyError(
                f"The device is busy: {keeping[0].title} is running.", hint=keeping[0].way_out
            )
        self._jobs.append(job)
        job.start()

    def take(self, job: Job) -> None:
        """Wait until nobody holds the device, then hold it; in the worker."""
        with self._turn:
            self._queue.append(job)
            self._turn.wait_for(lambda: self._holder is None and self._queue[0] is job)
            self._queue.remove(job)
            self._holder = job

    def leave(self, job: Job) -> None:
        """Let the next one in; in the worker."""
        with self._turn:
            if self._holder is job:
                self._holder = None
            self._turn.notify_all()

    def stop_all(self) -> None:
        """Ask every job to end, saving what it has."""
        for job in self.jobs:
            job.stop()

    def wait(self, seconds: float) -> bool:
        """True when every job has ended within that time."""
        end = time.monotonic() + seconds
        return all(job.finished.wait(max(0.0, end - time.monotonic())) for job in self.jobs)


class Job:
    """A session, its thread, and where it stands."""

    _ids = itertools.count(1)

    def __init__(
        self,
        device: Device,
        session: Session,
        *,
        title: str,
        way_out: str,
        on_event: Listener,
        on_end: Ending,
    ) -> None:
        self.id = next(self._ids)
        self.title = title
        self.way_out = way_out
        """Which key frees the device, as a sentence."""
        self.finished = threading.Event()
        self._device, self._session = device, session
        self._on_event, self._on_end = on_event, on_end
        self._change = threading.Condition()
        self._may_run = True
        self._owes_step = False
        self._owes_save = False
        self._has_commands = False
        """Whether a session that takes them has not obeyed all that it was told."""
        self._has_begun = False
        self._stopping = False
        self._holds_device = False

    @property
    def state(self) -> str:
        """`waiting running pausing paused stopping finished`."""
        if self.finished.is_set():
            return "finished"
        if self._stopping:
            return "stopping"
        if not self._may_run:
            return "pausing" if self._holds_device else "paused"
        return "running" if self._holds_device else "waiting"

    @property
    def is_leaving(self) -> bool:
        """True when the device is free of this job, or will be soon."""
        return self.state in ("pausing", "paused", "stopping", "finished")

    def start(self) -> None:
        """Begin, in a thread that still knows which app it belongs to."""
        context = contextvars.copy_context()
        threading.Thread(
            target=context.run, args=(self._work,), name=f"job-{self.id}", daemon=True
        ).start()

    def pause(self) -> None:
        """Leave the device after the step that is being computed."""
        self._may_run = False
        self.control(Command(action="pause"))

    def resume(self) -> None:
        """Go on as soon as the device is free."""
        self.control(Command(action="resume"))  # before it is pulled, which waits for a command
        with self._change:
            self._may_run = True
            self._change.notify()

    def step(self) -> None:
        """Take one step, as soon as the device is free, and pause again; if it is paused."""
        if self.state == "paused" and not self.control(Command(action="step")):
            with self._change:
                self._owes_step = True
                self._change.notify()

    def save(self) -> None:
        """Keep a checkpoint before another step is taken; a paused job stays paused. A job
        that has nothing to save ignores it."""
        with self._change:
            self._owes_save = self._session.save()
            self._change.notify()

    def stop(self) -> None:
        """End soon; a paused job too. Training saves a checkpoint first."""
        self._stopping = True
        self._session.stop()
        with self._change:
            self._may_run = True
            self._change.notify()

    def control(self, command: Command) -> bool:
        """Have the session obey before another step is taken; whether it takes commands, which
        none does before it has begun."""
        with self._change:
            is_taken = self._has_begun and self._session.control(command)
            self._has_commands |= is_taken
            self._change.notify()
        return is_taken

    def _work(self) -> None:
        error: BaseException | None = None
        try:
            self._take_device()
            self._pull()
        except BaseException as caught:  # shown in the pane, whatever it is
            error = caught
        finally:
            self._leave_device()
            self.finished.set()
            self._on_end(self, error)

    def _pull(self) -> None:
        with closing(self._session.run()) as events:
            for event in events:
                if not isinstance(event, SetupProgressed):
                    freeze_imports()
                self._on_event(self, event)
                self._settle(event)
                if not self._may_move():
                    self._sit_out()

    def _settle(self, event: Event) -> None:
        """What is owed is done when the session says so."""
        with self._change:
            if isinstance(event, STEPS):
                self._owes_step = False
            if isinstance(event, CheckpointSaved | CheckpointFailed):
                self._owes_save = False
            self._has_begun |= isinstance(event, RunStarted)
            if isinstance(event, Controlled) and event.action in ("pause", "resume", "step"):
                self._may_run = self._stopping or event.action == "resume"
                self._has_commands = True
            if isinstance(event, Paused):  # which a command that came meanwhile is not
                self._has_commands = self._session.has_news()

    def _may_move(self) -> bool:
        return self._may_run or self._owes_step or self._owes_save or self._has_commands

    def _sit_out(self) -> None:
        self._leave_device()
        self._take_device()

    def _take_device(self) -> None:
        """Hold it, with leave to move: that may be withdrawn while others hold it."""
        while not self._holds_device:
            while not self._is_wanted():
                has_news = self._has_begun and self._session.has_news()
                with self._change:
                    self._has_commands |= has_news
            self._device.take(self)
            self._holds_device = True
            if not self._may_move():
                self._leave_device()

    def _is_wanted(self) -> bool:
        """Wait until it may move; False after a moment in which that did not come."""
        with self._change:
            return self._change.wait_for(self._may_move, LOOK_S)

    def _leave_device(self) -> None:
        self._holds_device = False
        self._device.leave(self)


_frozen = threading.Event()
COLLECTIONS = (2_000, 10, 500)
"""Python's own are (700, 10, 10): then the whole of the screen's objects is searched every few
seconds, for about 0.1 s, and a key waits that long."""


def freeze_imports() -> None:
    """Once torch is there: keep the garbage collector away from its 100,000s of objects.

    Without this a collection stops the screen for about 0.1 s every few seconds.
    """
    if not _frozen.is_set() and "torch" in sys.modules:
        _frozen.set()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECTIONS)
