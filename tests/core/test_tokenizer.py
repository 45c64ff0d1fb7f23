"""What tokenizers refuse, and with which words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.errors import TokenizerError
from core.text.tokenizer import ByteTokenizer, CharTokenizer, load_tokenizer, train_bpe

BPE = train_bpe("abababab abab ab cab" * 5, 270)


def refused(work: Any) -> tuple[str, str]:
    with pytest.raises(TokenizerError) as caught:
        work()
    return str(caught.value), caught.value.hint


def test_an_unseen_character_is_named_with_its_place() -> None:
    message, hint = refused(lambda: CharTokenizer("abc").encode("ab日c"))
    assert message == (
        "The character '日' (U+65E5, at 2) is not among the 3 that this char tokenizer has seen."
    )
    assert hint == "Leave it out, or train with tokenizer=byte or bpe."


def test_a_char_tokenizer_without_characters_knows_none() -> None:
    assert CharTokenizer("").encode("").tolist() == []
    assert "is not among the 0" in refused(lambda: CharTokenizer("").encode("a"))[0]


def test_bytes_are_nothing_to_a_char_tokenizer() -> None:
    assert refused(lambda: CharTokenizer("abc").encode(b"a\xff")) == (
        "The byte 0xff is not UTF-8, and this tokenizer knows characters only.",
        "Train with tokenizer=byte or bpe to read any bytes.",
    )


@pytest.mark.parametrize("tokenizer", [ByteTokenizer(), BPE, CharTokenizer("ab")])
def test_a_lone_surrogate_is_no_text(tokenizer: Any) -> None:
    assert refused(lambda: tokenizer.encode("a\ud800")) == (
        "The text holds a lone surrogate, U+D800 at 1.",
        "Give the text as UTF-8 bytes.",
    )


@pytest.mark.parametrize("tokenizer", [ByteTokenizer(), BPE])
def test_invalid_bytes_become_single_byte_tokens(tokenizer: Any) -> None:
    ids = tokenizer.encode(b"ab\xff\xe6" + "é".encode()).tolist()
    assert ids[-4:] == [0xFF, 0xE6, *"é".encode()]
    assert tokenizer.decode(ids) == "ab��é"


def test_a_vocabulary_needs_room_for_merges() -> None:
    assert refused(lambda: train_bpe("abc", 256)) == (
        "vocab_size=256 leaves no room for merges beside 256 bytes.",
        "Try vocab_size=1024.",
    )


def changed(**tables: Any) -> str:
    return json.dumps(json.loads(BPE.to_json()) | tables)


@pytest.mark.parametrize(
    "source",
    [
        "",
        "{",
        "null",
        "[]",
        "{}",
        changed(model=None),
        changed(model={"vocab": {}, "merges": [["zz", "zz"]]}),
        changed(model={"vocab": {"a": 0}, "merges": [["a", "b"]]}),
        changed(model={"vocab": {"ab": 0}, "merges": []}, pre_tokenizer=None),
        changed(model={"vocab": {"a": 0}, "merges": [["a"]]}),
        changed(pre_tokenizer="x"),
        BPE.to_json()[:-20],
    ],
)
def test_a_damaged_file_is_refused(source: str) -> None:
    refused(lambda: load_tokenizer(source))


def test_a_text_without_pairs_gives_bytes_alone() -> None:
    tokenizer = train_bpe("ab", 300)
    assert tokenizer.vocab_size == 256
    assert tokenizer.encode("ab").tolist() == [97, 98]
    assert type(load_tokenizer(tokenizer.to_json())) is ByteTokenizer
