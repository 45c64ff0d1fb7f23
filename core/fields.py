"""What a field of a config knows about itself, and the checks that all configs share."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Iterator
from dataclasses import field
from typing import Any, TypeVar

from core.errors import ConfigError, did_you_mean

T = TypeVar("T")

MAX_SEED = 2**63 - 1
"""What a random generator takes."""

_TYPE_WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
}
_LIST_WORDS = {str: "a list of texts", int: "a list of whole numbers"}


def setting(
    default: T,
    text: str,
    *,
    unit: str = "",
    choices: tuple[str, ...] = (),
    is_flag: bool = True,
    items: type | None = None,
) -> T:
    """A dataclass field that knows how to explain itself.

    Args:
        items: what the parts of a tuple are, which are then typed with commas between them.
    """
    about = {"help": text, "unit": unit, "choices": choices, "is_flag": is_flag, "items": items}
    return field(default=default, metadata=about)


def flag_fields(config: Any) -> Iterator[tuple[str, dataclasses.Field[Any]]]:
    """`(section, field)` of every field that is a flag; section is "" in a flat config."""
    for item in dataclasses.fields(config):
        if item.metadata:
            if item.metadata["is_flag"]:
                yield "", item
        else:
            part = getattr(config, item.name)
            yield from ((item.name, f) for _, f in flag_fields(part))


def default(config: Any, name: str) -> Any:
    """What the field is when nobody says otherwise."""
    return next(f.default for f in dataclasses.fields(config) if f.name == name)


def _shown(value: Any) -> str:
    """As it is typed: a list with commas."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def check_types(config: Any) -> None:
    """Refuse wrong types; widen int to float where a float is meant, and take the list that
    TOML has for a tuple."""
    for item in dataclasses.fields(config):
        value, wanted = getattr(config, item.name), type(item.default)
        part = item.metadata["items"] or str
        if wanted is float and type(value) is int and abs(value) <= sys.float_info.max:
            object.__setattr__(config, item.name, float(value))
        elif wanted is tuple and _are_all(value, part):
            object.__setattr__(config, item.name, tuple(value))
        elif type(value) is not wanted or wanted is tuple:
            raise ConfigError(
                f"{item.name}={value!r} is not {_TYPE_WORDS.get(wanted) or _LIST_WORDS[part]}.",
                hint=f"The default is {item.default!r}.",
            )
        elif isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(
                f"{item.name}={value} is not a finite number.",
                hint=f"The default is {item.default!r}.",
            )


def _are_all(value: Any, wanted: type) -> bool:
    return type(value) in (tuple, list) and all(type(part) is wanted for part in value)


def at_least(config: Any, least: int, *names: str) -> None:
    """Refuse values below `least`, also in a list."""
    for name in names:
        value = getattr(config, name)
        value = min(value, default=least) if isinstance(value, tuple) else value
        if value < least:
            shown = f"{value:g}" if isinstance(value, float) else value
            raise ConfigError(
                f"{name}={shown} is below {least}, the least that makes sense.",
                hint=f"The default is {_shown(default(config, name))}.",
            )


def in_choices(config: Any) -> None:
    """Refuse values outside a field's choices."""
    for item in dataclasses.fields(config):
        choices, value = item.metadata["choices"], getattr(config, item.name)
        for part in value if isinstance(value, tuple) else (value,):
            if choices and part not in choices:
                raise ConfigError(
                    f"{item.name}={part!r} is not one of {', '.join(map(str, choices))}.",
                    hint=did_you_mean(str(part), map(str, choices)),
                )
