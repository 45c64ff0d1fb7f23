"""Token ids in the cache: right, reused, and computed again when they are not right."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from core import paths
from core.config import TextConfig
from core.errors import DataError
from core.store import id_file
from core.store import tokenizers as tokenizers_module
from core.store import tokens as tokens_module
from core.store.id_file import id_type
from core.store.stages import Telling
from core.store.tokens import TokenizedText, ids_of_text, tokenize_corpus
from core.testing import result_of
from core.text import corpus as corpus_module

R = TypeVar("R")


def tokenize(config: TextConfig) -> TokenizedText:
    found = result_of(tokenize_corpus(config))
    assert found is not None
    return found


def files() -> list[Path]:
    return sorted((paths.cache_dir() / "tokens").iterdir())


def same(one: TokenizedText, other: TokenizedText) -> bool:
    return (
        np.array_equal(one.train_ids, other.train_ids)
        and np.array_equal(one.validation_ids, other.validation_ids)
        and one.tokenizer.to_json() == other.tokenizer.to_json()
    )


@pytest.mark.parametrize("tokenizer", ["byte", "char", "bpe"])
def test_both_splits_are_the_text(text_file: str, tokenizer: str) -> None:
    config = TextConfig(corpus=text_file, tokenizer=tokenizer, vocab_size=300)
    found = tokenize(config)
    text = Path(text_file).read_text(encoding="utf-8")
    cut = round(0.9 * len(text))
    train, validation = text[:cut], text[cut:]
    assert found.tokenizer.decode(found.train_ids) == train
    assert found.tokenizer.decode(found.validation_ids) == validation
    expected = len(validation.encode()) / len(found.validation_ids)
    assert found.bytes_per_token == pytest.approx(expected)


def test_a_bpe_learns_from_the_training_part_alone(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("abc " * 900 + "xyzzy " * 60, encoding="utf-8")
    found = tokenize(TextConfig(corpus=str(path), vocab_size=300))
    merged = {found.tokenizer.decode([i]) for i in range(256, found.tokenizer.vocab_size)}
    assert " abc" in merged
    assert not any("x" in token or "z" in token for token in merged)


@pytest.mark.parametrize("tokenizer", ["byte", "char", "bpe"])
def test_a_second_reading_takes_the_cache(
    text_file: str, tokenizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TextConfig(corpus=text_file, tokenizer=tokenizer, vocab_size=300)
    first = tokenize(config)
    monkeypatch.delattr(tokens_module, "_write_ids")  # whoever does it again is told
    for work in ("train_bpe", "sample"):
        monkeypatch.delattr(tokenizers_module, work)
    assert same(tokenize(config), first)
    assert isinstance(first.train_ids, np.memmap)


def cut(data: bytes) -> bytes:
    return data[:-4]


def emptied(_: bytes) -> bytes:
    return b""


def flipped(data: bytes) -> bytes:
    return data[:-10] + bytes([data[-10] ^ 1]) + data[-9:]


def odd(data: bytes) -> bytes:
    return data + b"x"


@pytest.mark.parametrize("damage", [cut, emptied, flipped, odd, lambda data: data[:20]])
def test_a_damaged_cache_is_computed_again(
    text_file: str, damage: Callable[[bytes], bytes]
) -> None:
    config = TextConfig(corpus=text_file, tokenizer="byte")
    first = tokenize(config)
    intact = [np.array(first.train_ids), np.array(first.validation_ids)]
    for path in files():
        path.write_bytes(damage(path.read_bytes()))
    again = tokenize(config)
    assert np.array_equal(again.train_ids, intact[0])
    assert np.array_equal(again.validation_ids, intact[1])
    assert len(files()) == 1


def test_a_damaged_tokenizer_in_the_cache_is_trained_again(text_file: str) -> None:
    config = TextConfig(corpus=text_file, vocab_size=300)
    first = tokenize(config)
    (kept,) = (paths.cache_dir() / "tokenizers").iterdir()
    for rubbish in (b"{", b"\xff"):
        kept.write_bytes(rubbish)
        assert same(tokenize(config), first)


def test_a_large_file_is_hashed_once_and_then_known_by_its_looks(
    text_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(id_file, "ALWAYS_HASHED_BYTES", 1000)
    hashed: list[int] = []
    real = id_file._hash_of
    monkeypatch.setattr(id_file, "_hash_of", lambda *a: hashed.append(1) or real(*a))
    config = TextConfig(corpus=text_file, tokenizer="byte")
    first = tokenize(config)
    assert same(tokenize(config), first)
    assert hashed == [], "it is as it was written"
    ids, note = files()
    note.unlink()
    for _ in range(2):
        assert same(tokenize(config), first)
    assert hashed == [1]
    intact = np.array(first.train_ids)
    ids.write_bytes(flipped(ids.read_bytes()))
    assert np.array_equal(tokenize(config).train_ids, intact)
    assert hashed == [1, 1]
    note.unlink()
    note.mkdir()  # it cannot be written
    assert np.array_equal(tokenize(config).train_ids, intact)


@pytest.mark.parametrize("max_tokens", [0, 50])
def test_a_text_that_changes_while_it_is_read_is_refused_and_nothing_is_kept(
    text_file: str, max_tokens: int
) -> None:
    config = TextConfig(corpus=text_file, tokenizer="byte", max_tokens=max_tokens)
    work = tokenize_corpus(config)
    for event in work:
        if event.stage.startswith("tokenising"):
            break
    Path(text_file).write_text("other words, as many or more\n" * 500, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        list(work)
    assert str(caught.value) == f"The text {text_file!r} changed while it was read."
    assert caught.value.hint == "Start again when nothing writes to it."
    assert files() == []


@pytest.mark.parametrize("tokenizer", ["byte", "char", "bpe"])
def test_the_first_tokens_of_a_text_of_many_pieces_are_those_of_the_whole(
    tmp_path: Path, tokenizer: str
) -> None:
    path = tmp_path / "long.txt"
    path.write_text("".join(f"line {n} of many\n" for n in range(20_000)), encoding="utf-8")
    config = TextConfig(corpus=str(path), tokenizer=tokenizer, vocab_size=300)
    whole = tokenize(config)
    first = tokenize(replace(config, max_tokens=1000, validation_fraction=0.1))
    ids = np.concatenate([first.train_ids, first.validation_ids])
    assert np.array_equal(ids, whole.train_ids[:1000])


def noting(work: Telling[R], told: list[str]) -> Generator[None, None, R]:
    while True:
        try:
            event = next(work)
        except StopIteration as end:
            return end.value
        told.append(event.stage)
        yield


@pytest.mark.parametrize("tokenizer", ["byte", "char", "bpe"])
def test_a_wish_to_stop_is_seen_in_every_stage(text_file: str, tokenizer: str) -> None:
    config = TextConfig(corpus=text_file, tokenizer=tokenizer, vocab_size=300)
    stages = list(dict.fromkeys(event.stage for event in tokenize_corpus(config)))
    assert len(stages) == {"byte": 2, "char": 3, "bpe": 3}[tokenizer]
    for stage in stages:
        for path in paths.cache_dir().rglob("*.*"):
            path.unlink()
        told: list[str] = []
        work = tokenize_corpus(config, lambda told=told, stage=stage: stage in told)
        assert result_of(noting(work, told)) is None
        assert told[-1] == stage
        assert not [path for path in paths.cache_dir().rglob("*.bin") if path.is_file()]


def test_the_bpe_of_a_long_text_learns_from_a_sample(
    text_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TextConfig(corpus=text_file, vocab_size=300)
    whole = tokenize(config).tokenizer
    monkeypatch.setattr(corpus_module, "BLOCK_CHARS", 100)
    monkeypatch.setattr(corpus_module, "SAMPLE_BLOCKS", 8)
    for module in (corpus_module, tokenizers_module):
        monkeypatch.setattr(module, "SAMPLE_CHARS", 800)
    stages = {event.stage for event in tokenize_corpus(config)}
    assert {f"choosing what to learn from in {text_file}", "training a tokenizer"} <= stages
    found = tokenize(config)
    assert found.tokenizer.to_json() != whole.to_json()
    text = Path(text_file).read_text(encoding="utf-8")
    ids = [*found.train_ids.tolist(), *found.validation_ids.tolist()]
    assert found.tokenizer.decode(ids) == text


def test_any_text_can_be_read_in_the_tokens_of_another(text_file: str, tmp_path: Path) -> None:
    tokenizer = tokenize(TextConfig(corpus=text_file, vocab_size=300)).tokenizer
    (tmp_path / "other.txt").write_text("another text\n" * 50, encoding="utf-8")
    for _ in range(2):
        ids = result_of(ids_of_text(tokenizer, str(tmp_path / "other.txt")))
        assert isinstance(ids, np.memmap)
        assert tokenizer.decode(ids.tolist()) == "another text\n" * 50
    assert result_of(ids_of_text(tokenizer, text_file, lambda: True)) is None


@pytest.mark.parametrize(("vocab_size", "bits"), [(1 << 16, 16), ((1 << 16) + 1, 32)])
def test_ids_take_two_bytes_while_they_fit(vocab_size: int, bits: int) -> None:
    assert np.iinfo(id_type(vocab_size)).bits == bits


def test_a_vocabulary_past_16_bits_round_trips(tmp_path: Path) -> None:
    text = "".join(map(chr, range(0x10000, 0x10000 + 66_000)))
    path = tmp_path / "t.txt"
    path.write_text(text, encoding="utf-8")
    found = tokenize(TextConfig(corpus=str(path), tokenizer="char"))
    assert found.train_ids.dtype == np.uint32
    assert found.validation_ids.max() == 65_999
    assert found.tokenizer.decode(found.validation_ids[-3:]) == text[-3:]


@pytest.mark.parametrize(
    "change",
    [{"validation_fraction": 0.2}, {"max_tokens": 1000}, {"tokenizer": "char"}],
)
def test_another_text_setting_has_another_cache(text_file: str, change: dict[str, object]) -> None:
    config = TextConfig(corpus=text_file, tokenizer="byte")
    tokenize(config)
    changed = {"corpus": text_file, "tokenizer": "byte"} | change
    tokenize(TextConfig(**changed))  # type: ignore[arg-type]
    assert len(files()) == 2


def test_the_first_tokens_are_split_exactly(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("abcde" * 12_000, encoding="utf-8")
    config = TextConfig(
        corpus=str(path), tokenizer="byte", max_tokens=50_000, validation_fraction=0.2
    )
    found = tokenize(config)
    assert (len(found.train_ids), len(found.validation_ids)) == (40_000, 10_000)
    text = "abcde" * 12_000
    assert found.tokenizer.decode(found.validation_ids) == text[40_000:50_000]


@pytest.mark.parametrize("max_tokens", [1, 5])
def test_a_held_out_part_of_one_token_is_too_short(text_file: str, max_tokens: int) -> None:
    config = TextConfig(corpus=text_file, tokenizer="byte", max_tokens=max_tokens)
    message = "The held-out part of the text has fewer than 2 tokens."
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        tokenize(config)
    assert caught.value.hint == "Choose a longer text, or hold out a larger share."


def test_a_prompt_is_the_first_held_out_line_that_is_whole(text_file: str) -> None:
    found = tokenize(TextConfig(corpus=text_file, tokenizer="byte"))
    prompt = found.tokenizer.decode(found.held_out_prompt(16))
    assert prompt == "The river number"
    # Without a line's end it is the beginning; near the end it is never empty.
    for text in ("one long line without an end", "x\n"):
        ids = found.tokenizer.encode(text)
        short = TokenizedText(found.tokenizer, "", ids, ids)
        assert found.tokenizer.decode(short.held_out_prompt(4)) == text[:4]
