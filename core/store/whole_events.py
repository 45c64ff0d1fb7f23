"""Whether an event that was read from metrics.jsonl has the form in which it was written.

A run's folder may come from anybody, and whoever reads its metrics counts on numbers where an
event has numbers. So it is checked here once, by the types of the classes in `core.events`; a
line that fails is skipped like a torn one. Never imports torch.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from core import events

_NEEDED = {
    "RunStarted": ("steps", "seconds"),
    "StepCompleted": ("step",),
    "Resumed": ("step",),
    "Controlled": ("step", "n", "action"),
    "ReturnedToCheckpoint": ("to_step", "returns"),
}
"""What no event of that name can be without."""
_MOST = 1 << 63
"""A whole number from here on was never counted."""


def is_whole(event: Mapping[str, Any]) -> bool:
    """Whether its readers can count on it. Fields that are missing may be younger than the run,
    unless they are needed; an event of an unknown name may be younger than this program."""
    name = event.get("event")
    if not isinstance(name, str) or not _is_count(event.get("step", 0)):
        return False
    needed = _NEEDED.get(name, ())
    return all(event.get(key) is not None for key in needed) and _fits(name, event)


def _fits(name: str, values: Mapping[str, Any]) -> bool:
    checks = _checks(name)
    return all(key not in checks or checks[key](value) for key, value in values.items())


@cache
def _checks(name: str) -> dict[str, Callable[[Any], bool]]:
    """By field of a class of `core.events`; nothing for any other name."""
    kind = getattr(events, name, None) if name in _class_names() else None
    if name == "Resumed":  # which is a line of the file's own, and no event
        return {"step": _is_count, "returns": _is_count, "rates_to": _is_count}
    found = {f.name: _check(str(f.type)) for f in dataclasses.fields(kind)} if kind else {}
    return {field: check for field, check in found.items() if check is not None}


def _check(annotation: str) -> Callable[[Any], bool] | None:
    """What a value of that type passes; None if all do."""
    word = annotation.removesuffix(" | None")
    if word in _class_names():
        return lambda value: value is None or (isinstance(value, dict) and _fits(word, value))
    check = {"int": _is_count, "float": _is_number, "str": _is_text, "bool": _is_truth}.get(word)
    if check is None or word == annotation:
        return check
    return lambda value: value is None or check(value)


@cache
def _class_names() -> frozenset[str]:
    return frozenset(name for name, kind in vars(events).items() if dataclasses.is_dataclass(kind))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and -_MOST <= value < _MOST


def _is_number(value: Any) -> bool:
    """JSON has no NaN: null stands for it and for an infinity."""
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or (isinstance(value, int) and abs(value) <= sys.float_info.max)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_truth(value: Any) -> bool:
    return isinstance(value, bool)
