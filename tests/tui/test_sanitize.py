"""Text of a model cannot reach the terminal as commands."""

from __future__ import annotations

import sys

import pytest

from minitf_tui.sanitize import clean, clean_line


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain é 漢字 🙂", "plain é 漢字 🙂"),
        ("a\nb", "a\nb"),
        ("a\tb", "a    b"),
        ("a\r\nb", "a\nb"),
        ("\x1b[2J", "·[2J"),
        ("\x9b31m", "·31m"),
        ("\x00\x07\x7f", "···"),
        ("\x85", "·"),
        ("\u202eabc\u200b\ufeff", "·abc··"),
        ("a\u2028b", "a\nb"),
        ("a\u00a0b\u3000c", "a b c"),
        ("\ud800", "·"),
        ("\ue000\U0010ffff", "··"),
        ("[/foo] [bold]", "[/foo] [bold]"),
        ("", ""),
    ],
)
def test_clean(raw: str, shown: str) -> None:
    assert clean(raw) == shown


@pytest.mark.slow
def test_no_character_at_all_gets_through_unprintable() -> None:
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    shown = clean(everything)
    assert all(c.isprintable() or c == "\n" for c in shown)
    assert clean(shown) == shown


def test_a_stream_cleaned_in_chunks_is_the_text_cleaned_whole() -> None:
    text = "a\r\nb\x1b[0m\tc\u202ed"
    assert "".join(clean(c) for c in text) == clean(text)


def test_clean_line_has_no_breaks() -> None:
    assert clean_line("a\nb\r\nc\u2029d") == "a b c d"
