"""The two streams: encodings, broken pipes, JSON, and the line that says how far a job is."""

from __future__ import annotations

import io
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from minitf_tui.cli import output
from minitf_tui.cli.progress import ProgressLine


class Broken(io.StringIO):
    def isatty(self):
        return True

    def write(self, text):
        raise BrokenPipeError


def test_what_an_encoding_lacks_becomes_a_question_mark(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    output.say("2.0× für\udcff")
    assert raw.getvalue() == b"2.0? f?r?\n"


def test_closed_streams_are_no_reason_to_fail(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    output.say("nobody")
    output.tell("listens")
    ProgressLine().note("at all")
    monkeypatch.setattr(sys, "stderr", Broken())
    output.tell("listens")


def test_a_broken_terminal_does_not_stop_the_job():
    line = ProgressLine(Broken())
    assert line.is_live
    line.show("step 1")
    assert not line.is_live
    line.note("step 2")
    line.clear()


@dataclass
class Thing:
    number: float
    parts: tuple[float, ...]
    path: Path


def test_json_is_strict():
    thing = Thing(math.nan, (1.5, math.inf), Path("a"))
    assert json.loads(output.to_json(thing)) == {"number": None, "parts": [1.5, None], "path": "a"}


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
)


@given(values)
def test_every_value_has_a_json(value):
    json.loads(output.to_json(value), parse_constant=lambda name: 1 / 0)


def test_the_line_is_drawn_at_most_ten_times_a_second(terminal):
    screen = terminal("stderr")
    now = [0.0]
    line = ProgressLine(screen, clock=lambda: now[0], columns=80)
    for i in range(100):
        now[0] = i / 100
        line.show(f"step {i}")
    assert 9 <= screen.getvalue().count("\r") <= 11


def test_the_line_fits_the_terminal_and_is_taken_away_before_others(terminal):
    screen = terminal("stderr")
    line = ProgressLine(screen, columns=20)
    line.show("x" * 100)
    line.note("a line that stays")
    assert screen.getvalue() == f"\r{'x' * 19}\x1b[K\r\x1b[Ka line that stays\n"
    line.clear()
    assert screen.getvalue().endswith("stays\n")


def test_the_name_of_a_text_cannot_draw_on_the_terminal(terminal):
    screen = terminal("stderr")
    line = ProgressLine(screen, columns=80)
    line.stage("reading \x1b[2J")
    line.note("\x9b")
    line.clear()
    assert screen.getvalue() == "\rreading \\x1b[2J ...\x1b[K\r\x1b[K\\x9b\n"


def test_without_a_terminal_nothing_is_overwritten(monkeypatch, terminal):
    stream = io.StringIO()
    line = ProgressLine(stream)
    line.show("step 1")
    line.stage("loading")
    line.clear()
    assert stream.getvalue() == "loading ...\n"
    monkeypatch.setenv("TERM", "dumb")
    assert not ProgressLine(terminal("stderr")).is_live


def test_a_bar_has_one_width_and_characters_that_can_be_shown(terminal):
    line = ProgressLine(terminal("stderr"))
    assert {len(line.bar(share)) for share in (-1.0, 0.0, 0.3, 1.0, 7.0)} == {12}
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    assert ProgressLine(ascii_only).bar(0.5) == "######......"
