"""Tokenizers of other programs: ids as their library gives them, in texts of any length."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Engine

from core.errors import TokenizerError
from core.interop.gguf.byte_level import KNOWN
from core.text import imported_tables, imported_tokenizer
from core.text.tokenizer import BpeTokenizer, Tokenizer, load_tokenizer, train_bpe
from tests.core.foreign_tokenizers import (
    END,
    METASPACE,
    TEXT,
    byte_level,
    changed,
    pieces,
    random_strings,
    sentencepiece,
    unigram,
)

PREFIX = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
SOURCES = {
    **{
        name: byte_level(json.dumps(pre), json.dumps(norm), ignores)
        for name, (pre, norm, ignores) in KNOWN.items()
    },
    "byte level, prefix": byte_level(json.dumps(PREFIX)),
    "sentencepiece": sentencepiece(),
    "sentencepiece, no prefix": sentencepiece(has_prefix_space=False),
    **{
        f"metaspace {scheme}": changed(
            sentencepiece(),
            normalizer=None,
            pre_tokenizer=METASPACE | {"prepend_scheme": scheme},
        )
        for scheme in ("first", "always", "never")
    },
    "unigram": unigram(),
}
GPT2, LLAMA = SOURCES["gpt-2"], SOURCES["sentencepiece"]
each = pytest.mark.parametrize("name", SOURCES)


def refused(work: Any) -> tuple[str, str]:
    with pytest.raises(TokenizerError) as caught:
        work()
    return str(caught.value), caught.value.hint


def model(source: str, **fields: Any) -> str:
    return changed(source, model=json.loads(source)["model"] | fields)


@each
def test_ids_are_those_of_the_library(name: str) -> None:
    tokenizer, engine = load_tokenizer(SOURCES[name]), Engine.from_str(SOURCES[name])
    for text in [TEXT, "", " ", "  a", *random_strings(100, 1)]:
        assert tokenizer.encode(text).tolist() == engine.encode(text, add_special_tokens=False).ids
        if text:
            assert tokenizer.encode_prompt(text).tolist() == engine.encode(text).ids


@each
def test_a_text_in_pieces_has_the_ids_of_the_whole(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imported_tokenizer, "PIECE_CHARS", 50)
    tokenizer = load_tokenizer(SOURCES[name])
    text = TEXT[:4000] + "\n".join(random_strings(150, 2))
    whole = tokenizer.encode(text).tolist()
    given = [text[i : i + 77] for i in range(0, len(text), 77)]
    parts = [ids.tolist() for ids in tokenizer.encode_pieces(given)]
    assert len(parts) > 50
    assert [i for ids in parts for i in ids] == whole


def test_a_text_without_a_place_to_cut_is_cut_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imported_tokenizer, "PIECE_CHARS", 10)
    monkeypatch.setattr(imported_tokenizer, "LONGEST_WORD", 100)
    tokenizer = load_tokenizer(GPT2)
    parts = [tokenizer.decode(ids.tolist()) for ids in tokenizer.encode_pieces(["x" * 60] * 4)]
    assert [len(part) for part in parts] == [100, 100, 40]


def test_pieces_need_no_more_memory_for_a_longer_text() -> None:
    tokenizer = load_tokenizer(LLAMA)

    def peak(n: int) -> int:
        tracemalloc.start()
        for _ in tokenizer.encode_pieces(TEXT for _ in range(n)):
            pass
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    assert peak(60) < 1.2 * peak(20)


@each
def test_a_text_that_follows_gets_no_space_before_it(name: str) -> None:
    tokenizer = load_tokenizer(SOURCES[name])
    # Unigram writes every blank as a space.
    ends = ["lion", "\n", "\n\n", " and the lion", "é東", "", "s"]
    for text in ends if name != "unigram" else ["lion", " and", "é東"]:
        assert tokenizer.decode(tokenizer.encode_following(text)) == text
    assert tokenizer.decode_bytes(tokenizer.encode_following(b"lion")) == b"lion"


@each
def test_a_prompt_is_shown_as_it_was_given(name: str) -> None:
    tokenizer = load_tokenizer(SOURCES[name])
    for text in ("The lion", "a"):
        assert tokenizer.decode_prompt(tokenizer.encode_prompt(text).tolist()) == text


def test_bytes_that_are_not_utf8_are_byte_tokens() -> None:
    for source in (GPT2, LLAMA):
        tokenizer = load_tokenizer(source)
        data = "né".encode() + b"\xff\xc3(" + b"\xe2\x96"
        ids = tokenizer.encode(data)
        assert tokenizer.decode_bytes(ids.tolist()).removeprefix(b" ") == data
        assert tokenizer.count_bytes(ids) == len(tokenizer.decode_bytes(ids.tolist()))


def test_bytes_without_tokens_are_refused() -> None:
    vocab = json.loads(unigram())["model"]["vocab"]
    source = model(unigram(), vocab=[row for row in vocab if row[0] != "<0xFF>"])
    assert refused(lambda: load_tokenizer(source).encode(b"a\xff")) == (
        "The byte 0xff is not UTF-8, and this tokenizer has no token for it.",
        "Give the text as UTF-8.",
    )


def test_a_lone_surrogate_is_refused_where_it_stands() -> None:
    tokenizer = load_tokenizer(GPT2)
    message = "The text holds a lone surrogate, U+D800 at 2."
    assert refused(lambda: tokenizer.encode("ab\ud800"))[0] == message
    assert refused(lambda: list(tokenizer.encode_pieces(["ab\ud800"])))[0] == message


def test_tokens_stand_for_bytes() -> None:
    tokenizer = load_tokenizer(LLAMA)
    names, _ = pieces()
    assert tokenizer.decode_bytes([names.index("<0xAB>")]) == b"\xab"
    assert tokenizer.decode_bytes([names.index("\u2581\u2581")]) == b"  "
    assert tokenizer.decode_bytes([1]) == b"<s>"
    end = load_tokenizer(GPT2).encode(END).tolist()
    assert end == [0]
    assert load_tokenizer(GPT2).decode_bytes(end) == END.encode()


def test_ids_beyond_the_tokenizer_stand_for_nothing() -> None:
    tokenizer = load_tokenizer(GPT2, vocab_size=700, end_ids=[0])
    assert (tokenizer.vocab_size, tokenizer.end_ids) == (700, (0,))
    assert tokenizer.decode_bytes([699]) == b""
    own = load_tokenizer(train_bpe(TEXT, 300).to_json(), vocab_size=320)
    assert isinstance(own, BpeTokenizer)
    assert own.vocab_size == 320
    assert own.decode_bytes([319, 97]) == b"a"


def test_a_tokenizer_that_does_not_fit_is_refused() -> None:
    largest = load_tokenizer(GPT2).vocab_size - 1
    assert refused(lambda: load_tokenizer(GPT2, vocab_size=largest)) == (
        f"The tokenizer does not fit: its largest id is {largest}, and the model has"
        f" vocab_size={largest}.",
        "Give the tokenizer that belongs to the model.",
    )


@each
def test_what_was_read_is_written(name: str) -> None:
    source = SOURCES[name] + "\n"
    assert load_tokenizer(source).to_json() == source
    assert load_tokenizer(source).kind == "imported"


def test_sections_on_length_are_left_aside() -> None:
    cut = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    pad = {
        "strategy": {"Fixed": 9},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": END,
    }
    source = changed(GPT2, truncation=cut, padding=pad)
    ids = load_tokenizer(source).encode("The lion and the mouse").tolist()
    assert ids == load_tokenizer(GPT2).encode("The lion and the mouse").tolist()


DAMAGED = "Fetch it again from where the model came from."


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("", "it is not JSON"),
        ("{", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ("null", "it has no model"),
        ("{}", "it has no model"),
        ('{"model": []}', "it has no model"),
        (changed(GPT2, model={"type": "BPE", "vocab": 3}), "its vocabulary is not a table of ids"),
        (model(GPT2, vocab={"a": -1}), "its vocabulary is not a table of ids"),
        (model(GPT2, vocab={"a": True}), "its vocabulary is not a table of ids"),
        (model(GPT2, vocab={"a": 1 << 40}), "its vocabulary is not a table of ids"),
        (model(GPT2, vocab={"a": 1e9}), "its vocabulary is not a table of ids"),
        (model(unigram(), vocab=[["a", 0.0], 3]), "its vocabulary is not a table of ids"),
        (changed(GPT2, added_tokens={"a": 1}), "its added tokens are not a list of texts and ids"),
        (changed(GPT2, added_tokens=[{"id": 0}]), "its added tokens are not a list of texts and"),
        (changed(GPT2, pre_tokenizer=["x"]), "its steps are not tables"),
        (changed(GPT2, pre_tokenizer={"pretokenizers": 3}), "its steps are not tables"),
    ],
)
def test_a_damaged_file_is_refused(source: str, reason: str) -> None:
    message, hint = refused(lambda: load_tokenizer(source))
    assert message.startswith(f"The tokenizer.json is damaged: {reason}")
    assert hint == DAMAGED


def test_a_file_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imported_tables, "LARGEST", 10)
    assert refused(lambda: load_tokenizer(GPT2))[0] == (
        f"The tokenizer.json is damaged: it has {len(GPT2)} characters, and 10 are allowed."
    )


@pytest.mark.parametrize("kind", ["WordPiece", "WordLevel", "Unheard", 7, None])
def test_other_kinds_are_refused(kind: object) -> None:
    assert refused(lambda: load_tokenizer(model(GPT2, type=kind))) == (
        f"minitf does not know tokenizers of the kind {str(kind)!r}.",
        "It reads byte-level BPE, and SentencePiece's BPE and Unigram.",
    )


def test_other_ways_to_write_spaces_are_refused() -> None:
    source = changed(GPT2, pre_tokenizer={"type": "Whitespace"})
    assert refused(lambda: load_tokenizer(source)) == (
        "minitf does not know how this tokenizer writes spaces.",
        "It reads byte-level BPE, and SentencePiece's BPE and Unigram.",
    )


@pytest.mark.parametrize(
    "source",
    [
        model(GPT2, merges=[["a"]]),
        model(GPT2, merges=[["no", "token"]]),
        model(GPT2, dropout="x"),
        model(unigram(), vocab=[]),
        model(unigram(), unk_id=10**6),
        changed(GPT2, post_processor={"type": "TemplateProcessing"}),
        changed(GPT2, decoder={"type": "Unheard"}),
        changed(GPT2, normalizer={"type": "Replace", "pattern": {"Regex": "("}, "content": ""}),
    ],
)
def test_what_the_library_refuses_is_refused(source: str) -> None:
    message, hint = refused(lambda: load_tokenizer(source))
    assert message.startswith("The tokenizer cannot be read: ")
    assert hint == "Its tokenizer.json is damaged, or was made for a newer program."
    assert "\n" not in message


def test_a_panic_of_the_library_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicError(BaseException):
        pass

    def panic(_: Tokenizer, __: str) -> list[int]:
        raise PanicError("index out\nof bounds")

    tokenizer = load_tokenizer(GPT2)
    monkeypatch.setattr(imported_tokenizer.ImportedTokenizer, "_ids", panic)
    assert refused(lambda: tokenizer.encode("a"))[0] == (
        "The imported tokenizer cannot encode this text: index out of bounds."
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
PLACES = ["added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder", "model"]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([GPT2, LLAMA, unigram()]), st.sampled_from([*PLACES, "vocab", "merges"]), JSON
)
def test_hostile_tables_are_read_or_refused(source: str, place: str, value: object) -> None:
    source = (
        changed(source, **{place: value}) if place in PLACES else model(source, **{place: value})
    )
    try:
        load_tokenizer(source).encode("The lion\n")
    except TokenizerError as error:
        assert "\n" not in str(error)  # noqa: PT017
