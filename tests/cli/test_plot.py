"""`minitf plot`: in the terminal, in a pipe, in files, and when there is nothing to draw."""

from __future__ import annotations

import importlib.util
import json
import math
import re
from dataclasses import asdict

import pytest

from core.presets import SEED
from core.store.metrics import MetricsWriter
from core.store.run import FACT, Run, create_run
from minitf_tui.cli import drawing, figures, output
from minitf_tui.cli.curves import curves_of, smoothed
from minitf_tui.cli.screen import Screen
from minitf_tui.history import Average

SGR = re.compile(r"\x1b\[[0-9;]*m")
PIPE = Screen(is_terminal=False, columns=80, rows=24, colours=0, has_unicode=True, has_braille=True)


def made(make, name: str = "tiny", level: float = 3.0) -> Run:
    run = create_run(name, SEED, {}, "{}")
    with MetricsWriter(run.path) as metrics:
        metrics.write(make.started())
        for step in range(1, 21):
            loss = math.nan if step == 5 else level + 1 / step
            metrics.write(make.step(step, loss=loss, tokens=100 * step, train_s=0.5 * step))
        metrics.write(make.validated(10, loss=level + 0.5, train_s=5.0))
        metrics.write(make.validated(20, loss=level + 0.25, train_s=10.0))
    return run


@pytest.fixture
def run(make) -> Run:
    return made(make)


# Files.

HEADS = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


@pytest.mark.parametrize("suffix", HEADS)
def test_losses_in_each_format_and_the_same_each_time(minitf, run, tmp_path, suffix):
    names = [f"out/{name}{suffix}" for name in ("picture", "again")]
    for name in names:
        outcome = minitf("plot", "tiny", "--out", name)
        assert (outcome.code, outcome.err) == (0, "")
        assert outcome.out == f"Drew the loss of tiny in {name}\n"
    pictures = [(tmp_path / name).read_bytes() for name in names]
    assert pictures[0].startswith(HEADS[suffix])
    assert pictures[0] == pictures[1]
    assert not any(date in pictures[0] for date in (b"dc:date", b"CreationDate"))
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(n[4:] for n in names)


def test_the_text_of_an_svg_is_text(minitf, make, run, tmp_path):
    made(make, "other")
    minitf("plot", "tiny", "other", "--x", "tokens", "--out", "a.svg")
    svg = (tmp_path / "a.svg").read_text()
    for words in ("tiny, smoothed", "other, validation", "tokens trained on", "learning rate"):
        assert f">{words}<" in svg


def test_json_says_where_the_picture_is(minitf, run, make, tmp_path):
    run.save_report("benchmarks", asdict(make.benchmarked()))
    result = json.loads(minitf("plot", "--kind", "latency", "--out", "x.png", "--json").out)
    assert result == {
        "run": "tiny",
        "runs": ["tiny"],
        "kind": "latency",
        "path": str(tmp_path / "x.png"),
    }
    assert (tmp_path / "x.png").read_bytes().startswith(HEADS[".png"])


def test_the_newest_benchmark_is_drawn(minitf, run, make, monkeypatch):
    run.save_report("benchmarks", asdict(make.benchmarked()))
    newest = asdict(make.benchmarked())
    newest["result"]["cells"][0]["mean_ms"] = 77.0
    run.save_report("benchmarks", newest)
    drawn = []
    monkeypatch.setattr(figures, "save", lambda figure, path: drawn.append(figure))
    assert minitf("plot", "--kind", "latency", "--out", "x.png").code == 0
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
    assert ticks == ["torch\nno cache", "torch\nKV cache"]


def test_each_variant_of_the_first_workload_has_a_bar(make):
    ways = [
        make.variant("none"),
        make.variant(),
        make.variant(engine="fast"),
        make.variant(depth=99),
    ]
    cells = [
        asdict(make.cell("static", phase, 5.0, variant=way))
        for way in ways
        for phase in ("prefill", "decode")
    ]
    axes = figures.latency(cells, "tiny").axes[1]
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        "torch\nno cache",
        "torch\nKV cache",
        "fast\nKV cache",
    ]
    assert len({bar.get_facecolor() for bar in axes.patches}) == 3


def test_a_benchmark_that_an_older_version_kept_is_drawn_too(make):
    cells = [asdict(cell) for cell in make.benchmarked().result.cells]
    for cell in cells:
        cell["cache"] = cell.pop("variant")["cache"]
    axes = figures.latency(cells, "tiny").axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["no cache", "KV cache"]


def test_one_run_has_its_batches_and_several_have_their_names(make):
    events = [{"event": "StepCompleted", **asdict(make.step(n))} for n in (1, 2)]
    events.append({"event": "ValidationCompleted", **asdict(make.validated(2))})
    one, other = (curves_of(name, events) for name in ("a", "b"))
    lines = figures.loss([one], log_y=True).axes[0]
    labels = [line.get_label() for line in lines.get_lines()]
    assert labels == ["training, each step", "training, smoothed", "validation"]
    assert (lines.get_yscale(), lines.get_title()) == ("log", "a")
    several = figures.loss([one, other], x="time")
    labels = [line.get_label() for line in several.axes[0].get_lines()]
    assert labels == ["a, smoothed", "a, validation", "b, smoothed", "b, validation"]
    assert several.axes[1].get_xlabel() == "training time (s)"


def test_a_floor_is_drawn_where_the_source_of_the_text_is_known(make):
    started = {"event": "RunStarted", "floor_loss": 1.25}
    steps = [{"event": "StepCompleted", **asdict(make.step(n))} for n in (1, 2)]
    run = curves_of("a", [started, *steps])
    assert run.floor == 1.25
    floor = figures.loss([run]).axes[0].get_lines()[-1]
    assert (floor.get_label(), set(floor.get_ydata())) == ("floor 1.250", {1.25})
    assert "floor 1.250" in drawing.loss([run], PIPE, (90, 12), x="step", log_y=False)
    assert curves_of("a", steps).floor is None


def test_a_name_is_no_formula(make):
    events = [{"event": "StepCompleted", **asdict(make.step(1))}]
    figure = figures.loss([curves_of("$\\frac$", events)])
    assert figures.rendered(figure, ".png").startswith(HEADS[".png"])


def test_a_picture_that_cannot_be_finished_leaves_the_old_one(minitf, run, monkeypatch, tmp_path):
    (tmp_path / "x.png").write_bytes(b"old")

    class Full:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

        def write(self, data):
            raise OSError(28, "No space left on device")

    whole = output.os.fdopen
    monkeypatch.setattr(output.os, "fdopen", lambda *given: Full(whole(*given)))
    outcome = minitf("plot", "--out", "x.png")
    assert outcome.code == 2
    assert (
        outcome.err == "minitf: x.png cannot be written: No space left on device.\nName another.\n"
    )
    assert [path.name for path in tmp_path.glob("*x.png*")] == ["x.png"]
    assert (tmp_path / "x.png").read_bytes() == b"old"


# In the terminal.


def test_in_a_pipe_it_is_plain_text_of_the_usual_size(minitf, run):
    outcome = minitf("plot")
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert len(lines) == 20
    assert max(map(len, lines)) <= 80
    assert " ".join(lines[0].split()) == (
        "loss of tiny, nats/token ━ mean 3.050 ● held out 3.250 ━ batch step"
    )
    assert "\x1b" not in outcome.out
    assert any("⠀" < c <= "⣿" for c in outcome.out)
    assert outcome.out.count("●") == 3  # the legend's, and one for each validation


def test_a_terminal_gets_colours_and_its_own_size(run, terminal, monkeypatch):
    from minitf_tui.__main__ import main
    from minitf_tui.cli import screen

    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(screen, "size", lambda stream: (60, 15))
    stream = terminal("stdout")
    assert main(["plot"]) == 0
    assert "\x1b[38;2;0;114;178m" in stream.getvalue()
    lines = SGR.sub("", stream.getvalue()).splitlines()
    assert (len(lines), max(map(len, lines)) <= 60) == (12, True)
    monkeypatch.setenv("NO_COLOR", "1")
    stream = terminal("stdout")
    assert main(["plot", "--width", "40", "--height", "8"]) == 0
    assert "\x1b" not in stream.getvalue()
    lines = stream.getvalue().splitlines()
    assert (len(lines), max(map(len, lines)) <= 40) == (8, True)


@pytest.mark.parametrize(("colours", "code"), [(16, "\x1b[3"), (256, "\x1b[38;5;")])
def test_colours_are_those_that_the_terminal_has(make, colours, code):
    seen = Screen(
        is_terminal=True, columns=80, rows=24, colours=colours, has_unicode=True, has_braille=True
    )
    cells = [asdict(cell) for cell in make.benchmarked().result.cells]
    text = drawing.latency(cells, "tiny", seen, 70)
    assert code in text
    assert "38;2;" not in text


def test_an_encoding_without_lines_gets_ascii(make, run):
    seen = Screen(
        is_terminal=False, columns=80, rows=24, colours=0, has_unicode=False, has_braille=False
    )
    curves = [
        curves_of(
            "tiny",
            [{"event": "StepCompleted", **asdict(make.step(n, loss=1 / n))} for n in range(1, 30)],
        )
    ]
    for text in (
        drawing.loss(curves, seen, (70, 12), x="step", log_y=True),
        drawing.loss(curves * 2, seen, (70, 12), x="step", log_y=False),
        drawing.latency([asdict(c) for c in make.benchmarked().result.cells], "tiny", seen, 70),
    ):
        assert text.isascii()
        assert "?" not in text


def test_several_runs_are_told_apart_without_colours_too(minitf, make, run):
    made(make, "other", level=5.0)
    out = minitf("plot", "tiny", "other", "--width", "70").out
    plot, _, table = out.partition("\n\n")
    assert "a tiny 3.050  b other 5.050" in plot
    below, above = (
        [n for n, line in enumerate(plot.splitlines()[1:]) if mark in line] for mark in "ab"
    )
    assert max(above) < min(below)  # rows count from the top
    rows = [line.split() for line in table.splitlines()]
    assert rows == [
        ["run", "steps", "loss", "held", "out", "best"],
        ["a", "tiny", "20", "3.050", "3.250", "3.250"],
        ["b", "other", "20", "5.050", "5.250", "5.250"],
    ]


def test_latencies_in_the_terminal(minitf, run, make):
    run.save_report("benchmarks", asdict(make.benchmarked()))
    out = minitf("plot", "--kind", "latency", "--width", "60").out
    assert out.startswith("tiny: mean ± sd of 3 repetitions\n\nprefill, 511 tokens ──")
    plain, cached = (line for line in out.splitlines()[-2:])
    assert plain.startswith("torch, no cache")
    assert cached.startswith("torch, KV cache")
    assert plain.count("█") == pytest.approx(6 * cached.count("█"), abs=3)
    assert "1,200 ms" in plain or "1,200" in plain
    assert max(map(len, out.splitlines())) <= 60


def test_json_alone_prints_the_numbers(minitf, run, make):
    result = json.loads(minitf("plot", "--json", "--smooth", "0", "--x", "time").out)
    assert (result["kind"], result["x"]) == ("loss", "time")
    (curves,) = result["runs"]
    assert curves["x"] == [0.5 * step for step in range(1, 21)]
    assert curves["loss"][0] == 4.0
    assert curves["loss"][4] is None
    assert curves["validation_x"] == [5.0, 10.0]
    run.save_report("benchmarks", asdict(make.benchmarked()))
    cells = json.loads(minitf("plot", "--kind", "latency", "--json").out)["cells"]
    assert [cell["phase"] for cell in cells] == ["prefill", "decode", "prefill", "decode"]


# Numbers.


@pytest.mark.parametrize(
    ("x", "places", "scored"),
    [
        ("step", [1, 2, 3], [0, 2, 3]),
        ("tokens", [100, 200, 300], [0, 200, 300]),
        ("time", [0.5, 1.0, 1.5], [0.1, 1.2, 1.6]),
    ],
)
def test_a_validation_lies_where_its_step_does(make, x, places, scored):
    events = [{"event": "StepCompleted", **asdict(make.step(n, tokens=100 * n))} for n in (1, 2, 3)]
    events += [
        {"event": "ValidationCompleted", **asdict(make.validated(n, train_s=s))}
        for n, s in ((0, 0.1), (2, 1.2), (3, 1.6))
    ]
    found = curves_of("a", events, x=x)
    assert list(found.x) == places
    assert list(found.validation_x) == scored


def test_smoothing_keeps_a_constant_and_starts_at_the_first_value():
    assert smoothed([2.0] * 50) == pytest.approx([2.0] * 50)
    assert smoothed([5.0, 1.0] * 30)[0] == pytest.approx(5.0)
    assert smoothed([]) == ()
    assert smoothed([5.0, 1.0, 3.0], 0.0) == (5.0, 1.0, 3.0)


def test_smoothing_is_that_of_the_app():
    values = [math.sin(n) for n in range(200)]
    average = Average(0.9)
    assert list(smoothed(values, 0.9)) == [average.add(value) for value in values]


def test_a_gap_in_the_losses_does_not_swallow_the_curve():
    values = smoothed([1.0] * 30 + [math.nan] + [1.0] * 30)
    assert values[-1] == pytest.approx(1.0)


# What cannot be drawn.


def test_nothing_to_draw(refused, run):
    assert refused("plot", "--kind", "latency") == (
        "minitf: The run tiny has no benchmark yet.\nMake one: minitf bench tiny\n"
    )
    create_run("new", SEED, {}, "{}")
    assert refused("plot", "tiny", "new") == (
        "minitf: The run new has no steps to draw.\nGo on with it: minitf train --resume new\n"
    )
    create_run("small", SEED, {FACT: {"from_run": "new"}}, "{}")
    assert refused("plot", "small") == (
        "minitf: The run small is quantised and has no steps of its own to draw.\n"
        "Draw the run that it was made from: minitf plot new\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "x.gif"], "--out='x.gif' is not the name of a picture.\nIt ends in .png, .svg"),
        (
            ["a", "b", "--kind", "latency"],
            "--kind latency draws one run.\nName one, or --kind loss.",
        ),
        (["--kind", "latency", "--x", "time"], "--x goes with --kind loss only."),
        (["--kind", "latency", "--log-y"], "--log-y goes with --kind loss only."),
        (["--smooth", "1"], "--smooth=1 is not in [0, 1).\nAs in --smooth 0.9."),
        (["--smooth", "nan"], "--smooth=nan is not in [0, 1)."),
        (["--width", "3"], "--width=3 is not between 20 and 1000."),
        (["--height", "4"], "--height=4 is not between 5 and 1000."),
        (["--width", "50", "--out", "x.png"], "--width is for the terminal, not for --out.\nLeave"),
        (["--x", "epoch"], "--x='epoch' is not one of step, tokens, time."),
    ],
)
def test_mistakes(refused, words, message):
    assert refused("plot", *words).startswith(f"minitf: {message}")


def test_without_matplotlib_there_is_a_line_to_type(refused, run, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert refused("plot", "--out", "x.png") == (
        "minitf: Pictures are drawn by matplotlib, which is not installed.\n"
        "Install it with: python -m pip install matplotlib\n"
    )


def test_a_place_where_nothing_can_be_written(refused, run, tmp_path):
    (tmp_path / "file").write_text("")
    assert refused("plot", "--out", "file/picture.png").startswith(
        "minitf: file/picture.png cannot be written: "
    )
