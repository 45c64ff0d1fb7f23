"""Where tensors live, in what type matrix products run, and on how many threads."""

from __future__ import annotations

import os
import platform
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.errors import DeviceError
from core.version import VERSION

MAX_THREADS = 1024
MAX_AUTO_THREADS = 8
_TORCH_THREADS = torch.get_num_threads()


@dataclass(frozen=True, slots=True)
class Device:
    """A choice that was made and can be kept: plain strings and numbers."""

    type: str
    """"cpu", "cuda" or "mps"."""
    dtype: str
    """"float32" or "bfloat16": of matrix products. Weights are float32."""
    threads: int
    has_fixed_threads: bool = False
    """Somebody asked for so many, and whatever could do with fewer takes them all."""

    def tensor(self, ids: NDArray[np.int64]) -> Tensor:
        """Token ids on this device, int64."""
        return torch.from_numpy(np.ascontiguousarray(ids)).to(self.type)

    def autocast(self) -> AbstractContextManager[Any]:
        """Matrix products inside the block run in `dtype`."""
        if self.dtype == "float32":
            return nullcontext()
        return torch.autocast(self.type, dtype=torch.bfloat16)


def choose_device(device: str = "auto", dtype: str = "auto", threads: int = 0) -> Device:
    """Resolve "auto", check that the choice exists here, and set torch's threads.

    The defaults depend on the machine alone and not on its load: float32 on a CPU with one
    thread a core, so that two runs of one config compute the same numbers.

    Raises:
        DeviceError: this machine has no such device, or it has no such dtype.
    """
    available = available_devices()
    if device == "auto":
        device = available[0]
    elif device not in available:
        raise DeviceError(
            f"This machine has no {device!r} that PyTorch can use.",
            hint=f"Available: {', '.join(available)}.",
        )
    if dtype == "auto":
        has_fast_bfloat16 = device == "cuda" and torch.cuda.is_bf16_supported()
        dtype = "bfloat16" if has_fast_bfloat16 else "float32"
    if threads > MAX_THREADS:
        raise DeviceError(
            f"threads={threads} is above {MAX_THREADS}.", hint="0 takes one thread a core."
        )
    has_fixed_threads = threads > 0
    threads = threads or _default_threads()
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    return Device(device, dtype, threads, has_fixed_threads)


def environment(device: Device) -> dict[str, Any]:
    """What a figure depends on beside the code."""
    return {
        "device": device.type,
        "device_name": torch.cuda.get_device_name() if device.type == "cuda" else _cpu_name(),
        "dtype": device.dtype,
        "threads": device.threads,
        "cores": os.cpu_count() or 1,
        "minitf": VERSION,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }


def synchronize(device: str) -> None:
    """Wait until the device has done what it was asked; CPUs always have."""
    if device == "cuda":
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()


def available_devices() -> list[str]:
    """What PyTorch can use here, the best first."""
    found = ["cuda"] if torch.cuda.is_available() else []
    if torch.backends.mps.is_available():
        found.append("mps")
    return [*found, "cpu"]


def _cpu_name() -> str:
    """The processor's own name where the system tells it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _default_threads() -> int:
    """One a core, as PyTorch counts them; small models lose by more than a few."""
    return min(_TORCH_THREADS, MAX_AUTO_THREADS)
