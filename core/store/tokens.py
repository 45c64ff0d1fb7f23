"""Texts as token ids: memory-mapped files in the cache, named by the hash of their content.

    <cache dir>/tokens/<sha256>.bin         sha256 of the ids, 32 bytes; then the ids, uint16,
                                            or uint32 past 65,535
    <cache dir>/tokenizers/<sha256>.json    trained BPE tokenizers

Everything here can be deleted at any time and is computed again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import paths
from core.config import TextConfig
from core.errors import DataError, RunError, TokenizerError
from core.store.files import write_atomically
from core.store.run import Run
from core.text.corpus import Corpus, load_corpus, split_text
from core.text.tokenizer import (
    ByteTokenizer,
    CharTokenizer,
    Tokenizer,
    load_tokenizer,
    train_bpe,
)

FORMAT = 2
DIGEST_BYTES = 32
PROMPT_SEARCH = 512
Ids = NDArray[Any]


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """A corpus, split and tokenised."""

    tokenizer: Tokenizer
    corpus_sha256: str
    train_ids: Ids
    validation_ids: Ids

    @property
    def bytes_per_token(self) -> float:
        """Of the validation split, in UTF-8."""
        return self.tokenizer.count_bytes(self.validation_ids) / len(self.validation_ids)

    def held_out_prompt(self, n_tokens: int) -> list[int]:
        """A beginning for generated text: the first held-out line that is there in full."""
        ids: list[int] = self.validation_ids[: PROMPT_SEARCH + n_tokens].tolist()
        ends = (i for i, t in enumerate(ids) if self.tokenizer.decode_bytes([t])[-1:] == b"\n")
        start = next(ends, -1) + 1
        return ids[start : start + n_tokens] or ids[:n_tokens]


def tokenize_corpus(config: TextConfig) -> TokenizedText:
    """Read a corpus, make its tokenizer and its ids, or take them from the cache.

    Raises:
        DataError: the text cannot be used.
        TokenizerError: it cannot be tokenised.
    """
    corpus = load_corpus(config.source)
    train_text, _ = split_text(corpus.text, config.validation_fraction)
    tokenizer = _make_tokenizer(config, corpus, train_text)
    return _split_ids(config, tokenizer, corpus.sha256, lambda: corpus)


def tokenized_text_of(run: Run) -> TokenizedText:
    """The text of a run as it was when the run was made, from the cache if it is there.

    Raises:
        RunError: the corpus has changed since.
        DataError: it cannot be read any more.
    """
    tokenizer = tokenizer_of(run)
    sha256 = str(run.provenance["corpus_sha256"])

    def same_corpus() -> Corpus:
        corpus = load_corpus(run.config.text.source)
        if corpus.sha256 != sha256:
            raise RunError(
                f"The corpus {corpus.name!r} has changed since {run.name} was made.",
                hint="Restore the old text, or start a new run. python-docs changes with Python.",
            )
        return corpus

    return _split_ids(run.config.text, tokenizer, sha256, same_corpus)


def tokenizer_of(run: Run) -> Tokenizer:
    """The run's own tokenizer.

    Raises:
        RunError: its file is missing.
        TokenizerError: it is damaged.
    """
    try:
        return load_tokenizer(run.tokenizer_path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(
            f"The tokenizer of {run.name} cannot be read: {error}.",
            hint="Restore its tokenizer.json, or train again.",
        ) from error


def _make_tokenizer(config: TextConfig, corpus: Corpus, train_text: str) -> Tokenizer:
    if config.tokenizer == "byte":
        return ByteTokenizer()
    if config.tokenizer == "char":
        return CharTokenizer(corpus.text)
    key = _hash(f"bpe {config.vocab_size} {config.validation_fraction!r} {corpus.sha256}")
    path = paths.cache_dir() / "tokenizers" / f"{key}.json"
    try:
        return load_tokenizer(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, TokenizerError):
        tokenizer = train_bpe(train_text, config.vocab_size)
        write_atomically(path, tokenizer.to_json().encode())
        return tokenizer


def _split_ids(
    config: TextConfig,
    tokenizer: Tokenizer,
    corpus_sha256: str,
    corpus: Callable[[], Corpus],
) -> TokenizedText:
    """Both splits; `corpus` is asked for its text only if the cache lacks them."""
    content = (
        f"{_hash(tokenizer.to_json())} {corpus_sha256}"
        f" {config.validation_fraction!r} {config.max_tokens}"
    )
    files = {part: _ids_path(f"{content} {part}") for part in ("train", "validation")}
    ids = {part: _read_ids(path, tokenizer.vocab_size) for part, path in files.items()}
    if any(part is None for part in ids.values()):
        for part, fresh in _tokenize(config, tokenizer, corpus()).items():
            data = fresh.astype(_id_type(tokenizer.vocab_size)).tobytes()
            write_atomically(files[part], hashlib.sha256(data).digest() + data)
            ids[part] = _read_ids(files[part], tokenizer.vocab_size)
    train_ids, validation_ids = ids["train"], ids["validation"]
    if train_ids is None or validation_ids is None or len(validation_ids) < 2:
        raise DataError(
            "The held-out part of the text has fewer than 2 tokens.",
            hint="Choose a longer text, or hold out a larger share.",
        )
    return TokenizedText(tokenizer, corpus_sha256, train_ids, validation_ids)


def _tokenize(config: TextConfig, tokenizer: Tokenizer, corpus: Corpus) -> dict[str, Ids]:
    """The split is made in characters, or in tokens if only the first ones are wanted."""
    if config.max_tokens:
        ids = tokenizer.encode(corpus.text)[: config.max_tokens]
        cut = round(len(ids) * (1 - config.validation_fraction))
        return {"train": ids[:cut], "validation": ids[cut:]}
    train_text, validation_text = split_text(corpus.text, config.validation_fraction)
    return {
        "train": tokenizer.encode(train_text),
        "validation": tokenizer.encode(validation_text),
    }


def _ids_path(content: str) -> Path:
    return paths.cache_dir() / "tokens" / f"{_hash(f'ids {FORMAT} {content}')}.bin"


def _read_ids(path: Path, vocab_size: int) -> Ids | None:
    """Memory-mapped ids, or None if there are none or the file is not what it should be."""
    try:
        with path.open("rb") as file:
            digest = file.read(DIGEST_BYTES)
        ids = np.memmap(path, dtype=_id_type(vocab_size), mode="r", offset=DIGEST_BYTES)
    except (OSError, ValueError):  # missing, without ids, or of an odd size
        return None
    return ids if hashlib.sha256(ids.data).digest() == digest else None


def _id_type(vocab_size: int) -> type[np.unsignedinteger[Any]]:
    return np.uint16 if vocab_size <= 1 << 16 else np.uint32


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
