"""Texts from disk, and their split."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import DataError
from core.text.batches import RandomBatches
from core.text.corpus import full_name, load_corpus, read_text, split_text

TEXT_HINT = "Choose a text of a few KB."


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
    assert refused(path) == (message, "Known without a file: python-docs, generated.")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path) == (f"'{tmp_path}' is a folder.", "Name one text file.")


def test_an_unreadable_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
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
    assert read_text(path) == "a\r\nb\n\rc"


def test_a_corpus_is_named_by_its_absolute_path_and_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.txt").write_text("abc", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    corpus = load_corpus("t.txt")
    assert corpus.name == full_name("t.txt") == str(tmp_path / "t.txt")
    assert corpus.text == "abc"
    assert corpus.sha256.startswith("ba7816bf8f01cfea")


def test_python_docs_come_with_python() -> None:
    corpus = load_corpus("python-docs")
    assert corpus.name == full_name("python-docs") == "python-docs"
    assert 300_000 < len(corpus.text) < 1_000_000
    assert "The standard type hierarchy" in corpus.text
    assert load_corpus("python-docs") == corpus


def test_a_python_without_its_docs_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    assert refused("python-docs") == (
        "This Python lacks pydoc_data, the text python-docs.",
        "Install the full standard library, or use --corpus FILE.",
    )


@given(text=st.text(min_size=2, max_size=200), fraction=st.floats(0.01, 0.99))
def test_a_split_is_contiguous_and_loses_nothing(text: str, fraction: float) -> None:
    cut = round(len(text) * (1 - fraction))
    if 0 < cut < len(text):
        assert split_text(text, fraction) == (text[:cut], text[cut:])
    else:
        with pytest.raises(DataError):
            split_text(text, fraction)


def test_too_short_a_text_cannot_be_split() -> None:
    message = "The text is too short to split: 4 characters, of which 0.1 are to be held out."
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        split_text("abcd", 0.1)
    assert caught.value.hint == "Choose a longer text."


def test_too_short_a_text_cannot_fill_a_row() -> None:
    import numpy as np

    message = "The training text is too short: 16 tokens for context=16."
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        RandomBatches(np.arange(16), batch_size=1, context=16, seed=0)
    assert caught.value.hint == "Choose a longer text, or context=2."
    assert RandomBatches(np.arange(17), batch_size=1, context=16, seed=0).at(1)[0][0, 0] == 0
