"""What a benchmark tells, kept by variant: labels, intervals, ranks, figures, rows."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from core.events import Benchmark, BenchmarkCompleted, BenchPlanned, Event, Variant
from minitf_tui import bench_figures, bench_tables
from minitf_tui.bench_board import Board, Track, labels, outliers
from minitf_tui.widgets.listing import Cell, Gauge, Sheet, Span
from tests.tui.bench_story import (
    FAST,
    FAST4,
    FAST8,
    NONE,
    RIVAL,
    STATIC,
    WINDOW,
    bench_story,
    repetition,
    variant,
)


def board_of(story: list[Event]) -> Board:
    board = Board()
    for event in story:
        if isinstance(event, BenchmarkCompleted):
            board.complete(event.result)
        else:
            board.hear(event)
    return board


def words(sheet: Sheet) -> list[list[str]]:
    return [[word.text for word in row if isinstance(word, Cell)] for row in sheet.rows]


# Names.


def test_labels_tell_what_differs_and_nothing_else() -> None:
    assert labels([NONE, STATIC]) == ["no cache", "KV cache"]
    assert labels([STATIC, FAST]) == ["torch", "fast"]
    assert labels([STATIC]) == ["torch KV cache"]
    assert labels([]) == []
    deep = variant(depth=2048)
    assert labels([STATIC, deep]) == ["at 16", "at 2,048"]
    assert labels([variant(threads=1), STATIC]) == ["1 thr", "2 thr"]


def test_labels_mark_what_is_approximate_and_name_a_rival_by_itself() -> None:
    assert labels([FAST, FAST8, FAST4]) == ["f32", "≈ int8", "≈ int4"]
    assert labels([STATIC, WINDOW, variant(cache="int8")]) == [
        "KV cache",
        "≈ window",
        "≈ int8 cache",
    ]
    assert labels([STATIC, RIVAL]) == ["torch KV cache", "llama.cpp"]


def test_equal_variants_are_numbered_and_hear_in_turn() -> None:
    assert labels([STATIC, STATIC]) == ["torch KV cache (1)", "torch KV cache (2)"]
    board = Board()
    board.hear(BenchPlanned(variants=(STATIC, STATIC)))
    for index in (0, 1, 2):
        for _ in range(2):
            board.hear(repetition(STATIC, index, []))
    assert [len(track.counted) for track in board.tracks] == [2, 2]
    assert [len(track.warm_ups) for track in board.tracks] == [1, 1]


def test_a_name_cannot_act_on_the_terminal() -> None:
    evil = Variant(
        engine="[/foo]\x1b[2J",
        cache="\x9b31m\u202e",
        dtype="\x00",
        bits=0,
        threads=1,
        prompt_tokens=1,
        depth=1,
        rival="",
    )
    for name in labels([evil, STATIC]):
        assert name.isprintable()
    board = Board()
    board.hear(BenchPlanned(variants=(evil,), skipped=("no \x1b[2J",)))
    assert all(line.plain.isprintable() for line in bench_tables.cells_sheet(board, 0.02).notes)


def test_a_variant_that_was_not_planned_is_shown_all_the_same() -> None:
    board = Board()
    assert board.hear(repetition(STATIC, 1, []))
    assert [track.label for track in board.tracks] == ["torch, KV cache"]


# Numbers.


def test_a_track_counts_what_is_counted_and_says_how_well_it_is_known() -> None:
    board = board_of(bench_story()[:-1])
    track = board.tracks[1]
    assert len(track.warm_ups) == 2
    assert len(track.counted) == 5
    times = [event.decode_ms / event.tokens for event in track.counted]
    assert track.mean_ms == pytest.approx(np.mean(times))
    assert track.sd_ms == pytest.approx(np.std(times, ddof=1))
    assert track.half_width == pytest.approx(3 * track.sd_ms / 5**0.5 / track.mean_ms, rel=1e-6)
    assert track.tokens_per_s == pytest.approx(1000 / np.median(times))


def test_nothing_is_known_before_the_first_counted_repetition() -> None:
    board = Board()
    board.hear(BenchPlanned(variants=(NONE, STATIC)))
    board.hear(repetition(NONE, 0, []))
    track = board.tracks[0]
    assert math.isnan(track.mean_ms)
    assert track.half_width is None
    assert track.tokens_per_s is None
    assert board.ranks() == {}
    assert board.share(5) == 0.0
    cells = words(bench_tables.cells_sheet(board, 0.02))
    assert "warm" in cells[0]
    assert "waiting" in cells[1]


def test_the_share_of_a_plan_grows_and_is_whole_when_all_have_settled() -> None:
    board, shares = Board(), []
    for event in bench_story()[:-1]:
        board.hear(event)
        shares.append(board.share(5))
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert board.settled == 7


def test_a_failed_proof_takes_a_variant_out_of_the_ranks() -> None:
    board = board_of(bench_story((NONE, STATIC, FAST), broken=(FAST,)))
    assert board.ranks() == {1: 1, 0: 2}
    sheet = bench_tables.cells_sheet(board, 0.02)
    [rank, name, *_] = sheet.rows[2]
    assert isinstance(rank, Cell)
    assert rank.text == ""
    assert isinstance(name, Cell)
    assert "strike" in name.style
    assert words(sheet)[2][-1] == "✗ failed"
    notes = bench_tables.proof_sheet(board).notes
    assert [note.plain for note in notes] == [
        "✗ fast KV cache: another answer than the plain engine's, so not ranked"
    ]


@pytest.mark.parametrize(
    ("samples", "far"),
    [
        ([1.0, 1.1, 0.9, 1.0, 9.0], [4]),
        ([1.0, 1.0, 1.0, 9.0], []),
        ([1.0, 9.0], []),
        ([], []),
        ([1.0, 1.1, 0.9, 1.05, 0.95], []),
    ],
)
def test_outliers_by_the_modified_z_score(samples: list[float], far: list[int]) -> None:
    assert outliers(samples) == far


# Rows.


def test_cells_show_intervals_that_have_settled_and_those_that_have_not() -> None:
    sheet = bench_tables.cells_sheet(board_of(bench_story()), 0.02)
    half = [word for row in sheet.rows for word in row if isinstance(word, Cell)][3]
    assert half.text.endswith(" %")
    assert "success" in half.style
    loose = bench_tables.cells_sheet(board_of(bench_story()[:-15]), 1e-6)
    assert not any("success" in w.style for row in loose.rows for w in row if isinstance(w, Cell))


def test_bits_stand_side_by_side_with_what_they_cost() -> None:
    sheet = bench_tables.bits_sheet(board_of(bench_story((FAST, FAST8, FAST4))))
    assert [row[0] for row in words(sheet)] == ["f32", "≈ int8", "≈ int4"]
    bars = [[w.share for w in row if isinstance(w, Gauge)] for row in sheet.rows]
    assert bars[2] == [1.0, 1.0]
    assert bars[0][0] < bars[1][0] < bars[2][0]
    assert bars[0][1] < 0.01 < bars[1][1] + 0.01
    assert "4.1e-04" in words(sheet)[1]
    assert sheet.notes == ()
    [note] = bench_tables.bits_sheet(board_of(bench_story((NONE, STATIC)))).notes
    assert "set bits to 0,8,4" in note.plain


def test_ratios_have_their_interval_and_say_when_it_tells_nothing() -> None:
    board = board_of(bench_story((NONE, STATIC)))
    [ratio] = board.ratios
    equal = dataclasses.replace(ratio, ratio=1.01, ci95=(0.97, 1.04))
    board.ratios = (ratio, equal)
    told, nothing = bench_tables.ratios_sheet(board).rows
    assert [w.style for w in told if isinstance(w, Span)] == ["$accent"]
    assert [w.style for w in nothing if isinstance(w, Span)] == ["$quiet"]
    assert "0.97 to 1.04" in words(bench_tables.ratios_sheet(board))[1]
    board.ratios = ()
    [note] = bench_tables.ratios_sheet(board).notes
    assert note.plain == "One variant has nothing to be compared with."
    [note] = bench_tables.ratios_sheet(Board()).notes
    assert "come at the end" in note.plain


def test_limits_name_the_bound_and_the_share_of_it() -> None:
    sheet = bench_tables.limits_sheet(board_of(bench_story((STATIC, RIVAL))))
    [[bar], []] = [[w.share for w in row if isinstance(w, Gauge)] for row in sheet.rows]
    assert bar == 0.62
    assert "62.0 %" in words(sheet)[0]
    assert "bytes" in words(sheet)[0]
    [note] = sheet.notes
    assert note.plain == ("this machine: 3.2 µs a dispatch, 17.0 GiB/s read, 92.0 GFLOP/s")


def test_nothing_is_faster_than_its_limit() -> None:
    board = board_of(bench_story((STATIC,)))
    cell = board.tracks[0].decode
    assert cell
    assert cell.verdict
    beyond = dataclasses.replace(cell.verdict, fraction=1.2)
    board.tracks[0].cells["decode"] = dataclasses.replace(cell, verdict=beyond)
    sheet = bench_tables.limits_sheet(board)
    assert [w.share for w in sheet.rows[0] if isinstance(w, Gauge)] == [1.0]
    assert ">100 %" in words(sheet)[0]
    assert sheet.notes[1].plain == (
        ">100 %: the machine had other work when its limit was measured"
    )


def test_times_below_a_millisecond_are_told_in_microseconds() -> None:
    assert bench_tables.unit_for([0.2, 0.4]) == ("µs", 1000.0)
    assert bench_tables.unit_for([0.2, 4.0]) == ("ms", 1.0)
    assert bench_tables.unit_for([math.nan]) == ("ms", 1.0)


# Figures.


def test_latency_has_bands_and_the_crossing_is_marked() -> None:
    figure = bench_figures.depth_figure(board_of(bench_story((NONE, STATIC))), dots="*")
    without, cached, mark = figure.curves
    assert without.x.tolist() == list(range(16, 80))
    assert without.low is not None
    assert (without.low <= without.y).all()
    assert without.y[-1] > cached.y[-1]
    assert mark.symbol == "◆"
    # 0.4 + 0.02 d = 0.9 + 0.0005 d
    assert mark.x[0] == pytest.approx(0.5 / 0.0195, abs=2)
    assert f"◆ crossing at {mark.x[0]:.0f}" in figure.title


def test_where_the_cache_always_pays_nothing_is_marked() -> None:
    fast = board_of(bench_story((NONE, variant(depth=300))))
    assert all(curve.symbol != "◆" for curve in bench_figures.depth_figure(fast, dots="*").curves)


def test_depths_of_one_way_are_one_curve() -> None:
    deep = tuple(variant(depth=depth) for depth in (256, 16, 40))
    [latency] = bench_figures.latencies(board_of(bench_story(deep)))
    assert (np.diff(latency.x) >= 0).all()
    assert len(latency.x) == 3 * 64
    assert not latency.is_marked


def test_an_engine_without_steps_gives_a_point_for_each_depth() -> None:
    deep = tuple(variant("fast", depth=depth) for depth in (16, 256))
    [latency] = bench_figures.latencies(board_of(bench_story(deep)))
    assert latency.is_marked
    assert latency.x.tolist() == [16 + 32, 256 + 32]
    assert bench_figures.depth_figure(Board(), dots="*").curves == ()


def test_the_trace_marks_warm_ups_and_late_tokens() -> None:
    board = board_of(bench_story((NONE, STATIC)))
    warm, again, newest, late = bench_figures.trace_figure(board.tracks[1], dots="*").curves
    assert (warm.name, again.name, warm.is_ghost) == ("warm-up", "", True)
    assert newest.name == "repetition 5"
    assert late.x.tolist() == [41]
    assert late.value == "1"
    early = Board()
    early.hear(repetition(STATIC, 0, []))
    [only] = bench_figures.trace_figure(early.tracks[0], dots="*").curves
    assert not only.is_ghost
    assert bench_figures.trace_figure(stepless(), dots="*").curves == ()


def stepless() -> Track:
    board = Board()
    board.hear(repetition(FAST, 1, []))
    return board.tracks[0]


def test_a_mean_settles_within_its_interval_and_warm_ups_do_not_count() -> None:
    board = board_of(bench_story((NONE, STATIC)))
    figure = bench_figures.settling_figure(board.tracks[1], dots="*")
    mean, warm, near, far = figure.curves
    assert mean.x.tolist() == [1, 2, 3, 4, 5]
    assert warm.x.tolist() == [-1, 0]
    assert mean.low is not None
    assert np.isnan(mean.low[:2]).all()
    assert mean.low[4] < mean.y[4]
    assert len(near.x) + len(far.x) == 5
    assert warm.y.max() < 1.6 * mean.y.min(), "far warm-ups must not flatten the rest"
    assert warm.value


def test_the_result_replaces_what_was_heard() -> None:
    *_, done = bench_story((NONE, STATIC))
    assert isinstance(done, BenchmarkCompleted)
    board = board_of(bench_story((NONE, STATIC))[:-1])
    empty = Benchmark(cells=done.result.cells[:2], ratios=(), limits=None, speedup=1.0)
    board.complete(empty)
    assert [len(track.cells) for track in board.tracks] == [2, 0]
