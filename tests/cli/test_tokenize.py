"""`minitf tokenize`: what is asked of core, and what is shown."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import TextConfig
from core.events import SetupProgressed, ShownToken, Tokenization, TokenizationCompleted
from minitf_tui.cli.progress import ProgressLine
from minitf_tui.cli.screen import Screen
from minitf_tui.cli.spans import BACKGROUNDS, Painter, width

PAINT = re.compile(r"\x1b\[[0-9;]*m")


def tokens(*texts: str) -> tuple[ShownToken, ...]:
    return tuple(ShownToken(id=100 + i, text=text) for i, text in enumerate(texts))


def done(*texts: str, **given: Any) -> TokenizationCompleted:
    facts: dict[str, Any] = {
        "tokenizer": "bpe",
        "vocab_size": 1024,
        "of": "run tiny",
        "text": "prompt",
        "characters": 40,
        "bytes": 45,
        "tokens": 20,
        "distinct_tokens": 15,
        "bytes_per_token": 2.25,
        "shown": tokens(*texts),
    }
    return TokenizationCompleted(result=Tokenization(**(facts | given)))


def screen(colours: int = 0, columns: int = 80, *, has_unicode: bool = True) -> Screen:
    return Screen(
        is_terminal=bool(colours),
        columns=columns,
        rows=24,
        colours=colours,
        has_unicode=has_unicode,
        has_braille=has_unicode,
    )


def test_tokens_and_figures(recipes, minitf):
    recipes.play(SetupProgressed(stage="reading x"), done("The", " ri", "ver", "\n", " é"))
    outcome = minitf("tokenize", "tiny", "--prompt", "The river\n é")
    assert outcome.code == 0
    assert outcome.out == (
        "The│ ri│ver│↵\n│ é\n"
        "... and 15 more; --show 0 shows all\n"
        "\n"
        "Tokens of prompt\n"
        "  tokenizer   bpe of run tiny, 1,024 tokens to choose from\n"
        "  characters  40\n"
        "  bytes       45\n"
        "  tokens      20, 15 distinct\n"
        "  per token   2.25 bytes, 2.00 characters\n"
    )
    assert outcome.err == "reading x ...\n"
    assert recipes.call == ("tokenizing", ("tiny",), {"prompt": "The river\n é", "n_shown": 400})


def test_nothing_is_said_of_more_when_all_is_shown(recipes, minitf):
    recipes.play(done("a", "b", tokens=2, tokenizer="byte"))
    out = minitf("tokenize", "--show", "0").out
    assert out.startswith("a│b\n\nTokens of prompt\n  tokenizer   byte, 1,024 tokens")
    assert recipes.call == ("tokenizing", ("last",), {"n_shown": 0})


def test_a_text_that_gives_no_tokens(recipes, minitf):
    recipes.play(done(tokens=0, distinct_tokens=0, bytes_per_token=0.0))
    assert "0, 0 distinct" in minitf("tokenize", "last").out


def test_a_new_tokenizer(recipes, minitf):
    recipes.play(done("a"))
    words = ["--corpus", "a.txt", "--tokenizer", "bpe", "--vocab-size", "300", "--text", "-"]
    assert minitf("tokenize", *words).code == 0
    config = TextConfig(corpus="a.txt", tokenizer="bpe", vocab_size=300)
    assert recipes.call == ("tokenizing", (config,), {"text": "-", "n_shown": 400})


def test_ids_stand_below_their_tokens(recipes, minitf):
    recipes.play(done("The", " ", "日本", "\n", "x"))
    out = minitf("tokenize", "--ids").out
    assert out.startswith("The│   │日本│↵\n100│101│102 │103\n\nx\n104\n")


def test_json_is_the_result_and_nothing_else(recipes, minitf):
    recipes.play(done("a\x1b", "\ud800"))
    outcome = minitf("tokenize", "--json")
    assert outcome.out.count("\n") == 1
    result = json.loads(outcome.out)
    assert result["shown"][0] == {"id": 100, "text": "a\x1b"}
    assert result["tokens"] == 20


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["--prompt", "a", "--text", "b"], "--prompt and --text are two texts.", "Leave one of"),
        (
            ["tiny", "--vocab-size", "300"],
            "--vocab-size makes a new tokenizer, and a run has its own.",
            "Leave out --vocab-size, or the run.",
        ),
        (["--show", "-1"], "--show=-1 is below 0.", "The default is 400; 0 is all."),
        (["--tokenizer", "words"], "--tokenizer='words' is not one of bpe, byte, char.", ""),
    ],
)
def test_mistakes(recipes, refused, words, message, hint):
    told = refused("tokenize", *words)
    assert told.startswith(f"minitf: {message}\n{hint}")
    assert recipes.calls == []


def test_neighbours_differ_in_colour_and_nothing_else_is_added():
    texts = ["The", " ri", "ver", "\n", "\n\n", " x\ty"]
    shown = Painter(screen(256)).running(tokens(*texts))
    colours = re.findall(r"48;5;(\d+)m", shown)
    assert {int(c) for c in colours} <= set(BACKGROUNDS)
    assert PAINT.sub("", shown) == "The river↵\n↵\n↵\n x    y"
    spans = re.findall(r"48;5;(\d+)m([^\x1b]*)\x1b\[0m", shown)
    assert [text for _, text in spans] == ["The", " ri", "ver", "↵", "↵", "↵", " x    y"]
    assert all("\n" not in text for _, text in spans), "a colour would run to the end of the line"
    for (one, _), (other, _) in pairwise(spans[:4]):
        assert one != other
    few = Painter(screen(16)).running(tokens(*texts))
    assert PAINT.sub("", few) == PAINT.sub("", shown)
    assert "\x1b[30;46mThe\x1b[0m\x1b[30;43m ri\x1b[0m" in few


def test_a_screen_without_line_characters():
    assert Painter(screen(has_unicode=False)).running(tokens("a", "\n", "b")) == "a|$\n|b"


@pytest.mark.parametrize("colours", [0, 16, 256])
@given(texts=st.lists(st.text(min_size=1), max_size=8))
def test_no_token_acts_on_the_terminal(colours: int, texts: list[str]) -> None:
    painter = Painter(screen(colours, columns=40))
    for shown in (painter.running(tokens(*texts)), painter.with_ids(tokens(*texts))):
        assert all(c.isprintable() or c == "\n" for c in PAINT.sub("", shown))


@given(texts=st.lists(st.text("ab日\n\u0301 ", min_size=1, max_size=6)))
def test_rows_with_ids_fit_the_screen_and_hold_every_id(texts: list[str]) -> None:
    shown = Painter(screen(columns=30)).with_ids(tokens(*texts))
    lines = shown.split("\n")
    assert all(width(line) < 30 for line in lines)
    ids = [number for line in lines[1::3] for number in re.findall(r"\d+", line)]
    assert ids == [str(100 + i) for i in range(len(texts))]


def test_a_terminal_sees_colours_unless_it_does_not_want_them(recipes, terminal, monkeypatch):
    from minitf_tui.__main__ import main

    monkeypatch.delenv("NO_COLOR", raising=False)
    for is_wanted in (True, False):
        recipes.calls.clear()
        recipes.play(done("a", "b"))
        stdout = terminal("stdout")
        if not is_wanted:
            monkeypatch.setenv("NO_COLOR", "1")
        assert main(["tokenize"]) == 0
        assert ("\x1b[" in stdout.getvalue()) is is_wanted
        assert ("a│b" in stdout.getvalue()) is not is_wanted


def test_a_stage_has_a_bar_and_its_remark_stays(terminal):
    stderr = terminal("stderr")
    clock = iter(range(100))
    line = ProgressLine(clock=lambda: float(next(clock)))
    line.setup(SetupProgressed(stage="reading x"))
    line.setup(SetupProgressed(stage="reading x", share=0.5))
    line.setup(SetupProgressed(stage="reading x", share=1.0, remark="2 files left out: 2 hidden"))
    line.clear()
    shown = stderr.getvalue()
    assert "\rreading x ...\x1b[K" in shown
    assert "\r██████░░░░░░ 50.0 %  reading x\x1b[K" in shown
    assert "\r\x1b[K2 files left out: 2 hidden\n" in shown


def test_without_a_terminal_each_stage_is_told_once(capsys):
    line = ProgressLine()
    for share in (None, 0.2, 0.9):
        line.setup(SetupProgressed(stage="reading x", share=share))
    line.setup(SetupProgressed(stage="reading x", share=1.0, remark="1 file left out: 1 binary"))
    line.setup(SetupProgressed(stage="tokenising x", share=0.5))
    assert capsys.readouterr().err == (
        "reading x ...\n1 file left out: 1 binary\ntokenising x ...\n"
    )
