"""What a person asks of a run that is under way.

Commands stand in a queue from which the loop takes them between two steps. Asking takes no lock,
so it may be done from any thread and from a signal handler. Other processes ask by files
(`core.store.inbox`), at which the loop looks at most four times a second.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from core.config import Command

LOOK_S = 0.25
"""Between two looks at what other processes ask."""
STOP, SAVE = Command(action="stop"), Command(action="save")


class Wishes:
    """A queue of commands, and whether one of them was to stop."""

    def __init__(
        self,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._queue: deque[Command] = deque()
        self._is_stopping = False
        self._now, self._sleep = now, sleep
        self._look: Callable[[], list[Command]] = list
        self._due = 0.0

    def ask(self, command: Command) -> None:
        """Have it done at the next step boundary; to stop, as soon as may be."""
        if command.action != "stop" or not self._is_stopping:  # to stop, once is enough
            self._queue.append(command)
        self._is_stopping |= command.action == "stop"

    def stop(self) -> None:
        """End soon, in good order."""
        self.ask(STOP)

    def save(self) -> None:
        """Keep a checkpoint at the next step boundary."""
        self.ask(SAVE)

    def listen(self, look: Callable[[], list[Command]]) -> None:
        """Ask what `look` finds, too: it gives what came since it was called last."""
        self._look = look

    def is_stopping(self) -> bool:
        """Whether the run is to end; that wish stays."""
        self._hear()
        return self._is_stopping

    def has_news(self) -> bool:
        """Whether there is something to take."""
        self._hear()
        return bool(self._queue)

    def take(self) -> Command | None:
        """The oldest command that was not taken, if there is one."""
        self._hear()
        try:
            return self._queue.popleft()
        except IndexError:
            return None

    def wait(self) -> None:
        """Sleep for a moment, unless there is something to take."""
        if not self.has_news():
            self._sleep(LOOK_S)

    def _hear(self) -> None:
        now = self._now()
        if now >= self._due:
            self._due = now + LOOK_S
            for command in self._look():
                self.ask(command)
