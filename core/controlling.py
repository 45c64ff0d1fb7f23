"""Runs that are under way, perhaps in another process: control them, see how they stand; fork
any run. The calls of the library, beside those of `core.api`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core import recipes
from core.api import OnEvent, drive
from core.config import read_command
from core.errors import RunError
from core.events import TrainResult
from core.store import inbox
from core.store.find import find_run, split_spec
from core.store.metrics import read_last_metrics
from core.store.run import Run
from core.store.underway import RunStatus, is_trained, status_of

POLL_S = 0.05
WAIT_S = 10.0
"""How long whoever asks waits for an answer: longer than any but a very long step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of a command. Same fields as `minitf ctl RUN ... --json`."""

    run: str
    words: str
    """As the run understood them."""
    step: int | None
    """The last one that was taken before; None if the run has not obeyed yet."""
    lr_factor: float | None = None
    """On the schedule's learning rate from there."""
    steps: int | None = None
    """Budget from there; 0 is no limit."""
    seconds: float | None = None
    """Budget from there; 0 is no limit."""


def control(
    run: str = "last",
    *words: str | float,
    wait_s: float = WAIT_S,
    sleep: Callable[[float], None] = time.sleep,
) -> Answer:
    """Command a run that some process is training: `control("last", "lr", 0.5)`.

    Args:
        words: "pause", "resume", "step", "save", "stop", "sample", "lr" and a factor, "budget"
            and "+500", "-30" or "=2000" and "steps", "seconds" or "tokens"; without a unit, that of
            the only limit.
        wait_s: for the run to obey. A command that it has not taken by then stays asked.

    Raises:
        ConfigError: the words are no command.
        RunError: there is no such run, or nobody trains it.
    """
    command = read_command([str(word) for word in words])
    found = _named(run)
    check_trained(found)
    id, shown = inbox.send(found.path, command), " ".join(command.words)
    for _ in range(max(1, round(wait_s / POLL_S))):
        for event in reversed([] if inbox.is_waiting(found.path, id) else _answers(found)):
            if event.get("asked") == id:
                known = {name: event.get(name) for name in ("lr_factor", "steps", "seconds")}
                return Answer(
                    run=found.name,
                    words=str(event.get("words") or shown),
                    step=event["step"],
                    **known,
                )
        sleep(POLL_S)
    if not is_trained(found) and inbox.take_back(found.path, id):
        check_trained(found)
    return Answer(run=found.name, words=shown, step=None)


def status(run: str = "last") -> RunStatus:
    """How a run stands: its step, loss and rate, and how long it will take.

    Raises:
        RunError: there is no such run.
    """
    return status_of(_named(run))


def fork(
    run: str = "last", *, name: str | None = None, on_event: OnEvent | None = None, **changes: Any
) -> TrainResult:
    """Go on from a checkpoint of a run, as a new run with other settings; see
    `core.recipes.forking`.

    Args:
        run: `NAME@STEP` for a checkpoint that is not the newest.
        changes: `lr=3e-4`, `steps=4000`, `schedule="linear"`, …

    Raises:
        MinitfError: there is no such checkpoint, or a setting cannot change.
    """
    return drive(recipes.forking(run, name=name, **changes), on_event)


def check_trained(run: Run) -> None:
    """Refuse a run that nobody trains.

    Raises:
        RunError: it is one.
    """
    if not is_trained(run):
        raise RunError(
            f"The run {run.name} is not under way, so it cannot be controlled.",
            hint=f"Go on with it: minitf train --resume {run.name}",
        )


def _answers(run: Run) -> list[dict[str, Any]]:
    return [event for event in read_last_metrics(run.path) if event["event"] == "Controlled"]


def _named(spec: str) -> Run:
    name, step = split_spec(spec)
    if step:
        raise RunError(
            f"A whole run is controlled, not the checkpoint {spec!r}.",
            hint=f"Leave out @{step}; minitf train --fork {spec} makes a new run of it.",
        )
    return find_run(name, needs_checkpoint=False).run
