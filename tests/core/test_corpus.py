"""Texts from disk, and their split."""

from __future__ import annotations

import re
import sys
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import DataError
from core.testing import result_of
from core.text import corpus as corpus_module
from core.text.batches import RandomBatches
from core.text.corpus import (
    Corpus,
    TextStream,
    alphabet,
    load_corpus,
    sample,
    split_place,
)
from core.text.reading import decoded, read_file
from core.text.sources import full_name

TEXT_HINT = "Choose a text of a few KB."


def text_of(corpus: Corpus) -> str:
    return "".join(corpus.pieces())


def refused(path: Path | str) -> tuple[str, str]:
    with pytest.raises(DataError) as caught:
        load_corpus(str(path))
    return str(caught.value), caught.value.hint


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf"], ids=["nothing", "a byte-order mark"])
def test_an_empty_file_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes(data)
    assert refused(path) == (f"The file '{path}' is empty.", TEXT_HINT)


def test_a_binary_file_is_refused_with_the_place(tmp_path: Path) -> None:
    path = tmp_path / "t.bin"
    path.write_bytes(b"PK12\0\xff\0")
    message = f"The file '{path}' is not text: byte 4 is NUL."
    assert refused(path) == (message, "Choose a plain text file in UTF-8.")


def test_another_encoding_is_refused_with_the_byte_offset(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes("naïve é".encode() + "é".encode("latin1") + b" x")
    message = f"The file '{path}' is not UTF-8: byte 9 is 0xe9."
    assert refused(path) == (message, "Convert it first: iconv -t utf-8 -f latin1 t.txt")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    message = f"There is no file '{path}'."
    assert refused(path) == (
        message,
        "Known without a file: python-docs, python-source, generated.",
    )


def test_an_unreadable_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    message = f"The file '{tmp_path / 't'}' cannot be read: Permission denied."
    assert refused(tmp_path / "t") == (message, "Check its permissions.")


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "~nobody-of-that-name/t.txt"])
def test_a_name_that_no_file_can_have_is_refused(name: str) -> None:
    message, hint = refused(name)
    assert message.startswith(("The file ", "There is no file "))
    assert hint


def test_line_ends_stay_and_a_byte_order_mark_goes(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes(b"\xef\xbb\xbfa\r\nb\n\rc")
    assert "".join(read_file(path)) == "a\r\nb\n\rc"


def test_a_corpus_is_named_by_its_absolute_path_and_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.txt").write_text("abc", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    corpus = load_corpus("t.txt")
    assert corpus.name == full_name("t.txt") == str(tmp_path / "t.txt")
    assert text_of(corpus) == "abc"
    assert corpus.n_chars == 3
    assert corpus.sha256.startswith("ba7816bf8f01cfea")


def test_python_docs_come_with_python() -> None:
    corpus = load_corpus("python-docs")
    assert corpus.name == full_name("python-docs") == "python-docs"
    assert 300_000 < corpus.n_chars == len(text_of(corpus)) < 1_000_000
    assert "The standard type hierarchy" in text_of(corpus)
    again = load_corpus("python-docs")
    assert (again.sha256, text_of(again)) == (corpus.sha256, text_of(corpus))


def test_a_python_without_its_docs_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    assert refused("python-docs") == (
        "This Python lacks pydoc_data, the text python-docs.",
        "Install the full standard library, or use --corpus FILE.",
    )


@given(n_chars=st.integers(0, 10**12), fraction=st.floats(0.01, 0.99))
def test_a_split_leaves_something_on_both_sides_or_is_refused(
    n_chars: int, fraction: float
) -> None:
    cut = round(n_chars * (1 - fraction))
    if 0 < cut < n_chars:
        assert split_place(n_chars, fraction) == cut
    else:
        with pytest.raises(DataError):
            split_place(n_chars, fraction)


def test_too_short_a_text_cannot_be_split() -> None:
    message = "The text is too short to split: 4 characters, of which 0.1 are to be held out."
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        split_place(4, 0.1)
    assert caught.value.hint == "Choose a longer text."


@given(
    pieces=st.lists(st.text("ab\né日", min_size=1, max_size=9)),
    counts=st.lists(st.integers(0, 20)),
)
def test_a_stream_gives_what_is_asked_for_and_then_the_rest(
    pieces: list[str], counts: list[int]
) -> None:
    text, stream, place = "".join(pieces), TextStream(pieces), 0
    for n in counts:
        assert "".join(stream.take(n)) == text[place : place + n]
        place = min(len(text), place + n)
        assert stream.taken == place
    assert "".join(stream.take(len(text))) == text[place:]


@given(text=st.text(st.characters(exclude_categories=["Cs"])), sizes=st.lists(st.integers(1, 5)))
def test_a_text_decoded_in_blocks_is_the_text(text: str, sizes: list[int]) -> None:
    data, blocks = text.encode(), []
    for size in (*sizes, len(data)):
        blocks.append(data[:size])
        data = data[size:]
    expected = text.removeprefix("\ufeff")
    if "\0" in text or not expected:
        with pytest.raises(DataError):
            list(decoded(blocks, "It", ""))
    else:
        assert "".join(decoded(blocks, "It", "")) == expected


def test_only_a_mark_at_the_very_beginning_is_dropped() -> None:
    blocks = ["\ufeff\ufeffa".encode(), "\ufeffb".encode()]
    assert "".join(decoded(blocks, "It", "")) == "\ufeffa\ufeffb"


@given(data=st.binary(min_size=1), size=st.integers(1, 5))
def test_the_place_of_a_wrong_byte_does_not_depend_on_the_blocks(data: bytes, size: int) -> None:
    data = data.replace(b"\0", b"\xff")
    blocks = [data[i : i + size] for i in range(0, len(data), size)]
    try:
        data.decode()
    except UnicodeDecodeError as error:
        message = f"It is not UTF-8: byte {error.start} is 0x{data[error.start]:02x}."
        with pytest.raises(DataError, match=re.escape(message)):
            list(decoded(blocks, "It", ""))


def test_a_sample_of_a_short_text_is_the_text() -> None:
    text = "one line\n" * 100
    assert result_of(sample(TextStream([text]), 800)) == [text[:800]]


def test_a_sample_of_a_long_text_is_lines_from_all_over_its_training_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(corpus_module, "BLOCK_CHARS", 200)
    monkeypatch.setattr(corpus_module, "SAMPLE_BLOCKS", 16)
    monkeypatch.setattr(corpus_module, "SAMPLE_CHARS", 3200)
    lines = [f"this is line {i}\n" for i in range(5000)]
    text = "".join(lines)
    n_train = text.index("this is line 4000\n")
    work = sample(TextStream([text]), n_train)
    assert list(islice(work, 3)) == pytest.approx([200 / n_train * i for i in (1, 2, 3)], rel=0.01)
    found = result_of(sample(TextStream([text]), n_train))
    assert len(found) == 16
    assert 2000 < sum(map(len, found)) <= 3200
    drawn = [int(line.split()[-1]) for block in found for line in block.splitlines()]
    assert "".join(found) == "".join(lines[i] for i in drawn)
    assert drawn == sorted(set(drawn))
    assert {i // 250 for i in drawn} == set(range(16))
    assert result_of(sample(TextStream([text[:n_train]]), n_train)) == found


def test_blocks_without_lines_are_taken_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_module, "BLOCK_CHARS", 4)
    monkeypatch.setattr(corpus_module, "SAMPLE_BLOCKS", 2)
    monkeypatch.setattr(corpus_module, "SAMPLE_CHARS", 8)
    assert result_of(sample(TextStream(["abcd" * 9]), 36)) == ["abcd", "abcd"]


def test_an_alphabet_is_every_character_once(text_file: str) -> None:
    text = Path(text_file).read_text(encoding="utf-8")
    assert result_of(alphabet(load_corpus(text_file))) == "".join(sorted(set(text)))


def test_too_short_a_text_cannot_fill_a_row() -> None:
    import numpy as np

    message = "The training text is too short: 16 tokens for context=16."
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        RandomBatches(np.arange(16), batch_size=1, context=16, seed=0)
    assert caught.value.hint == "Choose a longer text, or context=2."
    assert RandomBatches(np.arange(17), batch_size=1, context=16, seed=0).at(1)[0][0, 0] == 0
