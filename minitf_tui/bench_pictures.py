"""The picture of a benchmark for a file: times, latency against depth, steps, cost. By matplotlib.

To be imported when a picture is wanted, and only where matplotlib is installed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from minitf_tui.bench_board import Board, Track
from minitf_tui.bench_figures import crossing, is_pair, latencies, steps_of
from minitf_tui.bench_tables import unit_for
from minitf_tui.cli.figures import GREY, ORANGE, RUN_COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 11.0, 3.6
"""Inches of a row of two panels."""


def picture(board: Board, title: str) -> Figure:
    """Panels for what was measured, two a row."""
    from matplotlib.figure import Figure

    panels: list[Callable[[Axes, Board], None]] = [_times, _depth]
    if any(event.steps_ms for track in board.tracks for event in track.counted):
        panels.append(_steps)
    proofs = [track.decode.proof for track in board.tracks if track.decode]
    if any(proof and not proof.is_exact for proof in proofs):
        panels.append(_cost)
    if any(track.decode and track.decode.verdict for track in board.tracks):
        panels.append(_limits)
    rows = -(-len(panels) // 2)
    high = 0.28 * max(0, len(board.tracks) - 6)
    figure = Figure(figsize=(WIDTH, rows * (HEIGHT + high)), layout="constrained")
    axes = figure.subplots(rows, 2, squeeze=False).ravel()
    for panel, place in zip(panels, axes, strict=False):
        panel(place, board)
        place.spines[["top", "right"]].set_visible(False)
    for spare in axes[len(panels) :]:
        spare.set_visible(False)
    figure.suptitle(title, parse_math=False)
    return figure


def colour_of(place: int) -> str:
    """Of a variant, in the order of the plan."""
    return RUN_COLOURS[place % len(RUN_COLOURS)]


def _names(axes: Axes, tracks: list[Track]) -> None:
    axes.set_yticks(range(len(tracks)), [track.label for track in tracks], parse_math=False)
    axes.invert_yaxis()
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def _times(axes: Axes, board: Board) -> None:
    tracks = [track for track in board.tracks if track.counted]
    unit, scale = unit_for([track.mean_ms for track in tracks])
    for place, track in enumerate(tracks):
        colour = colour_of(board.tracks.index(track)) if track.is_ranked else GREY
        hatch = None if track.is_ranked else "///"
        mean, sd = track.mean_ms * scale, track.sd_ms * scale
        axes.barh(place, mean, xerr=sd, color=colour, hatch=hatch, capsize=3, height=0.65)
        words = f"{mean:,.3g} {unit}" + ("" if track.is_ranked else ", proof failed")
        spot = (mean + sd, place)
        axes.annotate(words, spot, (4, 0), textcoords="offset points", va="center", fontsize=8)
    _names(axes, tracks)
    axes.margins(x=0.22)
    axes.set_title("decode, mean ± sd", fontsize="medium")
    axes.set_xlabel(f"time per token ({unit})")


def _depth(axes: Axes, board: Board) -> None:
    found = latencies(board)
    unit, scale = unit_for([float(each.y[-1]) for each in found])
    for place, each in enumerate(found):
        colour, y, sd = colour_of(place), each.y * scale, each.sd * scale
        style = "o-" if each.is_marked else "-"
        axes.plot(each.x, y, style, color=colour, label=each.label, linewidth=1.4, markersize=4)
        axes.fill_between(
            each.x, np.maximum(y - sd, 0), y + sd, color=colour, alpha=0.2, linewidth=0
        )
    for without in found:
        for cached in (each for each in found if is_pair(without, each)):
            at = crossing(without, cached)
            if at is not None:
                axes.axvline(at, color=ORANGE, linestyle=":", linewidth=1)
                words = f"crossing at {at:,.0f}"
                spot = (at, axes.get_ylim()[1])
                offset = (4, -10)
                axes.annotate(words, spot, offset, textcoords="offset points", fontsize=8)
    axes.set_title("latency against depth, ± sd", fontsize="medium")
    axes.set_xlabel("depth (tokens held)")
    axes.set_ylabel(f"time per token ({unit})")
    axes.set_ylim(bottom=0)
    _legend(axes)


def _steps(axes: Axes, board: Board) -> None:
    tracks = [(i, t) for i, t in enumerate(board.tracks) if len(steps_of(t.counted))]
    unit, scale = unit_for([float(np.median(steps_of(t.counted))) for _, t in tracks])
    for place, track in tracks:
        row = np.median(steps_of(track.counted), axis=0) * scale
        x = np.arange(1, len(row) + 1)
        axes.plot(x, row, color=colour_of(place), linewidth=0.9, label=track.label)
        for warm in steps_of(track.warm_ups):
            axes.plot(x[: len(warm)], warm[: len(x)] * scale, color=GREY, linewidth=0.5, alpha=0.5)
    axes.set_title("token by token, median of repetitions; warm-ups grey", fontsize="medium")
    axes.set_xlabel("token of a repetition")
    axes.set_ylabel(f"time ({unit})")
    axes.set_ylim(bottom=0)
    _legend(axes)


def _cost(axes: Axes, board: Board) -> None:
    """Speed to the right, divergence upwards."""
    for place, track in enumerate(board.tracks):
        if track.tokens_per_s is None or track.decode is None:
            continue
        proof = track.decode.proof
        kld = max(proof.mean_kld, 0.0) if proof else 0.0
        marker = "o" if track.is_ranked else "x"
        axes.plot(track.tokens_per_s, kld, marker, color=colour_of(place), label=track.label)
    axes.set_title("speed and quality", fontsize="medium")
    axes.set_xlabel("tokens/s")
    axes.set_ylabel("KLD from the plain model (nats)")
    axes.set_xlim(left=0)
    axes.set_yscale("symlog", linthresh=1e-6)
    axes.set_ylim(bottom=-1e-7)
    _legend(axes)


def _limits(axes: Axes, board: Board) -> None:
    tracks = [track for track in board.tracks if track.decode and track.decode.verdict]
    for place, track in enumerate(tracks):
        assert track.decode
        assert track.decode.verdict
        verdict = track.decode.verdict
        colour = colour_of(board.tracks.index(track))
        axes.barh(place, 100 * verdict.fraction, color=colour, height=0.65)
        words, spot = f"{100 * verdict.fraction:.1f} %, {verdict.bound}", (2, place)
        axes.annotate(words, spot, va="center", fontsize=8, color="black")
    _names(axes, tracks)
    axes.axvline(100, color=GREY, linestyle="--", linewidth=1)
    axes.set_title("share of what bounds it", fontsize="medium")
    axes.set_xlabel("%")


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:
        for text in axes.legend(frameon=False, fontsize=8).get_texts():
            text.set_parse_math(False)
