"""From what a benchmark has told to the rows that are read: a sheet for each view. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from textual.content import Content

from core.events import Proof, Ratio
from minitf_tui import format as fmt
from minitf_tui.bench_board import APPROXIMATE, Board, Track
from minitf_tui.sanitize import clean_line
from minitf_tui.widgets.listing import Cell, Column, Gauge, Row, Sheet, Span

ROUNDING = 1e-6
"""Nats; below it a distance is nothing but rounding, and no bar."""
PASSED, FAILED = "✓", "✗"
COLOURS = ("accent", "warning", "secondary", "success", "primary", "error")
"""Of variants, in the order of the plan; a seventh begins again."""


def colour_of(place: int) -> str:
    """A name in the theme."""
    return COLOURS[place % len(COLOURS)]


def unit_for(ms: Sequence[float]) -> tuple[str, float]:
    """The unit in which times are read best, and how many of it make a millisecond."""
    largest = max((value for value in ms if math.isfinite(value)), default=1.0)
    return ("µs", 1000.0) if largest < 1 else ("ms", 1.0)


def cells_sheet(board: Board, precision: float) -> Sheet:
    """All variants with the time of a token, how well it is known, and whether it counts.

    Args:
        precision: half of the interval at which a mean is settled, as a share of it.
    """
    tracks = board.tracks
    unit, scale = unit_for([track.mean_ms for track in tracks])
    largest = max((t.mean_ms + t.sd_ms for t in tracks if t.counted), default=0.0)
    ranks = board.ranks()
    columns = (
        Column("#"),
        Column("variant", is_left=True),
        Column("", is_gauge=True, rank=1),
        Column(f"{unit}/token ± σ"),
        Column("± 95 %"),
        Column("n", rank=4),
        Column("tok/s", rank=2),
        Column("1st token", rank=6),
        Column("of limit", rank=5),
        Column("proof", rank=3),
    )
    rows: list[Row] = []
    for place, track in enumerate(tracks):
        name = Cell(track.label, "" if track.is_ranked else "$quiet strike")
        rank = Cell(str(ranks.get(place, "")), "bold" if ranks.get(place) == 1 else "$quiet")
        shown = _bar(track, largest, f"${colour_of(place)}")
        rows.append((rank, name, shown, *_numbers(track, scale, precision)))
    return Sheet(columns, tuple(rows), _skipped(board))


def _bar(track: Track, largest: float, style: str) -> Cell | Gauge:
    if not track.counted or largest <= 0:
        return Cell(_waiting(track), "$quiet")
    low, high = track.mean_ms - track.sd_ms, track.mean_ms + track.sd_ms
    return Gauge(low / largest, high / largest, style)


def _waiting(track: Track) -> str:
    n = len(track.warm_ups)
    if not n:
        return "waiting"
    return "warm" if track.warm_ups[-1].is_stable else f"warm-up {n}"


def _numbers(track: Track, scale: float, precision: float) -> tuple[Cell, ...]:
    half = track.half_width
    is_narrow = half is not None and half <= precision
    style = "bold $success" if is_narrow else "" if track.decode else "$warning"
    warm = len(track.warm_ups)
    verdict = track.decode.verdict if track.decode else None
    share = fmt.share_of_limit(verdict.fraction) if verdict else ""
    bound = f"{share} {clean_line(verdict.bound)}" if verdict else fmt.NONE
    return (
        Cell(fmt.mean_sd(track.mean_ms * scale, track.sd_ms * scale), "bold"),
        Cell(f"{100 * half:.1f} %" if half is not None else fmt.NONE, style),
        Cell(f"{len(track.counted)} (+{warm})" if warm else str(len(track.counted)), "$quiet"),
        Cell(fmt.count(track.tokens_per_s)),
        Cell(fmt.milliseconds(track.first_token_ms), "$quiet"),
        Cell(bound, "" if verdict else "$quiet"),
        _proof_mark(track),
    )


def _proof_mark(track: Track) -> Cell:
    proof = track.decode.proof if track.decode else None
    if proof is None:
        return Cell("" if track.decode else fmt.NONE, "$quiet")
    if not proof.is_exact:
        return Cell(f"{APPROXIMATE} {fmt.percent(_same(proof))}", "$warning")
    if proof.passes:
        return Cell(PASSED, "bold $success")
    return Cell(f"{FAILED} failed", "bold $error")


def _same(proof: Proof) -> float:
    return (proof.identical_tokens + proof.near_ties) / max(1, proof.of)


def proof_sheet(board: Board) -> Sheet:
    """How near each path comes to the plain one, and which of them do not count for that."""
    columns = (
        Column("variant", is_left=True),
        Column("proof", is_left=True),
        Column("same tokens"),
        Column("near ties", rank=4),
        Column("logits ±"),
        Column("KLD, nats", rank=2),
        Column("loss", rank=3),
        Column("held out", rank=5),
        Column("against", is_left=True, rank=6),
    )
    rows = [_proof_row(track) for track in board.tracks]
    failed = [track.label for track in board.tracks if not track.is_ranked]
    notes: tuple[Content, ...] = ()
    if failed:
        words = f"{', '.join(failed)}: another answer than the plain engine's, so not ranked"
        notes = (Content.styled(f"{FAILED} {words}", "$error"),)
    return Sheet(columns, tuple(rows), notes)


def _proof_row(track: Track) -> Row:
    name = Cell(track.label)
    proof = track.decode.proof if track.decode else None
    if proof is None:
        words = "comes at its end" if not track.decode else "the plain path"
        if track.decode and track.variant.rival:
            words = "another program"
        return (name, Cell(words, "$quiet"), *[Cell("", "$quiet")] * 7)
    mark = (PASSED, "bold $success") if proof.passes else (f"{FAILED} failed", "bold $error")
    if not proof.is_exact:
        mark = (f"{APPROXIMATE} approximate", "$warning")
    return (
        name,
        Cell(*mark),
        Cell(f"{proof.identical_tokens} of {proof.of}"),
        Cell(str(proof.near_ties), "$quiet"),
        Cell(f"{proof.max_logit_diff:.1e}"),
        Cell(f"{proof.mean_kld:.1e}"),
        Cell(fmt.loss_change(proof.loss_difference)),
        Cell(fmt.whole(proof.held_out_tokens), "$quiet"),
        Cell(clean_line(proof.plain), "$quiet"),
    )


def limits_sheet(board: Board) -> Sheet:
    """What bounds each variant, and how near to that bound it comes."""
    columns = (
        Column("variant", is_left=True),
        Column("of limit", is_gauge=True),
        Column(""),
        Column("bound", is_left=True),
        Column("limit, tok/s", rank=1),
        Column("reached", rank=2),
        Column("memory", rank=3),
    )
    rows: list[Row] = []
    for place, track in enumerate(board.tracks):
        verdict = track.decode.verdict if track.decode else None
        peak = fmt.size_bytes(track.decode.peak_bytes if track.decode else None)
        speed = Cell(fmt.count(track.tokens_per_s))
        if verdict is None:
            empty = Cell(fmt.NONE if track.decode else "not yet", "$quiet")
            rows.append((Cell(track.label), empty, Cell(""), Cell(""), Cell(""), speed, Cell(peak)))
            continue
        rows.append(
            (
                Cell(track.label),
                Gauge(min(1.0, verdict.fraction), style=f"${colour_of(place)}"),
                Cell(fmt.share_of_limit(verdict.fraction), "bold"),
                Cell(clean_line(verdict.bound)),
                Cell(fmt.count(verdict.limit_tokens_per_s)),
                speed,
                Cell(peak, "$quiet"),
            )
        )
    return Sheet(columns, tuple(rows), _limit_notes(board))


def _limit_notes(board: Board) -> tuple[Content, ...]:
    if board.limits is None:
        return ()
    limits = board.limits
    words = (
        f"this machine: {limits.dispatch_us:.1f} µs a dispatch,"
        f" {fmt.size_bytes(limits.bytes_per_s)}/s read,"
        f" {fmt.count(limits.flops_per_s)}FLOP/s"
    )
    notes = [Content.styled(words, "$quiet")]
    verdicts = [track.decode.verdict for track in board.tracks if track.decode]
    if any(verdict and verdict.fraction > 1 for verdict in verdicts):
        words = ">100 %: the machine had other work when its limit was measured"
        notes.append(Content.styled(words, "$warning"))
    return tuple(notes)


def bits_sheet(board: Board) -> Sheet:
    """Speed and quality side by side: what fewer bits gain, and what they cost."""
    tracks = sorted(board.tracks, key=lambda t: (t.variant.engine, -(t.variant.bits or 32)))
    speeds = [track.tokens_per_s or 0.0 for track in tracks]
    fastest = max(speeds, default=0.0)
    proofs = [track.decode.proof if track.decode else None for track in tracks]
    worst = max((proof.mean_kld for proof in proofs if proof), default=0.0)
    worst = max(worst, ROUNDING)
    columns = (
        Column("variant", is_left=True),
        Column("speed", is_gauge=True),
        Column("tok/s"),
        Column("distance", is_gauge=True, rank=3),
        Column("KLD, nats"),
        Column("same", rank=2),
        Column("loss", rank=1),
    )
    rows: list[Row] = []
    for track, speed, proof in zip(tracks, speeds, proofs, strict=True):
        style = f"${colour_of(board.tracks.index(track))}"
        bar: Cell | Gauge = Gauge(speed / fastest, style=style) if speed else Cell("·", "$quiet")
        cost: Cell | Gauge = Cell("", "$quiet")
        if proof:
            cost = Gauge(proof.mean_kld / worst, style="$error")
        rows.append(
            (
                Cell(track.label),
                bar,
                Cell(fmt.count(track.tokens_per_s), "bold"),
                cost,
                Cell(f"{proof.mean_kld:.1e}" if proof else fmt.NONE),
                Cell(fmt.percent(_same(proof)) if proof else fmt.NONE),
                Cell(fmt.loss_change(proof.loss_difference) if proof else fmt.NONE, "$quiet"),
            )
        )
    return Sheet(columns, tuple(rows), _bits_notes(board))


def _bits_notes(board: Board) -> tuple[Content, ...]:
    if len({track.variant.bits for track in board.tracks}) > 1:
        return ()
    words = "All weights are as stored: set bits to 0,8,4 for int8 and int4 beside them."
    return (Content.styled(words, "$quiet"),)


def ratios_sheet(board: Board) -> Sheet:
    """Each pair that was timed in turns: the ratio with its interval, on a logarithmic scale."""
    columns = (
        Column("decode time of", is_left=True),
        Column("over that of", is_left=True),
        Column("", is_gauge=True, rank=1),
        Column("ratio"),
        Column("95 % interval"),
    )
    edges = [edge for ratio in board.ratios for edge in (*ratio.ci95, 1.0) if edge > 0]
    logs = [math.log(edge) for edge in edges if math.isfinite(edge)] or [0.0]
    low, span = min(logs), max(max(logs) - min(logs), 0.02)
    rows = [_ratio_row(board, ratio, low, span) for ratio in board.ratios]
    if rows:
        words = "Above 1 (│) the right one is faster; an interval around 1 tells nothing."
    elif board.result:
        words = "One variant has nothing to be compared with."
    else:
        words = "The ratios come at the end, from repetitions that were timed in turns."
    return Sheet(columns, tuple(rows), (Content.styled(words, "$quiet"),))


def _ratio_row(board: Board, ratio: Ratio, low: float, span: float) -> Row:
    first, last = ratio.ci95
    places = [(math.log(max(v, 1e-9)) - low) / span for v in (first, last, 1.0)]
    is_told = not first <= 1 <= last
    return (
        Cell(board.label(ratio.left)),
        Cell(board.label(ratio.right)),
        Span(places[0], places[1], places[2], "$accent" if is_told else "$quiet"),
        Cell(fmt.times(ratio.ratio), "bold" if is_told else "$quiet"),
        Cell(f"{first:.3g} to {last:.3g}", "" if is_told else "$quiet"),
    )


def _skipped(board: Board) -> tuple[Content, ...]:
    return tuple(
        Content.styled(f"left out: {clean_line(why)}", "$warning") for why in board.skipped
    )
