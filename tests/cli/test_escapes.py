"""Line breaks and bars, typed on one line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitf_tui import escapes


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (r"\n\n", "\n\n"),
        (r"a\tb\r", "a\tb\r"),
        (r"\x20\u00e9\u65e5", " é日"),
        (r"\\n", r"\n"),
        (r"\|", "|"),
        (r"\d \x2 \u12 \ ", r"\d \x2 \u12 \ "),
        ("plain é", "plain é"),
        ("\\", "\\"),
    ],
)
def test_escapes(typed: str, meant: str) -> None:
    assert escapes.read(typed) == meant


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("", ()),
        ("   ", ()),
        ("END", ("END",)),
        (r"\n\n | The end. |", ("\n\n", "The end.")),
        (r"a\|b|\x20c", ("a|b", " c")),
        ("a\\", ("a\\",)),
    ],
)
def test_lists_are_parted_by_bars(typed: str, meant: tuple[str, ...]) -> None:
    assert escapes.read_list(typed) == meant


@given(st.lists(st.text(min_size=1), max_size=4))
def test_what_is_spelt_is_read_back_and_stands_on_one_line(texts: list[str]) -> None:
    spelt = escapes.spell_list(texts)
    assert escapes.read_list(spelt) == tuple(texts)
    assert "\n" not in spelt


@given(st.text())
def test_whatever_is_typed_means_something(typed: str) -> None:
    assert all(escapes.read_list(typed))
