"""What `minitf bench` prints: a table, a page, a spreadsheet, and a line that settles."""

from __future__ import annotations

import csv
import dataclasses
import io

import pytest

from core.events import CellSettled, Limits, Ratio, RepetitionCompleted, SetupProgressed, Verdict
from minitf_tui.cli import bench_report


@pytest.fixture
def full(make):
    """A benchmark with all that one can have, of two workloads."""
    result = make.benchmarked().result
    none, static = make.variant("none"), make.variant("static")
    slow = make.variant("int8", depth=64)
    proof = dataclasses.replace(
        result.cells[2].proof, is_exact=False, passes=False, identical_tokens=500, near_ties=2
    )
    fails = dataclasses.replace(result.cells[2].proof, passes=False, identical_tokens=3)
    more = (
        make.cell("int8", "prefill", 3.0, variant=slow, proof=proof),
        make.cell("int8", "decode", 300.0, variant=slow, proof=proof, outliers=(1,)),
        make.cell(
            "static",
            "decode",
            9.0,
            variant=make.variant("static", engine="fast"),
            proof=fails,
            is_ranked=False,
            peak_bytes=3 << 30,
            verdict=Verdict(bound="bytes", limit_tokens_per_s=2000.0, fraction=0.825),
        ),
    )
    return dataclasses.replace(
        result,
        cells=result.cells + more,
        ratios=(Ratio(left=none, right=static, ratio=5.98, ci95=(5.9, 6.07)),),
        limits=Limits(dispatch_us=3.65, bytes_per_s=44.6e9, flops_per_s=60e9),
        skipped=("There is no fast engine for this model.",),
        environment={"device": "cpu", "device_name": "\x1b[31mchip", "torch": "2"},
    )


def test_the_table_is_short_and_says_what_matters(minitf, recipes, make):
    recipes.play(make.benchmarked())
    lines = minitf("bench").out.splitlines()
    assert lines[0] == "tiny at step 100"
    assert lines[2] == "511 tokens at depth 16, after 16 of prompt; float32, 1 thread"
    head = "ways to decode ms ± sd µs/token tok/s vs 1st bound"
    assert " ".join(lines[3].split()) == head
    assert [line[:15] for line in lines[4:6]] == ["torch, no cache", "torch, KV cache"]
    assert lines[5].split()[3:] == ["200.0", "±", "4.0", "391", "1.0", "k", "6.00×", "–"]
    assert "torch, KV cache  512 of 512     0  2.0e-06  1.0e-09  +0.0000  passes" in lines
    assert "  speed-up     6.00× in decode" in lines


def test_what_is_not_as_it_should_be_is_told(make):
    result = make.benchmarked().result
    beyond = Verdict(bound="bytes", limit_tokens_per_s=2000.0, fraction=1.2)
    short = dataclasses.replace(result.cells[1], tokens=28)
    faster = dataclasses.replace(result.cells[3], verdict=beyond)
    cells = (result.cells[0], short, result.cells[2], faster)
    text = " ".join(bench_report.table(dataclasses.replace(result, cells=cells)).split())
    assert "bytes >100 %" in text
    assert text.endswith(
        "Note torch, no cache wrote only 28 tokens: 511 would take too long; compare the time of"
        " a token. >100 %: the machine had other work when its limit was measured."
    )


def test_no_line_is_wider_than_a_terminal_and_nothing_acts_on_it(full):
    text = bench_report.table(full)
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    for words in (
        "511 tokens at depth 64, after 16 of prompt",
        "bytes 82 %",
        "wrong",
        "approx.",
        "500 of 512",
        "fails",
        "outliers: 1",
        "peak memory  3.0 GiB",
        "3.6 µs a call, 44.6 GB/s, 60 GFLOP/s",
        "5.98 (5.9 to 6.07), torch, no cache : torch, KV cache",
        "fast, KV cache does not write what the model says, so it is not ranked.",
        "There is no fast engine for this model.",
    ):
        assert words in " ".join(text.split()) or words in text, words


def test_other_types_and_threads_have_tables_of_their_own(make):
    result = make.benchmarked().result
    half = make.variant(dtype="bfloat16", threads=2)
    cells = (make.cell("static", "decode", 100.0, variant=half, proof=result.cells[3].proof),)
    text = bench_report.table(dataclasses.replace(result, cells=result.cells + cells))
    assert "after 16 of prompt; float32, 1 thread\n" in text
    rest = text.partition("after 16 of prompt; bfloat16, 2 threads\n")[2]
    assert "12.0×" in rest.splitlines()[1]
    assert "torch, KV cache, f32 " in text
    assert "torch, KV cache, bf16" in text
    assert "in float32 and bfloat16, threads 1 to 2" in text


def test_other_programs_stand_beside_ours(make):
    result = make.benchmarked().result
    own = make.variant()
    theirs = make.variant(engine="llama.cpp", rival="llama.cpp", threads=2)
    slow = make.variant(engine="transformers", rival="transformers")
    cells = [
        make.cell("", phase, 400.0, variant=v) for v in (theirs, slow) for phase in ("decode",)
    ]
    ratios = (
        Ratio(left=make.variant("none"), right=own, ratio=6.0, ci95=(5.0, 7.0)),
        Ratio(left=own, right=theirs, ratio=0.5, ci95=(0.4, 0.8)),
        Ratio(left=make.variant("none"), right=theirs, ratio=3.0, ci95=(2.0, 4.0)),
        Ratio(left=own, right=slow, ratio=0.1, ci95=(0.08, 0.125)),
        Ratio(left=theirs, right=slow, ratio=0.2, ci95=(0.1, 0.3)),
    )
    known = {"llama.cpp": "0.3", "transformers": "5"}
    text = bench_report.table(
        dataclasses.replace(result, cells=(*result.cells, *cells), ratios=ratios, environment=known)
    )
    assert text.count("after 16 of prompt") == 1
    assert next(line.split()[:2] for line in text.splitlines() if "llama.cpp  " in line) == [
        "llama.cpp",
        "2",
    ]
    assert "\ntransformers " in text
    assert "  ratio        6 (5 to 7), torch, no cache : torch, KV cache\n" in text
    assert "  ratio        2 (1.25 to 2.5), llama.cpp : torch, KV cache\n" in text
    assert "  ratio        10 (8 to 12.5), transformers : torch, KV cache\n" in text
    assert "  rivals       llama.cpp 0.3, transformers 5" in text


def test_a_page_has_the_same_cells(minitf, recipes, make, full):
    recipes.play(make.benchmarked())
    out = minitf("bench", "--format", "markdown").out
    assert "| torch, KV cache | 200.0 ± 4.0 | 391 | 1.0 k | 6.00× | – |" in out
    assert "| ways to decode | ms ± sd |" in out
    assert "* speed-up: 6.00× in decode" in out
    rows = [line for line in bench_report.markdown(full).splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {5, 7, 8}


def test_a_spreadsheet_has_a_line_for_each_cell(minitf, recipes, make, full):
    recipes.play(make.benchmarked())
    rows = list(csv.DictReader(io.StringIO(minitf("bench", "--format", "csv").out)))
    assert [row["phase"] for row in rows] == ["prefill", "decode"] * 2
    assert rows[3]["samples_ms"] == "200.0 200.0 200.0"
    assert (rows[3]["cache"], rows[3]["identical_tokens"], rows[0]["passes"]) == (
        "static",
        "512",
        "",
    )
    wide = list(csv.DictReader(io.StringIO(bench_report.csv_lines(full))))
    assert (wide[6]["bound"], wide[6]["fraction"], wide[6]["is_ranked"]) == (
        "bytes",
        "0.825",
        "False",
    )
    assert wide[5]["outliers"] == "1"


def test_json_by_either_flag(minitf, recipes, make):
    recipes.play(make.benchmarked())
    as_format = minitf("bench", "--format", "json").out
    recipes.play(make.benchmarked())
    assert minitf("bench", "--json").out == as_format


def repetition(make, index, decode=200.0, **given):
    return RepetitionCompleted(
        variant=make.variant("static"),
        index=index,
        prefill_ms=1.5,
        decode_ms=decode,
        tokens=511,
        **{"is_stable": True} | given,
    )


def test_a_pipe_is_told_what_has_settled(minitf, recipes, make):
    cells = [CellSettled(cell=cell) for cell in make.benchmarked().result.cells]
    recipes.play(SetupProgressed(stage="proving"), repetition(make, 1), *cells, make.benchmarked())
    assert minitf("bench").err.splitlines() == [
        "proving ...",
        "torch, no cache: 1,200 ± 24 ms for 511 tokens, 3 repetitions",
        "torch, KV cache: 200.0 ± 4.0 ms for 511 tokens, 3 repetitions",
    ]


def test_a_terminal_sees_the_mean_settle(minitf, recipes, make, terminal, monkeypatch):
    monkeypatch.setattr("minitf_tui.cli.progress.INTERVAL_S", 0.0)
    screen = terminal("stderr")
    recipes.play(
        repetition(make, 0, is_stable=False),
        repetition(make, -1),
        repetition(make, 1),
        repetition(make, 2, decode=210.0, interval_ms=(195.0, 215.0)),
        make.benchmarked(),
    )
    minitf("bench", "--json")
    seen = screen.getvalue()
    assert "warming up, 1 time: torch, KV cache, 200 ms\x1b" in seen
    assert "warming up, 2 times: torch, KV cache, 200 ms, stable" in seen
    assert "1: torch, KV cache 200 ms" in seen
    assert "2: torch, KV cache 205.0 ± 7.1 ms, mean known within 4.9 %" in seen
