"""Text is never lost on its way to tokens and back, and HF reads our files as we do."""

from __future__ import annotations

import sys
from itertools import accumulate, chain, islice, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as HfTokenizer

from core.config import TrainConfig
from core.errors import TokenizerError
from core.text import tokenizer as tokenizer_module
from core.text import words as words_module
from core.text.batches import RandomBatches, ShuffledBatches, make_batches
from core.text.corpus import load_corpus
from core.text.tokenizer import (
    BpeTokenizer,
    ByteTokenizer,
    CharTokenizer,
    Tokenizer,
    load_tokenizer,
    train_bpe,
)
from core.text.words import WordEncoder, cut_words

TEXT = "".join(
    f"def row_{i}(x): return 'naïve' if x['a'] == {i} else “b”  # tab\there\n\n  and  so on\n"
    for i in range(60)
)
BPE = train_bpe(TEXT, 300)
BYTE = ByteTokenizer()
BYTE_LEVEL = {"byte": BYTE, "bpe": BPE}
byte_level = pytest.mark.parametrize("tokenizer", BYTE_LEVEL.values(), ids=BYTE_LEVEL)
# A lone surrogate is no text: UTF-8 has no bytes for it.
any_text = st.text(st.characters(exclude_categories=["Cs"]))
PARTS = ["def", " row", "'s", "'", "'r", "e", "'l", "l", "\n", "\n\n", " ", "\t", "\r\n", "é", "42"]
PARTS += ["\x1c", "\xa0", "\u0301", "日", "。", "!"]
wordy_text = st.lists(st.sampled_from(PARTS)).map("".join)


def ends_of_pre_tokens(text: str) -> set[int]:
    level = HfTokenizer.from_str(BPE.to_json()).pre_tokenizer
    return {end for _, (_, end) in level.pre_tokenize_str(text)}


def ends_of_words(text: str) -> set[int]:
    return set(accumulate(map(len, chain.from_iterable(cut_words([text])))))


def theirs(text: str) -> list[int]:
    return HfTokenizer.from_str(BPE.to_json()).encode(text, add_special_tokens=False).ids


@byte_level
@given(data=st.binary())
def test_any_bytes_come_back(tokenizer: Tokenizer, data: bytes) -> None:
    ids = tokenizer.encode(data)
    assert tokenizer.decode_bytes(ids) == data
    assert tokenizer.count_bytes(ids) == len(data)


@byte_level
@given(text=any_text | wordy_text)
def test_any_text_comes_back(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.encode(text).tolist() == tokenizer.encode(text.encode()).tolist()


@given(characters=st.sets(st.characters(exclude_categories=["Cs"]), min_size=1), data=st.data())
def test_any_text_over_a_char_tokenizers_alphabet_comes_back(
    characters: set[str], data: st.DataObject
) -> None:
    tokenizer = CharTokenizer(characters)
    text = data.draw(st.text(st.sampled_from(sorted(characters))))
    ids = tokenizer.encode(text)
    assert len(ids) == len(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.vocab_size == len(characters)
    assert tokenizer.count_bytes(ids) == len(text.encode())


@given(texts=st.text("ab= -", min_size=1, max_size=200), vocab_size=st.integers(260, 330))
def test_a_bpe_learned_from_anything_round_trips_it(texts: str, vocab_size: int) -> None:
    tokenizer = train_bpe(texts, vocab_size)
    ids = tokenizer.encode(texts)
    assert 256 <= tokenizer.vocab_size <= vocab_size
    assert ids.max() < tokenizer.vocab_size
    assert tokenizer.decode(ids) == texts


@given(text=any_text | wordy_text)
def test_the_library_reads_our_bpe_file_as_we_do(text: str) -> None:
    theirs = HfTokenizer.from_str(BPE.to_json())
    assert BPE.encode(text).tolist() == theirs.encode(text, add_special_tokens=False).ids
    assert theirs.decode(BPE.encode(text).tolist()) == text


@given(text=any_text)
def test_the_library_reads_our_byte_file_as_we_do(text: str) -> None:
    theirs = HfTokenizer.from_str(BYTE.to_json())
    assert BYTE.encode(text).tolist() == theirs.encode(text, add_special_tokens=False).ids


def test_the_library_reads_our_char_file_as_we_do() -> None:
    tokenizer = CharTokenizer(TEXT)
    theirs = HfTokenizer.from_str(tokenizer.to_json())
    assert tokenizer.encode(TEXT).tolist() == theirs.encode(TEXT).ids
    assert theirs.decode(tokenizer.encode(TEXT).tolist()) == TEXT


@given(text=any_text | wordy_text, ends=st.lists(st.integers(0, 60)), size=st.integers(1, 9))
def test_a_text_in_pieces_has_the_tokens_of_the_whole(
    text: str, ends: list[int], size: int
) -> None:
    """However it comes, and wherever it is cut."""
    pieces = [text[a:b] for a, b in pairwise([0, *sorted(ends), len(text)])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(words_module, "PIECE_CHARS", size)
        patch.setattr(words_module, "LONG_WORD", size)
        words = list(chain.from_iterable(cut_words(pieces)))
        ids = list(chain.from_iterable(i.tolist() for i in BPE.encode_pieces(pieces)))
    assert "".join(words) == "".join(pieces) == text
    assert set(accumulate(map(len, words))) <= ends_of_pre_tokens(text)
    assert ids == theirs(text)


@given(text=any_text | wordy_text)
def test_words_end_where_the_librarys_pre_tokens_do(text: str) -> None:
    if text.isascii():
        assert ends_of_words(text) == ends_of_pre_tokens(text)
    else:
        assert ends_of_words(text) <= ends_of_pre_tokens(text)


@pytest.mark.parametrize(
    "end", [0x3100, pytest.param(sys.maxunicode + 1, marks=pytest.mark.slow)], ids=hex
)
def test_each_character_is_read_as_the_library_reads_it(end: int) -> None:
    """In company that shows what kind of character it is; all blanks are below U+3100. Of the
    planes that have no character yet, and of those that never will, one in 61."""
    codes = [
        *range(min(end, 0x40000)),
        *range(0x40000, end, 61),
        *range(0xE0000, min(end, 0xE1000)),
    ]
    assigned = [chr(c) for c in codes if not 0xD800 <= c <= 0xDFFF]
    text = "".join(f"a{c}{c}1{c} .{c}\n" for c in assigned)
    assert ends_of_words(text) <= ends_of_pre_tokens(text)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["python-docs", "python-source"])
def test_a_real_text_has_the_librarys_tokens(name: str) -> None:
    text = "".join(islice(load_corpus(name).pieces(), 40))[:400_000]
    assert BPE.encode(text).tolist() == theirs(text)


NASTY = {
    "no blank": "no-blank" * 9000,
    "spaces": " " * 70_000 + "x",
    "newlines": "\n" * 70_000,
    "one word": "a" * 70_000,
    "ideographs": "日本、語" * 20_000,
    "crlf": "x\r\n\r\n y" * 9000,
    "marks": "e\u0301" * 40_000,
    "contractions": "don'rein'ts" * 9000,
    "odd blanks": "\x1c\x85\xa0 " * 20_000,
}


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)
def test_a_text_with_hardly_a_place_to_cut_has_the_tokens_of_the_whole(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words_module, "PIECE_CHARS", 5000)
    monkeypatch.setattr(words_module, "LONG_WORD", 4000)
    assert BPE.encode(text).tolist() == theirs(text)


def test_a_word_too_long_for_memory_is_refused_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words_module, "PIECE_CHARS", 100)
    monkeypatch.setattr(words_module, "LONG_WORD", 50)
    monkeypatch.setattr(words_module, "LONGEST_WORD", 1000)
    monkeypatch.setattr(tokenizer_module, "PIECE_CHARS", 100)
    assert len(BPE.encode("one " + "a" * 990)) > 0
    for work in (BPE.encode, lambda text: train_bpe(text, 300)):
        with pytest.raises(TokenizerError) as caught:
            work("one two " + "a" * 5000)
        assert str(caught.value) == (
            "The word at character 7 is longer than 1000 characters, and bpe needs a whole word"
            " in memory."
        )
        assert caught.value.hint == (
            "Use tokenizer=byte or char, or put line breaks into the text."
        )


def test_the_table_of_words_begins_again_before_it_grows_too_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = theirs(TEXT)
    for limit in ("MOST_WORDS", "MOST_CHARS"):
        with monkeypatch.context() as patch:
            patch.setattr(words_module, limit, 40)
            patch.setattr(words_module, "PIECE_CHARS", 64)
            encoder = WordEncoder(HfTokenizer.from_str(BPE.to_json()))
            ids = []
            for part in encoder.encode([TEXT]):
                assert len(encoder._table._places) <= 40 + 64
                ids += part.tolist()
            assert ids == whole


@pytest.mark.parametrize("tokenizer", [BYTE, BPE, CharTokenizer(TEXT)], ids=lambda t: t.kind)
def test_a_tokenizer_file_gives_the_same_tokenizer(tokenizer: Tokenizer) -> None:
    again = load_tokenizer(tokenizer.to_json())
    assert type(again) is type(tokenizer)
    assert again.vocab_size == tokenizer.vocab_size
    assert again.to_json() == tokenizer.to_json()
    assert again.encode(TEXT).tolist() == tokenizer.encode(TEXT).tolist()


def test_bpe_learns_the_requested_vocabulary_and_shortens_its_text() -> None:
    assert isinstance(BPE, BpeTokenizer)
    assert BPE.vocab_size == 300
    assert len(BPE.encode(TEXT)) < 0.5 * len(TEXT.encode())
    assert train_bpe(TEXT, 300).merges == BPE.merges


@given(seed=st.integers(0, 2**40), step=st.integers(0, 2**31))
def test_a_batch_is_a_function_of_seed_and_step(seed: int, step: int) -> None:
    ids = np.arange(1000) * 7
    first, second = (RandomBatches(ids, batch_size=3, context=8, seed=seed) for _ in range(2))
    second.at(step + 1)
    inputs, targets = first.at(step)
    for one, other in zip((inputs, targets), second.at(step), strict=True):
        np.testing.assert_array_equal(one, other)
    assert inputs.shape == targets.shape == (3, 8)
    assert inputs.dtype == targets.dtype == np.int64
    np.testing.assert_array_equal(inputs + 7, targets)
    assert (inputs != first.at(step + 1)[0]).any()
    assert (inputs != RandomBatches(ids, batch_size=3, context=8, seed=seed + 1).at(step)[0]).any()


def test_every_start_of_a_text_is_drawn_the_last_one_included() -> None:
    batches = RandomBatches(np.arange(12), batch_size=64, context=8, seed=0)
    starts = np.concatenate([batches.at(step)[0][:, 0] for step in range(20)])
    counts = np.bincount(starts)
    assert len(counts) == 4
    assert counts.min() > 0.8 * len(starts) / 4


@given(
    n_tokens=st.integers(9, 300),
    context=st.integers(1, 8),
    batch_size=st.integers(1, 9),
    grad_accum=st.integers(1, 3),
    seed=st.integers(0, 2**40),
)
def test_a_shuffled_pass_meets_each_token_once(
    n_tokens: int, context: int, batch_size: int, grad_accum: int, seed: int
) -> None:
    """Nearly each: what is left out at the ends is shorter than two windows."""
    size = {"context": context, "seed": seed}
    ids = np.arange(n_tokens)
    batches = ShuffledBatches(ids, batch_size=batch_size, grad_accum=grad_accum, **size)
    whole = ShuffledBatches(ids, batch_size=batch_size * grad_accum, **size)
    n_windows = (n_tokens - min(context, n_tokens - context)) // context
    n_steps = -(-n_windows // (batch_size * grad_accum))
    rows = []
    for step in range(1, n_steps + 1):
        parts = [batches.at(step, micro) for micro in range(grad_accum)]
        for side, expected in enumerate(whole.at(step)):
            np.testing.assert_array_equal(np.concatenate([part[side] for part in parts]), expected)
        rows.append(whole.at(step)[1])
    targets = np.concatenate(rows)[:n_windows]
    assert len(np.unique(targets)) == targets.size
    assert n_tokens - targets.size < 2 * context + 1
    again = ShuffledBatches(ids, batch_size=batch_size, grad_accum=grad_accum, **size)
    np.testing.assert_array_equal(again.at(n_steps)[0], batches.at(n_steps)[0])
    np.testing.assert_array_equal(batches.at(3)[0] + 1, batches.at(3)[1])


def test_passes_differ_in_order_and_offset() -> None:
    batches = ShuffledBatches(np.arange(1000), batch_size=124, context=8, seed=0)
    first, second = (batches.at(step)[0][:, 0] for step in (1, 2))
    assert first[0] % 8 != second[0] % 8
    assert list(np.argsort(first)) != list(np.argsort(second))


def test_the_config_says_which_rows_are_drawn() -> None:
    ids = np.arange(100)
    assert isinstance(make_batches(ids, TrainConfig(context=8)), RandomBatches)
    assert isinstance(make_batches(ids, TrainConfig(context=8, rows="shuffled")), ShuffledBatches)
    two = make_batches(ids, TrainConfig(context=8, batch_size=4, grad_accum=2, rows="shuffled"))
    assert not np.array_equal(two.at(1, 0)[0], two.at(1, 1)[0])
