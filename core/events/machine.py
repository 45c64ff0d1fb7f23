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


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineExamined:
    """The last event of an examination."""

    result: Machine
