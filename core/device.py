"""Where tensors live, in what type matrix products run, and on how many threads."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
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
    is_compiled: bool = False
    """Whether training steps go through PyTorch's compiler; nothing else ever does."""

    def tensor(self, ids: NDArray[np.int64]) -> Tensor:
        """Token ids on this device, int64."""
        return torch.from_numpy(np.ascontiguousarray(ids)).to(self.type)

    def autocast(self) -> AbstractContextManager[Any]:
        """Matrix products inside the block run in `dtype`."""
        if self.dtype == "float32":
            return nullcontext()
        return torch.autocast(self.type, dtype=torch.bfloat16)


def choose_device(
    device: str = "auto", dtype: str = "auto", threads: int = 0, *, is_compiled: bool = False
) -> Device:
    """Resolve "auto", check that the choice exists here, and set torch's threads.

    The defaults depend on the machine alone and not on its load: float32 on a CPU with one
    thread a core, so that two runs of one config compute the same numbers.

    Raises:
        DeviceError: this machine has no such device, or no compiler where one is wanted.
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
        is_exact = device != "cuda" or not torch.cuda.is_bf16_supported()
        dtype = "float32" if is_exact else "bfloat16"
    if threads > MAX_THREADS:
        raise DeviceError(
            f"threads={threads} is above {MAX_THREADS}.", hint="0 takes one thread a core."
        )
    if is_compiled and (reason := why_not_compiled(device)):
        raise DeviceError(reason, hint="--compile off trains without one.")
    has_fixed_threads = threads > 0
    threads = threads or _default_threads()
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    return Device(device, dtype, threads, has_fixed_threads, is_compiled)


def why_not_compiled(device: str) -> str:
    """A sentence where training steps cannot be compiled here; empty where they can."""
    if device == "mps":
        return "Training steps are not compiled on mps."
    if device == "cuda":
        is_there = importlib.util.find_spec("triton") is not None
        return "" if is_there else "Compiling a step for cuda needs triton, which is not installed."
    names = [os.environ.get("CXX", ""), "c++", "g++", "clang++", "cl"]
    if any(name and shutil.which(name) for name in names):
        return ""
    return "Compiling a step needs a C++ compiler, and none is on the PATH."


def thread_counts() -> list[int]:
    """That may be worth a try on this CPU, the default first: it, one, a core, a logical one."""
    logical = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        logical = len(os.sched_getaffinity(0))
    return list(dict.fromkeys([_default_threads(), 1, _TORCH_THREADS, logical]))


def has_fast_bfloat16() -> bool:
    """Whether this CPU has instructions for it (AVX512-BF16, AMX, or those of ARM); without them
    a product takes many times as long as in float32."""
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(name.endswith("bf16") and has is True for name, has in known.items())


def machine_key(device: str) -> list[Any]:
    """What tells this machine and its PyTorch from another, as plain data."""
    name = torch.cuda.get_device_name() if device == "cuda" else _cpu_name()
    counts = [os.cpu_count(), _TORCH_THREADS]
    return [platform.node(), platform.machine(), name, *counts, torch.__version__, VERSION]


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
