"""Configs held against each other: the calls of the library, beside those of `core.api`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core import recipes
from core.api import OnEvent
from core.config import RunConfig
from core.errors import MinitfError
from core.events import Duel, DuelCompleted, Sweep, SweepCompleted
from core.interrupts import stopped_by_interrupt


def duel(
    a: RunConfig | str,
    b: RunConfig | str | None = None,
    *,
    b_changes: Mapping[str, Any] | None = None,
    seeds: int = 1,
    name: str | None = None,
    on_event: OnEvent | None = None,
    **changes: Any,
) -> Duel:
    """Let two configs learn in lockstep on the same batches; see `core.recipes.dueling`.

    Args:
        a: a config, or the name of a preset, a TOML file or a run.
        b: by default the same as `a`, for `b_changes` to change.
        changes: fields to replace in both, named as on the command line: `steps`, `corpus`, …

    Raises:
        MinitfError: the two cannot learn from the same batches, or it was stopped before it began.
    """
    session = recipes.dueling(
        a, b, name=name, seeds=seeds, changes=changes, changes_b=b_changes or {}
    )
    found: Duel | None = None
    with stopped_by_interrupt(session.stop):
        for event in session.run():
            if on_event is not None:
                on_event(event)
            if isinstance(event, DuelCompleted):
                found = event.result
    if found is None:
        raise MinitfError("The duel was stopped before it began.", hint="Start it again.")
    return found


def sweep(
    file: str | Path,
    *,
    name: str | None = None,
    fit: bool = False,
    on_event: OnEvent | None = None,
) -> Sweep:
    """Train what a file asks, one run after another, or go on with it; see
    `core.recipes.sweeping`.

    Args:
        fit: whether a scaling law is fitted to the finished runs.

    Raises:
        MinitfError: the file cannot be used, or has changed since the first run; or too few runs
            are finished for a law.
    """
    session = recipes.sweeping(file, name=name, fits=fit)
    found: Sweep | None = None
    with stopped_by_interrupt(session.stop):
        for event in session.run():
            if on_event is not None:
                on_event(event)
            if isinstance(event, SweepCompleted):
                found = event.result
    assert found is not None  # it is told however early it is stopped
    return found
