"""Whether metrics from elsewhere hold what minitf will read from them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from core import events
from core.interop.capsule.archive import damaged
from core.store.metrics import FILE_NAME

_LARGEST_INT = 2**63
_LONGEST_LINE = 1 << 20
_NUMBER = (int, float, type(None))
"""What is not finite is null on disk."""
_KINDS: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": _NUMBER,
    "str": (str,),
    "bool": (bool,),
    "int | None": (int, type(None)),
    "float | None": _NUMBER,
    "tuple[float, float]": (list,),
}
"""By annotation; others are not looked at."""


def check_metrics(folder: Path, source: str) -> None:
    """Refuse a line that is no event, or in which a field has not the type of its event's. The
    last one may be torn.

    Raises:
        FormatError: there is one.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return
    with path.open("rb") as file:
        n = 0
        while line := file.readline(_LONGEST_LINE):
            n += 1
            if line.endswith(b"\n"):
                _check_event(_event(line, n, source), source)
            elif len(line) == _LONGEST_LINE:
                raise damaged(source, f"line {n} of {FILE_NAME} is too long")


def is_number(value: Any) -> bool:
    """Whether it is one, and no larger than any that minitf writes."""
    return type(value) in (int, float) and abs(value) < _LARGEST_INT


def _event(line: bytes, n: int, source: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise damaged(source, f"line {n} of {FILE_NAME} cannot be read")
    return found


def _check_event(event: dict[str, Any], source: str) -> None:
    kind = event.get("event")
    known = getattr(events, kind, None) if isinstance(kind, str) else None
    if not dataclasses.is_dataclass(known):
        return
    for field in dataclasses.fields(known):
        kinds = _KINDS.get(str(field.type))
        value = event.get(field.name, field.default)
        if value is dataclasses.MISSING or (kinds and not _fits(value, kinds)):
            shown = "missing" if value is dataclasses.MISSING else json.dumps(value)
            raise damaged(source, f"{FILE_NAME} has a {kind} whose {field.name} is {shown}")


def _fits(value: Any, kinds: tuple[type, ...]) -> bool:
    if isinstance(value, list):
        return list in kinds and len(value) == 2 and all(_fits(one, _NUMBER) for one in value)
    return type(value) in kinds and (type(value) not in (int, float) or is_number(value))
