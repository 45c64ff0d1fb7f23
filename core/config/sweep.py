"""A sweep as a file: a config with some fields changed in turn.

    base = "quick"                 a preset, a config file or a run; quick if left out
    seeds = 3                      each setting with so many seeds; 1 if left out

    [set]                          changes that all runs have
    steps = 500

    [grid]                         every combination of these ...
    lr = [1e-3, 3e-3]
    d_model = [64, 128]

    [random]                       ... or n draws, instead of [grid]
    n = 20
    seed = 0
    [random.ranges]
    lr = "1e-4..1e-2 log"
    dropout = "0..0.2"
    d_model = [64, 96, 128]

Ends of a range are included; a whole-number field gets whole numbers. The same file always means
the same runs, in the same order.
"""

from __future__ import annotations

import itertools
import math
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from core.config.run import RunConfig
from core.config.toml_text import read_tables
from core.errors import ConfigError, did_you_mean
from core.fields import MAX_SEED, flag_fields

Value = str | int | float | bool
Changes = tuple[tuple[str, Value], ...]
MOST_RUNS = 999
DEFAULT_BASE = "quick"
_TABLES = ("base", "seeds", "set", "grid", "random")
_RANGE = re.compile(r"\s*(\S+?)\s*\.\.\s*(\S+?)(\s+log)?\s*")
_LIST_HINT = "As in lr = [1e-3, 3e-3]."
_RANGE_HINT = 'As in lr = "1e-4..1e-2 log", or d_model = [64, 128].'


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepConfig:
    """What a file asks."""

    base: str = DEFAULT_BASE
    seeds: int = 1
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Changes that all runs have."""
    settings: tuple[Changes, ...] = ()
    """What is tried, one after another; each is trained with `seeds` seeds."""


def read_sweep(text: str, *, source: str = "sweep") -> SweepConfig:
    """Parse a file.

    Raises:
        ConfigError: it is no sweep.
    """
    try:
        tables = read_tables(text)
    except ValueError as error:
        raise ConfigError(
            f"{source} is not valid TOML: {error}.",
            hint="A sweep has base, seeds, [set], and [grid] or [random].",
        ) from error
    for name in tables:
        if name not in _TABLES:
            raise ConfigError(f"A sweep has no {name!r}.", hint=did_you_mean(name, _TABLES))
    base, seeds, fixed = (
        tables.get("base", DEFAULT_BASE),
        tables.get("seeds", 1),
        tables.get("set", {}),
    )
    _check_head(base, seeds, fixed)
    if ("grid" in tables) == ("random" in tables):
        raise ConfigError(
            f"{source} has {'both' if 'grid' in tables else 'neither'} of [grid] and [random].",
            hint="Give one of them.",
        )
    settings = _grid(tables["grid"]) if "grid" in tables else _random(tables["random"])
    if len(settings) * seeds > MOST_RUNS:
        raise ConfigError(
            f"{len(settings)} settings with {seeds} seeds are more than {MOST_RUNS} runs.",
            hint="Try fewer, or [random].",
        )
    return SweepConfig(base=base, seeds=seeds, fixed=dict(fixed), settings=settings)


def _check_head(base: Any, seeds: Any, fixed: Any) -> None:
    if not isinstance(base, str):
        raise ConfigError(
            f"base={base!r} does not name a config.", hint="Name a preset, a file or a run."
        )
    if type(seeds) is not int or not 1 <= seeds <= MOST_RUNS:
        raise ConfigError(
            f"A sweep cannot have seeds={seeds!r}.", hint=f"Give a whole number up to {MOST_RUNS}."
        )
    if not isinstance(fixed, dict):
        raise ConfigError(f"set={fixed!r} is no table.", hint="As in [set] and steps = 500.")
    _check_names({"set": fixed})


def _grid(table: Any) -> tuple[Changes, ...]:
    _check_names({"grid": table})
    for name, values in table.items():
        _check_list(name, values, _LIST_HINT)
    names, size = tuple(table), math.prod(map(len, table.values()))
    if size > MOST_RUNS:  # told before they are made: a few long lists would fill the memory
        raise ConfigError(
            f"[grid] has {min(size, 10**15):,} settings, which are more than {MOST_RUNS} runs.",
            hint="Try fewer, or [random].",
        )
    return tuple(
        tuple(zip(names, values, strict=True)) for values in itertools.product(*table.values())
    )


def _random(table: Any) -> tuple[Changes, ...]:
    known = ("n", "seed", "ranges")
    if not isinstance(table, dict):
        raise ConfigError(f"random={table!r} is no table.", hint="It has n, seed and ranges.")
    for name in table:
        if name not in known:
            raise ConfigError(
                f"[random] has no {name!r}.", hint="It has n, seed, and a table [random.ranges]."
            )
    n, seed, ranges = (
        table.get(name, default) for name, default in zip(known, (10, 0, {}), strict=True)
    )
    if type(n) is not int or not 1 <= n <= MOST_RUNS:
        raise ConfigError(f"[random] cannot have n={n!r}.", hint=f"Give 1 to {MOST_RUNS}.")
    if type(seed) is not int or not 0 <= seed <= MAX_SEED:
        raise ConfigError(f"[random] cannot have seed={seed!r}.", hint="Give a whole number.")
    _check_names({"random.ranges": ranges})
    dice = random.Random(seed)
    draws = {name: _range(name, what) for name, what in ranges.items()}
    return tuple(tuple((name, draw(dice)) for name, draw in draws.items()) for _ in range(n))


def _range(name: str, what: Any) -> Any:
    """A function that draws one value by the dice it is given."""
    if isinstance(what, list):
        _check_list(name, what, _RANGE_HINT)
        return lambda dice: dice.choice(what)
    found = _RANGE.fullmatch(what) if isinstance(what, str) else None
    try:
        low, high = (float(found[k]) for k in (1, 2)) if found else (math.nan, math.nan)
    except ValueError:
        low = high = math.nan
    is_log = bool(found and found[3])
    if not low < high or not math.isfinite(high - low) or (is_log and low <= 0):
        raise ConfigError(f"{name}={what!r} is neither a list nor a range.", hint=_RANGE_HINT)
    is_whole = _kinds()[name] is int

    def draw(dice: random.Random) -> float | int:
        if is_log:
            value = math.exp(dice.uniform(math.log(low), math.log(high)))
        else:
            value = dice.uniform(low, high)
        value = min(max(value, low), high)
        return round(value) if is_whole else float(f"{value:.3g}")

    return draw


def _check_list(name: str, values: Any, hint: str) -> None:
    is_list = isinstance(values, list) and values
    if not is_list or not all(type(value) in (str, int, float, bool) for value in values):
        raise ConfigError(f"{name}={values!r} is not a list of values.", hint=hint)


def _check_names(tables: Mapping[str, Any]) -> None:
    for table, values in tables.items():
        if not isinstance(values, dict) or (not values and table != "set"):
            raise ConfigError(f"[{table}] changes nothing.", hint=_LIST_HINT)
        for name in values:
            if name not in _kinds():
                raise ConfigError(
                    f"[{table}] has {name!r}, which is no setting.",
                    hint=did_you_mean(name, _kinds()),
                )
            if name == "seed":
                raise ConfigError(
                    f"[{table}] has seed, which a sweep counts up itself.",
                    hint="seeds = 3 trains each setting with three of them.",
                )


def _kinds() -> dict[str, type]:
    return {about.name: type(about.default) for _, about in _fields()}


def _fields() -> Iterator[Any]:
    return flag_fields(RunConfig())
