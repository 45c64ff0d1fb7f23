"""`minitf plot`: pictures in files, and what is said when there is nothing to draw."""

from __future__ import annotations

import importlib.util
import json
import math
from dataclasses import asdict

import pytest

from core.presets import SEED
from core.store.metrics import MetricsWriter
from core.store.run import Run, create_run
from minitf_tui.cli import figures


@pytest.fixture
def run(make) -> Run:
    made = create_run("tiny", SEED, {}, "{}")
    with MetricsWriter(made.path) as metrics:
        for step in range(1, 21):
            metrics.write(make.step(step, loss=math.nan if step == 5 else 3.0))
        metrics.write(make.validated(20))
    return made


HEADS = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


@pytest.mark.parametrize("suffix", HEADS)
def test_losses_in_each_format(minitf, run, tmp_path, suffix):
    outcome = minitf("plot", "tiny", "--out", f"out/picture{suffix}")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == f"Drew the loss of tiny in out/picture{suffix}\n"
    assert (tmp_path / "out" / f"picture{suffix}").read_bytes().startswith(HEADS[suffix])


def test_without_a_name_the_picture_is_named_after_its_kind(minitf, run, make, tmp_path):
    run.save_report("benchmarks", asdict(make.benchmarked()))
    result = json.loads(minitf("plot", "--kind", "latency", "--json").out)
    assert result == {
        "run": "tiny",
        "kind": "latency",
        "path": str(tmp_path / "plot_latency.png"),
    }
    assert (tmp_path / "plot_latency.png").read_bytes().startswith(HEADS[".png"])


def test_the_newest_benchmark_is_drawn(minitf, run, make, monkeypatch):
    run.save_report("benchmarks", asdict(make.benchmarked()))
    newest = asdict(make.benchmarked())
    newest["result"]["cells"][0]["mean_ms"] = 77.0
    run.save_report("benchmarks", newest)
    drawn = []
    monkeypatch.setattr(figures, "save", lambda figure, path: drawn.append(figure))
    assert minitf("plot", "--kind", "latency").code == 0
    heights = [bar.get_height() for axes in drawn[0].axes for bar in axes.patches]
    assert heights == [77.0, 2.1, 1200.0, 200.0]


def test_a_figure_says_what_and_in_which_unit(make):
    cells = [asdict(cell) for cell in make.benchmarked().result.cells]
    figure = figures.latency(cells, "tiny")
    assert [axes.get_ylabel() for axes in figure.axes] == ["time (ms)", "time (ms)"]
    assert [axes.get_title() for axes in figure.axes] == [
        "prefill, 511 tokens",
        "decode, 511 tokens",
    ]
    assert figure.get_suptitle() == "tiny: mean ± sd of 3 repetitions"
    ticks = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert ticks == ["no cache", "KV cache"]


@pytest.mark.parametrize(("floor", "labels"), [(1.25, ["floor 1.250"]), (None, [])])
def test_the_losses_have_a_line_at_the_floor(make, floor, labels):
    events = [
        {"event": type(event).__name__} | asdict(event)
        for event in (make.started(floor_loss=floor), make.step(1), make.step(2), make.validated(2))
    ]
    top = figures.loss(events, "tiny").axes[0]
    lines = [line for line in top.get_lines() if line.get_label().startswith("floor")]
    assert [line.get_label() for line in lines] == labels
    assert [set(line.get_ydata()) for line in lines] == [{1.25}] * len(labels)


def test_smoothing_keeps_a_constant_and_starts_at_the_first_value():
    assert figures.smoothed([2.0] * 50) == pytest.approx([2.0] * 50)
    assert figures.smoothed([5.0, 1.0] * 30)[0] == pytest.approx(5.0)
    assert figures.smoothed([]) == []


def test_a_gap_in_the_losses_does_not_swallow_the_curve():
    values = figures.smoothed([1.0] * 30 + [math.nan] + [1.0] * 30)
    assert values[-1] == pytest.approx(1.0)


def test_nothing_to_draw(refused, run):
    assert refused("plot", "--kind", "latency") == (
        "minitf: The run tiny has no benchmark yet.\nMake one: minitf bench tiny\n"
    )
    create_run("new", SEED, {}, "{}")
    assert refused("plot", "new") == (
        "minitf: The run new has no steps to draw.\nGo on with it: minitf train --resume new\n"
    )


def test_without_matplotlib_there_is_a_line_to_type(refused, run, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert refused("plot") == (
        "minitf: Pictures are drawn by matplotlib, which is not installed.\n"
        "Install it with: python -m pip install matplotlib\n"
    )


def test_a_place_where_nothing_can_be_written(refused, run, tmp_path):
    (tmp_path / "file").write_text("")
    assert refused("plot", "--out", "file/picture.png").startswith(
        "minitf: file/picture.png cannot be written: "
    )
