"""The most memory that was held for a while, where the system tells it honestly.

On a GPU it is what PyTorch allocated; on Linux the resident memory of the whole process, whose
high-water mark can be set back. Elsewhere nothing can be said.
"""

from __future__ import annotations

from pathlib import Path

import torch

_PROC = Path("/proc/self")
_SET_BACK = "5"
"""See proc(5), clear_refs."""


def set_back_peak(device: str) -> bool:
    """Let the high-water mark start anew; False if that cannot be done here."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return True
    try:
        (_PROC / "clear_refs").write_text(_SET_BACK, encoding="ascii")
    except OSError:
        return False
    return True


def peak_bytes(device: str) -> int | None:
    """The high-water mark since it was set back; None where the system does not tell."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    try:
        status = (_PROC / "status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    lines = (line.split() for line in status.splitlines() if line.startswith("VmHWM:"))
    return next((1024 * int(line[1]) for line in lines), None)
