"""Whether metrics from elsewhere hold what minitf will read from them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from core import events
from core.interop.capsule_format import damaged
from core.store.metrics import FILE_NAME, read_lines

_LARGEST_INT = 2**63
_KINDS: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float, type(None)),
    "str": (str,),
    "bool": (bool,),
    "int | None": (int, type(None)),
    "float | None": (int, float, type(None)),
}
"""By annotation; a number that is not finite is null on disk. Others are not looked at."""


def check_metrics(folder: Path, source: str) -> None:
    """Refuse lines in which a field has not the type of its event's.

    Raises:
        FormatError: there is one.
    """
    try:
        for event in read_lines(folder):
            _check_event(event, source)
    except RecursionError as error:
        raise damaged(source, f"{FILE_NAME} cannot be read") from error


def is_number(value: Any) -> bool:
    """Whether it is one, and no larger than any that minitf writes."""
    return type(value) in (int, float) and abs(value) < _LARGEST_INT


def _check_event(event: dict[str, Any], source: str) -> None:
    kind = event["event"]
    known = getattr(events, kind, None) if isinstance(kind, str) else None
    if not dataclasses.is_dataclass(known):
        return
    for field in dataclasses.fields(known):
        kinds = _KINDS.get(str(field.type))
        value = event.get(field.name, field.default)
        if value is dataclasses.MISSING or (kinds and not _fits(value, kinds)):
            raise damaged(source, f"{FILE_NAME} has a {kind} whose {field.name} is {_shown(value)}")


def _fits(value: Any, kinds: tuple[type, ...]) -> bool:
    return type(value) in kinds and (
        not isinstance(value, (int, float)) or is_number(value) or value in (True, False)
    )


def _shown(value: Any) -> str:
    return "missing" if value is dataclasses.MISSING else json.dumps(value)[:40]
