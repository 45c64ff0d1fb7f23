"""Commands that were recorded, so that they can be obeyed again after the same steps.

They stand in metrics.jsonl as `Controlled`; those that a replay repeats have a number. Never
imports torch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.config import Command, read_command
from core.errors import ConfigError
from core.store.metrics import numbers_in, read_lines, read_metrics


@dataclass(frozen=True, slots=True)
class Recorded:
    """A command that was obeyed."""

    step: int
    """After which it was."""
    n: int
    """Its number in the run."""
    command: Command


def controls_to_repeat(run_path: Path, known: Collection[int]) -> list[Recorded]:
    """Those that a killed process had obeyed after the state from which the run goes on.

    Args:
        known: numbers of those whose effect is in that state.
    """
    found: dict[int, dict[str, Any]] = {}
    for event in read_lines(run_path):
        if event["event"] == "Controlled" and event["n"]:
            found[event["n"]] = event
        elif event["event"] == "Resumed":
            kept = {*numbers_in(event, "controls"), *numbers_in(event, "repeats")}
            found = {n: event for n, event in found.items() if n in kept}
    return from_json(event for n, event in found.items() if n not in known)


def controls_of(run_path: Path) -> list[Recorded]:
    """All that were obeyed on the way to where the run is now."""
    events = read_metrics(run_path)
    return from_json(e for e in events if e["event"] == "Controlled" and e["n"])


def to_json(controls: Iterable[Recorded]) -> list[dict[str, Any]]:
    """As a list that `from_json` reads."""
    return [{"step": c.step, "n": c.n, "words": " ".join(c.command.words)} for c in controls]


def from_json(controls: Iterable[Mapping[str, Any]]) -> list[Recorded]:
    """Back from `to_json`, in their order; words that are no command are left out.

    Raises:
        KeyError, TypeError, ValueError: it is no such list.
    """
    found = []
    for control in controls:
        with suppress(ConfigError):
            command = read_command(str(control["words"]).split())
            found.append(Recorded(int(control["step"]), int(control["n"]), command))
    return sorted(found, key=lambda control: (control.step, control.n))
