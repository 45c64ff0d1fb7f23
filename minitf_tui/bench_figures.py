"""Figures of a benchmark: latency against depth, a repetition token by token, a mean that settles.

To be imported with the first point: numpy comes along.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.events import RepetitionCompleted
from minitf_tui import format as fmt
from minitf_tui.bench_board import Board, Track, outliers
from minitf_tui.bench_tables import colour_of, unit_for
from minitf_tui.figure import Curve, Figure

Floats = NDArray[np.float64]
WINDOW = 9
"""Tokens whose median is one point of a latency curve: one late token is no latency."""


@dataclass(frozen=True, slots=True, eq=False)
class Latency:
    """Milliseconds a token against the positions held, of variants that differ in depth only."""

    label: str
    colour: str
    cache: str
    rest: tuple[object, ...]
    """All but cache and depth: those that agree in it can be compared."""
    x: Floats
    y: Floats
    sd: Floats
    """Over the counted repetitions; NaN with one."""
    is_marked: bool
    """Single points, from the means of whole repetitions."""


def latencies(board: Board) -> list[Latency]:
    """One for each group of variants that differ in depth only, in the order of the plan."""
    groups: dict[tuple[object, ...], list[tuple[int, Track]]] = {}
    for place, track in enumerate(board.tracks):
        if track.counted:
            groups.setdefault(_key(track), []).append((place, track))
    found = []
    for key, members in groups.items():
        members.sort(key=lambda member: member[1].variant.depth)
        pieces = [_piece(track) for _, track in members]
        x, y, sd = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
        order = np.argsort(x, kind="stable")  # depths may overlap
        place, first = members[0]
        label = first.label.rpartition(" at ")[0] if len(members) > 1 else first.label
        found.append(
            Latency(
                label,
                colour_of(place),
                first.variant.cache,
                key[1:],
                x[order],
                y[order],
                sd[order],
                is_marked=not any(event.steps_ms for _, t in members for event in t.counted),
            )
        )
    return found


def _key(track: Track) -> tuple[object, ...]:
    v = track.variant
    number = track.label.rpartition(" (")[2] if track.label.endswith(")") else ""
    return (v.cache, v.engine, v.dtype, v.bits, v.threads, v.rival, number)


def _piece(track: Track) -> tuple[Floats, Floats, Floats]:
    """Depth, time and spread of each token; one point where no steps were told."""
    depth = track.variant.depth
    steps = steps_of(track.counted)
    if not len(steps):
        middle = depth + track.tokens / 2
        sd = track.sd_ms if len(track.counted) > 1 else np.nan
        return np.array([middle]), np.array([track.mean_ms]), np.array([sd])
    typical = np.median(steps, axis=0)
    width = min(WINDOW, len(typical) | 1)
    padded = np.pad(typical, width // 2, mode="edge")
    smooth = np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1)
    smooth = smooth[: len(typical)]
    spread = np.full(len(typical), np.nan)
    if len(steps) > 1:
        low, high = np.quantile(steps, [0.16, 0.84], axis=0)  # a late token must not widen it
        spread = (high - low) / 2
    x = depth + np.arange(len(typical), dtype=float)
    return x, smooth, spread


def steps_of(repetitions: Iterable[RepetitionCompleted]) -> Floats:
    """Milliseconds of each token, a row for each repetition that tells of them; (R, n)."""
    rows = [event.steps_ms for event in repetitions if event.steps_ms]
    n = min(map(len, rows), default=0)
    return np.array([row[:n] for row in rows], float).reshape(len(rows), n)


def crossing(without: Latency, cached: Latency) -> float | None:
    """The depth from which on no cache is the slower one; None where that never changes."""
    low, high = max(without.x[0], cached.x[0]), min(without.x[-1], cached.x[-1])
    if high <= low:
        return None
    places = np.linspace(low, high, 512)
    is_slower = np.interp(places, without.x, without.y) > np.interp(places, cached.x, cached.y)
    if not is_slower[-1] or is_slower.all():
        return None
    return float(places[np.flatnonzero(~is_slower)[-1] + 1])


def is_pair(without: Latency, cached: Latency) -> bool:
    """The same but for its cache."""
    return without.cache == "none" != cached.cache and without.rest == cached.rest


def depth_figure(board: Board, *, dots: str, log_y: bool = False) -> Figure:
    """Latency against depth with its spread, and where a cache begins to pay."""
    found = latencies(board)
    unit, scale = unit_for([float(each.y[-1]) for each in found])
    curves, marks, places = [], [], []
    for each in found:
        y, spread = each.y * scale, each.sd * scale
        told = fmt.mean_sd(float(y[-1]), None)
        name = "" if each.is_marked else each.label
        band = (np.maximum(y - spread, 0), y + spread)
        curves.append(Curve(name, each.x, y, each.colour, "", False, told, *band))
        if each.is_marked:
            marks.append(Curve(each.label, each.x, y, each.colour, symbol="●", value=told))
    for without, cached in itertools.product(found, found):
        place = crossing(without, cached) if is_pair(without, cached) else None
        if place is not None:
            at = np.array([place]), np.array([np.interp(place, cached.x, cached.y)]) * scale
            marks.append(Curve("", *at, "error", symbol="◆"))
            places.append(place)
    title = f"{unit}/token" + (" (log)" if log_y else "")
    if places:
        title += f"  ◆ crossing at {' and '.join(f'{at:,.0f}' for at in sorted(places)[:2])}"
    return Figure(
        title, (*curves, *marks), "depth, tokens", log_y=log_y, y_from_zero=not log_y, dots=dots
    )


def trace_figure(track: Track, *, dots: str) -> Figure:
    """The newest repetition token by token before its warm-ups; tokens that came late marked."""
    warm = steps_of(track.warm_ups)
    steps = steps_of(track.counted)
    unit, scale = unit_for([float(np.median(each[-1])) for each in (warm, steps) if len(each)])
    curves = []
    for number, row in enumerate(warm):
        x = np.arange(1.0, len(row) + 1)
        name = "warm-up" if number == 0 else ""
        curves.append(Curve(name, x, row * scale, "ghost", is_ghost=bool(len(steps))))
    if len(steps):
        row = steps[-1] * scale
        x = np.arange(1.0, len(row) + 1)
        middle = fmt.mean_sd(float(np.median(row)), None)
        curves.append(Curve(f"repetition {len(steps)}", x, row, "accent", value=middle))
        far = outliers(row.tolist())
        late = Curve("late", x[far], row[far], "error", symbol="●", value=str(len(far)))
        curves.append(late)
    title = f"{track.label}  {unit}/token"
    return Figure(title, tuple(curves), "token", y_from_zero=True, dots=dots)


def settling_figure(track: Track, *, dots: str) -> Figure:
    """Each repetition, the mean so far and its 95 % interval; warm-ups before the first."""
    unit, scale = unit_for([track.mean_ms])
    warm = [event.decode_ms / max(1, event.tokens) * scale for event in track.warm_ups]
    values = np.array(track.step_ms, float) * scale
    curves = []
    n = len(values)
    x = np.arange(1.0, n + 1)
    if n:
        means = np.cumsum(values) / x
        low, high = _edges(track.counted, scale)
        told = fmt.mean_sd(float(means[-1]), None)
        curves.append(Curve("mean", x, means, "accent", value=told, low=low, high=high))
    if warm:
        before = np.arange(1.0 - len(warm), 1.0)
        told = fmt.mean_sd(warm[-1], None)
        heights = np.array(warm)
        if n > 1:  # they may lie far off: up to the edge, so that the rest can be told apart
            most = values.max() + 0.5 * (values.max() - values.min())
            heights = np.clip(heights, 2 * values.min() - most, most)
        curves.append(Curve("warm-up", before, heights, "warning", symbol="○", value=told))
    if n:
        far = _far(track, values)
        near = [place for place in range(n) if place not in far]
        curves.append(_points("repetition", x[near], values[near], "accent", "●"))
        curves.append(_points("outlier", x[far], values[far], "error", "●"))
    return Figure(f"{track.label}  {unit}/token", tuple(curves), "repetition", dots=dots)


def _edges(counted: Sequence[RepetitionCompleted], scale: float) -> tuple[Floats, Floats]:
    edges = [
        (np.nan, np.nan)
        if event.interval_ms is None
        else tuple(edge / max(1, event.tokens) * scale for edge in event.interval_ms)
        for event in counted
    ]
    # Of two repetitions the interval is 13 standard errors wide: it would flatten all the rest.
    bounds = np.array(edges, float).reshape(len(edges), 2)
    bounds[:2] = np.nan
    return bounds[:, 0], bounds[:, 1]


def _far(track: Track, values: Floats) -> list[int]:
    cell = track.decode
    found = list(cell.outliers) if cell else outliers(values.tolist())
    return [place for place in found if place < len(values)]


def _points(name: str, x: Floats, y: Floats, colour: str, symbol: str) -> Curve:
    value = str(len(x)) if name == "outlier" else ""
    return Curve(name if len(x) else "", x, y, colour, symbol=symbol, value=value)
