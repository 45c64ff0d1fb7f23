"""What can be run, watched, stopped and saved: the sessions that `core.recipes` makes.

A session is made at once and costs nothing; all work, and every error, happens while its
events are pulled.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Generic, Protocol, TypeVar

from core.config import Command
from core.events import Event, TrainEvent
from core.training.wishes import Wishes

E = TypeVar("E", bound=Event)
R = TypeVar("R")


class Session(Protocol):
    """A job that tells what it does."""

    def run(self) -> Generator[Event, None, None]:
        """Do it. Pull from one thread; not pulling is a pause. Call once."""
        ...

    def stop(self) -> None:
        """Ask for an early, orderly end. Safe from any thread and from signal handlers."""
        ...

    def save(self) -> bool:
        """Ask for a checkpoint at the next step boundary: before another step is taken, and
        also when nobody pulls at the moment, as soon as somebody does.

        Returns:
            Whether this job has anything to save. Safe like `stop`.
        """
        ...

    def control(self, command: Command) -> bool:
        """Have a command obeyed at the next step boundary; `core.config.ACTIONS` are known.

        Returns:
            Whether this job takes commands; it tells `Controlled` when it obeys one, and
            `Paused` when nothing is left to do before another. Safe like `stop`.
        """
        ...

    def has_news(self) -> bool:
        """Whether a paused job, if somebody pulled, would do something: it was commanded to,
        perhaps by another process. From the thread that pulls."""
        ...


class Job(Generic[E]):
    """A session made of a generator function, which is given a way to see the wish to stop."""

    def __init__(self, work: Callable[[Callable[[], bool]], Generator[E, None, None]]) -> None:
        self._work = work
        self._is_stopping = False

    def run(self) -> Generator[E, None, None]:
        """See `Session.run`."""
        return self._work(lambda: self._is_stopping)

    def stop(self) -> None:
        """See `Session.stop`."""
        self._is_stopping = True

    def save(self) -> bool:
        """Nothing to save: what it finds is kept when it is complete."""
        return False

    def control(self, command: Command) -> bool:
        """It takes no commands, but to stop."""
        if command.action == "stop":
            self.stop()
        return command.action == "stop"

    def has_news(self) -> bool:
        """See `Session.has_news`."""
        return False


class TrainingJob(Job[TrainEvent]):
    """A session that can be controlled on the way."""

    def __init__(self, work: Callable[[Wishes], Generator[TrainEvent, None, None]]) -> None:
        self._wishes = Wishes()
        super().__init__(lambda _: work(self._wishes))

    def stop(self) -> None:
        """See `Session.stop`."""
        self._wishes.stop()

    def save(self) -> bool:
        """See `Session.save`."""
        self._wishes.save()
        return True

    def control(self, command: Command) -> bool:
        """See `Session.control`."""
        self._wishes.ask(command)
        return True

    def has_news(self) -> bool:
        """See `Session.has_news`."""
        return self._wishes.has_news()


def until(
    is_stopping: Callable[[], bool], work: Generator[E, None, R]
) -> Generator[E, None, R | None]:
    """Pass on what `work` tells and return its result, or None if it was cut short."""
    while True:
        try:
            event = next(work)
        except StopIteration as end:
            return None if is_stopping() else end.value
        yield event
        if is_stopping():
            work.close()
            return None
