"""What an examination of the machine tells."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """One thing that the device can do, timed."""

    what: str
    """For a person: "product 512 × 512 × 512"."""
    dtype: str
    unit: str
    """"GFLOP/s", "GB/s" or "µs"; only of the last less is better."""
    mean: float
    sd: float
    """Sample standard deviation (n - 1) of the samples."""
    samples: tuple[float, ...]
    """One a repetition, each over many calls, after a warm-up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WayTimed:
    """One way to take a run's steps, timed beside the way of default in turns."""

    threads: int
    dtype: str
    is_compiled: bool
    step_ms: float
    """Median."""
    ratio: float
    """To the time of the way of default in the same round, the median of all rounds."""
    is_clear: bool
    """Whether it was faster in nearly all rounds."""
    compile_s: float = 0.0
    """Of the first step, with compiling it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What is known on this machine of how to take the steps of one shape."""

    shape: str
    """For a person: "4 × 128, adamw, batch 8 × 128"."""
    ways: tuple[WayTimed, ...]
    """The first is that of default."""
    until: float
    """Seconds since the epoch; then it is measured again."""
    note: str = ""
    """Why a way could not be timed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine, as PyTorch sees it. Same fields as in `minitf doctor --json`."""

    devices: tuple[str, ...]
    """That PyTorch can use, the one that "auto" takes first."""
    environment: dict[str, Any]
    """The choice that was made (device, dtype, threads), the processor and the versions."""
    memory_bytes: int | None
    """Of the machine; None where the system does not tell."""
    free_bytes: int | None
    """That a new program could have."""
    speeds: tuple[Speed, ...] = field(default=())
    paces: tuple[Pace, ...] = field(default=())
    """Ways of training that are kept for this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineExamined:
    """The last event of an examination."""

    result: Machine
