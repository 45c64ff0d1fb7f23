"""Numbers as a person reads them: 1.2 M, 3.4 s, 1.1 GiB. Pure; no number is ever wrong
by more than the digits shown, and what is not a number is a dash."""

from __future__ import annotations

import math
from typing import TypeGuard

NONE = "–"
"""Shown where there is no number."""

CACHES = {"none": "no cache", "static": "KV cache"}
"""What the kinds of cache are called, in the order in which they are shown."""

_THOUSANDS = ("", " k", " M", " G", " T")
_BYTES = (" B", " KiB", " MiB", " GiB", " TiB")


def count(n: float | None) -> str:
    """A quantity with a decimal prefix: 950, 12.3 k, 1.2 M."""
    return _scaled(n, 1000, _THOUSANDS) if _known(n) else NONE


def size_bytes(n: float | None) -> str:
    """A size in memory or on disk: 512 B, 1.1 GiB."""
    return _scaled(n, 1024, _BYTES) if _known(n) else NONE


def whole(n: float | None) -> str:
    """Every digit, in groups: 466,123."""
    return f"{n:,.0f}" if _known(n) else NONE


def seconds(s: float | None) -> str:
    """A time span: 250 µs, 3.4 ms, 12.0 s, 1 min 15 s, 2 h 05 min."""
    if not _known(s):
        return NONE
    if s < 0:
        return f"-{seconds(-s)}"
    if s == 0:
        return "0 s"
    if s < 0.9995e-3:
        return f"{s * 1e6:.0f} µs"
    if s < 0.9995:
        return f"{_three(s * 1e3)} ms"
    if s < 59.95:
        return f"{s:.1f} s"
    minutes, rest = divmod(round(s), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(round(s / 60), 60)
    return f"{hours} h {minutes:02d} min"


def milliseconds(ms: float | None) -> str:
    """A time span given in milliseconds."""
    return seconds(ms / 1e3) if _known(ms) else NONE


def percent(share: float | None) -> str:
    """A share of one: 45.6 %."""
    return f"{100 * share:.1f} %" if _known(share) else NONE


def loss_change(value: float) -> str:
    """Nats more or fewer than the plain model; what rounds to nothing has no minus."""
    return f"{round(value, 4) + 0.0:+.4f}"


def share_of_limit(share: float) -> str:
    """As `percent`; nothing is faster than its limit, which then was measured beside other work."""
    return percent(share) if share <= 1 else ">100 %"


def loss(value: float | None) -> str:
    """Nats, or bits: three decimals, which is about what a validation can tell apart."""
    return f"{value:.3f}" if _known(value) else NONE


def exact(value: float | None) -> str:
    """Every digit that it takes to tell the number from its neighbours."""
    return repr(value) if _known(value) else NONE


def difference(value: float | None, base: float | None) -> str:
    """How far a loss lies from another one, the sign always shown: +0.125."""
    return f"{value - base:+.3f}" if _known(value) and _known(base) else NONE


def perplexity(value: float | None) -> str:
    """Three digits that mean something: 3.31, 23.4, 1,045; 1.2 M beyond that."""
    if not _known(value):
        return NONE
    if value < 999.5:
        return _three(value)
    return whole(value) if value < 1e6 else count(value)


def rate(tokens_per_s: float | None) -> str:
    """Speed: 950 tokens/s, 12.3 k tokens/s."""
    return f"{count(tokens_per_s)} tokens/s" if _known(tokens_per_s) else NONE


def times(factor: float | None) -> str:
    """A ratio: 2.35×."""
    return f"{_three(factor)}×" if _known(factor) else NONE


def mean_sd(mean: float | None, sd: float | None) -> str:
    """`mean ± sd`, both with the decimals that the sd's first two digits reach."""
    if not _known(mean):
        return NONE
    if not _known(sd) or sd <= 0:
        return _three(mean)
    decimals = min(max(1 - math.floor(math.log10(sd)), 0), 6)
    return f"{mean:,.{decimals}f} ± {sd:,.{decimals}f}"


def budget(done: int, steps: int, seconds_: float) -> str:
    """`940 of 2,000`, or `940 · 90 s`: steps done, and the limit; 0 is none."""
    if steps:
        return f"{whole(done)} of {whole(steps)}"
    limit = seconds(seconds_) if seconds_ >= 1000 else f"{seconds_:g} s"  # a list has little room
    return f"{whole(done)} · {limit}" if seconds_ else whole(done)


def plural(n: int, noun: str) -> str:
    """`1 step`, `1,200 steps`."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _known(n: float | None) -> TypeGuard[float]:
    return n is not None and math.isfinite(n)


def _three(value: float) -> str:
    """About three significant digits, never with an exponent."""
    size = abs(value)
    return f"{value:.2f}" if size < 9.995 else f"{value:.1f}" if size < 99.95 else f"{value:,.0f}"


def _scaled(n: float, base: int, units: tuple[str, ...]) -> str:
    size, power = abs(n), 0
    # 999.95 would be shown as 1000.0: the next unit says it better.
    while power < len(units) - 1 and size >= (base if power == 0 else base - 0.05):
        size, power = size / base, power + 1
    sign = "-" if n < 0 else ""
    if power == 0:
        return f"{sign}{size:.0f}{units[0]}"
    return f"{sign}{size:,.1f}{units[power]}"
