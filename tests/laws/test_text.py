"""Text is never lost on its way to tokens and back, and HF reads our files as we do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as HfTokenizer

from core.text import tokenizer as tokenizer_module
from core.text.batches import RandomBatches
from core.text.tokenizer import (
    BpeTokenizer,
    ByteTokenizer,
    CharTokenizer,
    Tokenizer,
    chunks,
    load_tokenizer,
    train_bpe,
)

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
wordy_text = st.lists(
    st.sampled_from(["def", " row", "'s", "'", "\n", "\n\n", " ", "\t", "\r\n", "é", "42", "\x1c"])
).map("".join)


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


@given(text=wordy_text)
def test_a_text_in_chunks_has_the_tokens_of_the_whole(text: str) -> None:
    whole = HfTokenizer.from_str(BPE.to_json()).encode(text, add_special_tokens=False).ids
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenizer_module, "_CHUNK_CHARS", 3)
        assert "".join(chunks(text)) == text
        assert BPE.encode(text).tolist() == whole


def test_a_long_text_is_cut_at_single_newlines_between_words() -> None:
    text = TEXT * 30
    pieces = chunks(text)
    assert len(pieces) > 1
    assert "".join(pieces) == text
    assert all(p[-1] == "\n" and not p[-2].isspace() for p in pieces[:-1])
    whole = HfTokenizer.from_str(BPE.to_json()).encode(text, add_special_tokens=False).ids
    assert BPE.encode(text).tolist() == whole


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
