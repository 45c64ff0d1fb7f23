"""What a run tells of those who control it while it is under way."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Controlled:
    """Somebody's command takes effect, at a step boundary; written to metrics.jsonl there.

    Told before what it causes: a save is followed by `CheckpointSaved`, a sample by
    `SampleCompleted`.
    """

    step: int
    """The last one taken before; the next one is the first that may differ."""
    action: str
    """One of `core.config.ACTIONS`, or "fork": the steps up to here are those of another run."""
    value: float | None = None
    """The factor on the learning rate, or the amount by which a budget changes."""
    words: str = ""
    """As it was understood: "lr 0.5", "budget +500 steps"; of a fork: "other@500, lr 0.0003"."""
    n: int = 0
    """Its number among the commands of this run that a replay repeats; 0 of any other."""
    lr_factor: float = 1.0
    """On the schedule's learning rate from here, all commands and returns together."""
    steps: int = 0
    """Budget from here; 0 is no limit."""
    seconds: float = 0.0
    """Budget of pure training time from here; 0 is no limit."""
    asked: str = ""
    """The id that whoever asked gave it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """Nothing is left to do before somebody commands more: to pull on is to wait. Told each time
    that this is so, and not kept in the metrics."""

    step: int
