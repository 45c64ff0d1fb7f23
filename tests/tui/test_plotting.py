"""Whatever the numbers, a plot is strips of the right size, and the process lives."""

from __future__ import annotations

import numpy as np
import pytest
from rich.style import Style

from minitf_tui.figure import Curve, Figure, Palette
from minitf_tui.plotting import decimate, draw, log_ticks, nice_ticks, tick_labels

PALETTE = Palette({"accent": (80, 180, 160), "ghost": (60, 70, 80)}, (210,) * 3, (120,) * 3)
NAN, INF = float("nan"), float("inf")


def curve(y: object, x: object = None, **changes: object) -> Curve:
    values = np.array(y, float)
    steps = np.arange(1.0, len(values) + 1) if x is None else np.array(x, float)
    return Curve("loss", steps, values, "accent", **changes)  # type: ignore[arg-type]


def texts(figure: Figure, width: int = 60, height: int = 12) -> list[str]:
    return [strip.text for strip in draw(figure, width, height, PALETTE, Style())]


ODD = {
    "empty": [],
    "one": [2.0],
    "one nan": [NAN],
    "constant": [3.0] * 20,
    "zeros": [0.0] * 20,
    "nan inside": [3.0, NAN, 2.0, NAN, NAN, 1.0],
    "nan first": [NAN, 2.0, 1.0],
    "infinite": [INF, 3.0, -INF, 2.0],
    "huge": [1e300, 1.0, -1e300],
    "huge but finite": [1e29, 1.0, 2.0],
    "tiny": [1e-300, 2e-300, 1e-310],
    "negative": [-5.0, -1.0, -3.0],
    "close": [1.0, 1.0 + 1e-13, 1.0 - 1e-13],
    "spike": [2.0] * 500 + [1e7] + [2.0] * 500,
}


@pytest.mark.parametrize("log_y", [False, True], ids=["linear", "log"])
@pytest.mark.parametrize("is_ghost", [False, True], ids=["curve", "ghost"])
@pytest.mark.parametrize("y", ODD.values(), ids=ODD.keys())
def test_odd_numbers(y: list[float], is_ghost: bool, log_y: bool) -> None:
    lines = texts(Figure("t", (curve(y, is_ghost=is_ghost), curve([1.0, 2.0])), log_y=log_y))
    assert len(lines) == 12
    assert {len(line) for line in lines} == {60}


@pytest.mark.parametrize("width", [1, 5, 19, 20, 33, 200])
@pytest.mark.parametrize("height", [1, 4, 5, 9, 60])
def test_any_size(width: int, height: int) -> None:
    lines = texts(Figure("title", (curve([3, 2, 1]),)), width, height)
    assert {len(line) for line in lines} == {width}
    assert len(lines) <= height


def test_x_that_does_not_move() -> None:
    assert len(texts(Figure("t", (curve([1, 2, 3], [5, 5, 5]),)))) == 12


def test_the_legend_names_curve_and_value() -> None:
    legend = texts(Figure("loss, nats", (curve([1.5], value="1.500"),)))[0]
    assert "loss, nats" in legend
    assert "loss 1.500" in legend
    assert legend.rstrip().endswith("step")


def test_falling_numbers_are_drawn_falling() -> None:
    rows = texts(Figure("t", (curve(np.linspace(5, 1, 100)),)))[1:-2]
    braille = [[i for i, c in enumerate(row) if "\u2800" < c <= "\u28ff"] for row in rows]
    drawn = [columns for columns in braille if columns]
    assert drawn[0][0] < drawn[-1][0]
    assert drawn[0][-1] < drawn[-1][-1]


def test_without_braille() -> None:
    text = "\n".join(texts(Figure("t", (curve([3, 2, 1]),), dots="*")))
    assert "*" in text
    assert not any("\u2800" <= c <= "\u28ff" for c in text)


def test_decimation_keeps_extremes_ends_and_order() -> None:
    rng = np.random.default_rng(0)
    x, y = np.arange(100_000.0), rng.normal(size=100_000)
    y[54_321], y[12_345] = 50.0, -50.0
    few_x, few_y = decimate(x, y, 100)
    assert len(few_x) <= 202
    assert (few_y.max(), few_y.min()) == (50.0, -50.0)
    assert (few_x[0], few_x[-1]) == (0.0, 99_999.0)
    assert (np.diff(few_x) > 0).all()


def test_decimation_leaves_few_points_alone_but_for_what_is_not_finite() -> None:
    x, y = decimate(np.arange(4.0), np.array([1.0, NAN, INF, 2.0]), 50)
    assert (x.tolist(), y.tolist()) == ([0.0, 3.0], [1.0, 2.0])


@pytest.mark.parametrize(
    ("low", "high", "about", "ticks"),
    [
        (0, 10, 5, [0, 2, 4, 6, 8, 10]),
        (1.2, 6.9, 3, [2, 4, 6]),
        (-1, 1, 2, [-1, 0, 1]),
        (0, 0.003, 3, [0, 0.001, 0.002, 0.003]),
        (5, 5, 3, [5]),
        (0, NAN, 3, [0]),
    ],
)
def test_ticks_are_round(low: float, high: float, about: int, ticks: list[float]) -> None:
    assert nice_ticks(low, high, about) == pytest.approx(ticks)


@pytest.mark.parametrize(
    ("ticks", "labels"),
    [
        ([0.0, 2.0, 4.0], ["0", "2", "4"]),
        ([0.0, 0.5, 1.0], ["0.0", "0.5", "1.0"]),
        ([2.0, 2.25, 2.5], ["2.00", "2.25", "2.50"]),
        ([0.0, 1e-3, 2e-3], ["0", "1.0e-3", "2.0e-3"]),
        ([0.0, 50_000.0], ["0", "50k"]),
        ([], []),
    ],
)
def test_tick_labels(ticks: list[float], labels: list[str]) -> None:
    assert tick_labels(ticks) == labels


@pytest.mark.parametrize("low", [-5.0, -0.3, 0.0, 0.1, 3.0])
@pytest.mark.parametrize("span", [0.01, 0.3, 1.0, 7.0])
@pytest.mark.parametrize("most", [2, 5])
def test_log_ticks_are_inside_and_few(low: float, span: float, most: int) -> None:
    ticks = log_ticks(low, low + span, most)
    assert 1 <= len(ticks) <= most
    assert all(low - 1e-6 <= np.log10(t) <= low + span + 1e-6 for t in ticks)


def columns_drawn(lines: list[str]) -> set[int]:
    """Columns of the plot in which anything stands, axes and title left out."""
    rows = lines[1:-2]
    return {i for row in rows for i, c in enumerate(row) if "\u2800" < c <= "\u28ff"}


def test_a_value_that_is_no_number_leaves_a_gap() -> None:
    whole = np.linspace(5.0, 1.0, 41)
    broken = whole.copy()
    broken[16:25] = NAN
    full, gap = (columns_drawn(texts(Figure("t", (curve(y),)))) for y in (whole, broken))
    missing = full - gap
    assert len(missing) >= 8
    assert max(missing) - min(missing) == len(missing) - 1
    assert min(full) in gap
    assert max(full) in gap


def test_a_spike_of_a_ghost_reaches_the_edge_and_does_not_stretch_the_scale() -> None:
    calm = 2.0 + 0.1 * np.sin(np.arange(400.0))
    spiked = calm.copy()
    spiked[200] = 500.0
    lines = texts(Figure("t", (curve(spiked, is_ghost=True), curve(calm))))
    assert "500" not in "".join(lines)
    top = [i for i, c in enumerate(lines[1]) if "\u2800" < c <= "\u28ff"]
    assert any(abs(i - 33) <= 3 for i in top)


def test_the_unit_is_the_first_to_go_where_a_legend_is_full() -> None:
    curves = (
        curve([1.0], value="1.234"),
        Curve("held out", np.ones(1), np.ones(1), "accent", value="1.234"),
    )
    wide = texts(Figure("loss, nats/token (log)", curves), 90)[0]
    narrow = texts(Figure("loss, nats/token (log)", curves), 50)[0]
    assert "loss, nats/token (log)" in wide
    assert "loss (log)" in narrow
    assert "held out 1.234" in narrow


def backgrounds(figure: Figure, back: str = "#0f1317") -> list[str]:
    """A letter for each cell: `.` for the background, `#` for a band."""
    strips = draw(figure, 60, 12, PALETTE, Style(bgcolor=back))
    return [
        "".join(
            ("." if part.style and part.style.bgcolor == Style(bgcolor=back).bgcolor else "#")
            * len(part.text)
            for part in strip
        )
        for strip in strips
    ]


def test_a_band_lies_behind_its_curve_and_widens_the_scale() -> None:
    flat = np.full(20, 2.0)
    banded = curve(flat, low=flat - 1, high=flat + 1)
    rows = backgrounds(Figure("t", (banded,)))
    assert {len(row) for row in rows} == {60}
    assert all("#" in row for row in rows[2:9])
    assert not any("#" in row for row in (rows[0], *rows[-2:]))
    assert not any("#" in row for row in backgrounds(Figure("t", (curve(flat),))))


@pytest.mark.parametrize("log_y", [False, True])
@pytest.mark.parametrize("edge", [[NAN] * 4, [1.0, NAN, 3.0, INF], [-1.0, 0.0, 1.0, 2.0]])
def test_odd_bands(edge: list[float], log_y: bool) -> None:
    odd = curve([1.0, 2.0, 1.5, 2.5], low=np.array(edge), high=np.array(edge) + 1)
    rows = backgrounds(Figure("t", (odd,), log_y=log_y))
    assert {len(row) for row in rows} == {60}


def test_a_band_needs_a_background_that_is_known() -> None:
    flat = np.full(20, 2.0)
    figure = Figure("t", (curve(flat, low=flat - 1, high=flat + 1),))
    assert len(draw(figure, 60, 12, PALETTE, Style())) == 12
