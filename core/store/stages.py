"""Set-up work that tells how far it is, and ends when it is asked to.

Work is a generator of shares (None where a share cannot be known) that returns a result.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from typing import TypeVar

from core.events import SetupProgressed

R = TypeVar("R")
IsStopping = Callable[[], bool]
Telling = Generator[SetupProgressed, None, R]

SMALLEST_PROGRESS = 0.005
"""Between two events: whoever listens is not flooded."""


class Stopped(Exception):  # noqa: N818
    """Somebody asked for an end. Goes through the work, so that nothing half done is kept."""


def never() -> bool:
    """Nobody asks for an end."""
    return False


def telling(
    stage: str, work: Generator[float | None, None, R], is_stopping: IsStopping
) -> Telling[R]:
    """Do `work` and tell its shares as progress of `stage`.

    Raises:
        Stopped: `is_stopping` said so between two parts of it.
    """
    yield SetupProgressed(stage=stage)
    told = 0.0
    with closing(work):
        while not is_stopping():
            try:
                share = next(work)
            except StopIteration as end:
                return end.value
            if share is not None and share - told >= SMALLEST_PROGRESS:
                told = share
                yield SetupProgressed(stage=stage, share=share)
    raise Stopped


def outcome(work: Telling[R]) -> Telling[R | None]:
    """`work`, with None as its result when it was stopped."""
    try:
        return (yield from work)
    except Stopped:
        return None
