"""What this machine knows of how training steps are fastest, one file a shape.

A file is believed for a while, on the machine and with the versions that its name stands for; it
may say anything, and is then no file. Never imports torch.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core.errors import StoreError
from core.events import Pace, WayTimed
from core.paths import cache_dir
from core.store.files import make_folder, write_atomically

DTYPES = ("float32", "bfloat16")
MAX_THREADS = 1024
LONGEST_S = 90 * 86_400
"""For which anything is believed."""


def keep_pace(machine: Sequence[Any], about: Mapping[str, Any], pace: Pace) -> None:
    """Without a writable folder it is measured again.

    Args:
        machine: what tells this machine from another.
        about: what the steps depend on; plain data.
    """
    data = {"machine": _digest(machine), **asdict(pace)}
    path = _path(machine, about)
    with suppress(StoreError, OSError):
        make_folder(path.parent)
        write_atomically(path, json.dumps(data, indent=1).encode())


def kept_pace(machine: Sequence[Any], about: Mapping[str, Any]) -> Pace | None:
    """What `keep_pace` kept and may still be believed."""
    return _read(_path(machine, about), _digest(machine))


def kept_paces(machine: Sequence[Any]) -> tuple[Pace, ...]:
    """All that may still be believed on this machine, by shape."""
    found = (_read(path, _digest(machine)) for path in sorted(_folder().glob("*.json")))
    return tuple(sorted((pace for pace in found if pace is not None), key=lambda p: p.shape))


def _read(path: Path, machine: str) -> Pace | None:
    try:
        found = json.loads(path.read_bytes())
        if found.pop("machine") != machine:
            return None
        ways = tuple(WayTimed(**way) for way in found.pop("ways"))
        pace = Pace(**found, ways=ways)
        is_sound = ways and 0 < pace.until - time.time() <= LONGEST_S and all(map(_is_sound, ways))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return pace if is_sound and type(pace.shape) is type(pace.note) is str else None


def _is_sound(way: WayTimed) -> bool:
    figures = (way.step_ms, way.ratio, way.compile_s)
    return (
        type(way.threads) is int
        and 0 < way.threads <= MAX_THREADS
        and way.dtype in DTYPES
        and type(way.is_compiled) is type(way.is_clear) is bool
        and all(math.isfinite(figure) and figure >= 0 for figure in figures)
        and way.ratio > 0
    )


def _path(machine: Sequence[Any], about: Mapping[str, Any]) -> Path:
    return _folder() / f"{_digest([*machine, about])}.json"


def _folder() -> Path:
    return cache_dir() / "paces"


def _digest(about: Sequence[Any]) -> str:
    text = json.dumps(about, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
