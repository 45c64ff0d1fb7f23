"""From bytes to text: held back until it is whole, and up to a stop string."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.infer.streaming import StreamedText


def stream(portions: list[bytes], stops: list[str]) -> tuple[str, str, list[str]]:
    """All text, the stop string that ended it, and what was shown with each portion."""
    text, shown = StreamedText(stops), []
    for i, portion in enumerate(portions, 1):
        shown.append(text.add(portion, is_last=i == len(portions)))
        if text.stop_string:
            break
    return "".join(shown), text.stop_string, shown


def whole(data: bytes, stops: list[str]) -> tuple[str, str]:
    """The same by looking for all of them in every beginning of the decoded whole."""
    text = data.decode("utf-8", "replace")
    for end in range(1, len(text) + 1):
        done = [stop for stop in stops if text[:end].endswith(stop)]
        if done:
            longest = max(done, key=len)
            return text[: end - len(longest)], longest
    return text, ""


# Few characters, of one to four bytes, so that stop strings come up often.
TEXT = st.text("ab\né日😀", max_size=14)
STOPS = st.lists(st.text("ab\né日😀", min_size=1, max_size=4), max_size=3)


@given(text=TEXT, stops=STOPS, data=st.data())
def test_it_is_the_whole_up_to_the_first_stop_however_it_was_cut(
    text: str, stops: list[str], data: st.DataObject
) -> None:
    raw = text.encode()
    borders = sorted(data.draw(st.sets(st.integers(0, len(raw)), max_size=8)) | {0, len(raw)})
    portions = [raw[a:b] for a, b in itertools.pairwise(borders)] or [b""]
    found, stop_string, shown = stream(portions, stops)
    assert (found, stop_string) == whole(raw, stops)
    so_far = ""
    for part in shown:  # nothing that was shown has to be taken back
        so_far += part
        assert found.startswith(so_far)


@given(data=st.binary(max_size=12), stops=st.lists(st.text(min_size=1, max_size=2), max_size=2))
def test_any_bytes_are_text(data: bytes, stops: list[str]) -> None:
    found, stop_string, _ = stream([data[i : i + 1] for i in range(len(data))] or [b""], stops)
    assert (found, stop_string) == whole(data, stops)


def test_only_what_could_become_a_stop_string_waits() -> None:
    text = StreamedText(["STOP", "\n\n"])
    assert [text.add(c.encode()) for c in "a\nS"] == ["a", "", "\n"]
    assert text.add(b"TO") == ""
    assert text.add(b"RE") == "STORE"
    assert text.add(b"\n") == ""
    assert text.add(b"", is_last=True) == "\n"


def test_what_follows_a_stop_string_in_its_token_is_left_out() -> None:
    text = StreamedText(["END"])
    assert text.add(b"the END. And") == "the "
    assert text.stop_string == "END"


def test_a_stop_string_of_several_bytes_waits_for_the_last() -> None:
    text = StreamedText(["é"])
    assert text.add(b"a\xc3") == "a"
    assert not text.stop_string
    assert text.add(b"\xa9") == ""
    assert text.stop_string == "é"


@pytest.mark.parametrize(
    ("stops", "text", "ended_by"),
    [
        (["ab", "abc"], "", "ab"),
        (["abc", "ab"], "", "ab"),
        (["bc", "abc"], "", "abc"),
        (["abcd", "bc"], "a", "bc"),
    ],
)
def test_the_one_that_is_complete_first_counts_and_of_two_the_longer(
    stops: list[str], text: str, ended_by: str
) -> None:
    for portions in ([b"abcd"], [b"a", b"b", b"c", b"d"], [b"ab", b"cd"]):
        assert stream(portions, stops)[:2] == (text, ended_by)


def test_it_may_begin_inside_a_character() -> None:
    text = StreamedText(before=b"x\xe6\x97")
    assert text.add(b"\xa5") == "日"
