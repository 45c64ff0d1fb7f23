"""Texts as token ids: memory-mapped files in the cache, named by the hash of their content.

    <cache dir>/tokens/<sha256>.bin         token ids of a text; see `core.store.id_file`
    <cache dir>/tokenizers/<sha256>.json    trained BPE tokenizers; see `core.store.tokenizers`
    <cache dir>/texts/<sha256>.txt          what came from stdin; see `core.store.spool`

All but the texts can be deleted at any time and is computed again. A text of any size is
tokenised in the same memory: it is read once for its fingerprint, and again for each use.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from core import paths
from core.config import TextConfig
from core.errors import DataError, RunError
from core.events import BaselinesCounted
from core.store.id_file import id_type, new_ids, open_ids
from core.store.run import TEXT_NAME, Run
from core.store.stages import IsStopping, Telling, never, outcome, telling
from core.store.tokenizers import hash_of, make_tokenizer, read_corpus, tokenizer_of
from core.text.corpus import Corpus, Fingerprint, TextStream, scan, split_place
from core.text.reading import read_exactly
from core.text.sources import Part, Source
from core.text.tokenizer import Tokenizer

FORMAT = 3
PROMPT_SEARCH = 512
Ids = NDArray[Any]


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """A corpus, split and tokenised."""

    tokenizer: Tokenizer
    corpus_sha256: str
    train_ids: Ids
    validation_ids: Ids
    corpus: str = ""
    """What a run keeps as the name of its corpus."""
    digest: str = ""
    """Stands for the ids and their split; empty where nobody keeps them."""
    baselines: BaselinesCounted | None = None
    """What counting and compressing make of it, where somebody wanted to know."""

    @property
    def bytes_per_token(self) -> float:
        """Of the validation split, in UTF-8."""
        return self.tokenizer.count_bytes(self.validation_ids) / len(self.validation_ids)

    def held_out_prompt(self, n_tokens: int) -> list[int]:
        """A beginning for generated text: the first held-out line that is there in full."""
        ids: list[int] = self.validation_ids[: PROMPT_SEARCH + n_tokens].tolist()
        ends = (i for i, t in enumerate(ids) if self.tokenizer.decode_bytes([t])[-1:] == b"\n")
        start = next(ends, -1) + 1
        line = ids[start : start + n_tokens] or ids[:n_tokens]
        return [*self.tokenizer.begin_ids, *line]


def tokenize_corpus(
    config: TextConfig, is_stopping: IsStopping = never, tokenizer: Tokenizer | None = None
) -> Telling[TokenizedText | None]:
    """Read a corpus, make its tokenizer and its ids, or take them from the cache. None if it
    was stopped.

    Args:
        tokenizer: to take instead of one that is made from the corpus.

    Raises:
        DataError: the text cannot be used.
        TokenizerError: it cannot be tokenised.
    """
    return outcome(_tokenize_corpus(config, is_stopping, tokenizer))


def tokenized_text_of(run: Run, is_stopping: IsStopping = never) -> Telling[TokenizedText | None]:
    """The text of a run as it was when the run was made, from the cache if it is there. None
    if it was stopped.

    Raises:
        RunError: the corpus has changed since.
        DataError: it cannot be read any more.
    """
    return outcome(_text_of(run, is_stopping))


def ids_of_text(
    tokenizer: Tokenizer, name: str, is_stopping: IsStopping = never
) -> Telling[Ids | None]:
    """All ids of any corpus, by another's tokenizer. None if it was stopped.

    Raises:
        DataError: it cannot be read.
        TokenizerError: the tokenizer has no token for part of it.
    """
    return outcome(_ids_of_text(tokenizer, name, is_stopping))


def _tokenize_corpus(
    config: TextConfig, is_stopping: IsStopping, tokenizer: Tokenizer | None
) -> Telling[TokenizedText]:
    corpus = yield from read_corpus(config.source, is_stopping)
    if tokenizer is None:
        n_train = split_place(corpus.n_chars, config.validation_fraction)
        tokenizer = yield from make_tokenizer(config, corpus, n_train, is_stopping)
        if config.fixed_vocab:
            tokenizer.fit(config.vocab_size)
    path = _ids_path(config, tokenizer, corpus.sha256)
    ids = open_ids(path, tokenizer.vocab_size)
    if ids is None:
        ids = yield from _tokenize(config, tokenizer, corpus, path, is_stopping)
    is_whole_name = config.source == config.corpus
    name = corpus.name if is_whole_name else config.corpus
    return TokenizedText(tokenizer, corpus.sha256, *_enough(ids), name, path.stem)


def _text_of(run: Run, is_stopping: IsStopping) -> Telling[TokenizedText]:
    config, tokenizer = run.config.text, tokenizer_of(run)
    sha256 = str(run.provenance["corpus_sha256"])
    path = _ids_path(config, tokenizer, sha256)
    ids = open_ids(path, tokenizer.vocab_size)
    if ids is None:
        corpus = yield from corpus_of(run, is_stopping)
        ids = yield from _tokenize(config, tokenizer, corpus, path, is_stopping)
    return TokenizedText(tokenizer, sha256, *_enough(ids), config.corpus, path.stem)


def corpus_of(run: Run, is_stopping: IsStopping = never) -> Telling[Corpus]:
    """The text that a run was made from: the copy in its folder, or else where it was read.

    Raises:
        RunError: it is another one now.
        DataError: it cannot be read any more.
        Stopped: somebody asked for an end.
    """
    sha256 = str(run.provenance["corpus_sha256"])
    if run.text_path.is_file():
        return (yield from _kept_corpus(run, sha256, is_stopping))
    corpus = yield from read_corpus(run.config.text.source, is_stopping)
    if corpus.sha256 != sha256:
        raise RunError(
            f"The corpus {corpus.name!r} has changed since {run.name} was made.",
            hint="Restore the old text, or start a new run. What comes with Python changes"
            " with Python.",
        )
    return corpus


def _kept_corpus(run: Run, sha256: str, is_stopping: IsStopping) -> Telling[Corpus]:
    """A copy is the text itself: not even a byte-order mark is dropped from it."""
    path = run.text_path
    part = Part(partial(read_exactly, path), path.stat().st_size)
    source = Source(run.config.text.corpus, (part,))
    corpus = yield from telling(f"reading {TEXT_NAME} of {run.name}", scan(source), is_stopping)
    if corpus.sha256 != sha256:
        raise RunError(
            f"The {TEXT_NAME} of {run.name} is not the text that the run was made from.",
            hint="Restore it, or delete it to read the text where it was.",
        )
    return corpus


def _ids_of_text(tokenizer: Tokenizer, name: str, is_stopping: IsStopping) -> Telling[Ids]:
    corpus = yield from read_corpus(name, is_stopping)
    path = _path_for(f"{_key_of(tokenizer)} {corpus.sha256} whole")
    ids = open_ids(path, tokenizer.vocab_size)
    if ids is None:
        work = _write_ids(path, tokenizer, corpus, 0)
        yield from telling(f"tokenising {corpus.title}", work, is_stopping)
        ids = open_ids(path, tokenizer.vocab_size)
    assert ids is not None
    return ids[1]


def _tokenize(
    config: TextConfig, tokenizer: Tokenizer, corpus: Corpus, path: Path, is_stopping: IsStopping
) -> Telling[tuple[Ids, Ids] | None]:
    if config.max_tokens:
        work = _write_first_ids(path, tokenizer, corpus, config)
    else:
        n_train = split_place(corpus.n_chars, config.validation_fraction)
        work = _write_ids(path, tokenizer, corpus, n_train)
    yield from telling(f"tokenising {corpus.title}", work, is_stopping)
    return open_ids(path, tokenizer.vocab_size)


def _write_ids(
    path: Path, tokenizer: Tokenizer, corpus: Corpus, n_train: int
) -> Generator[float, None, None]:
    """The split is made in characters: neither share knows of the other."""
    print_ = Fingerprint()
    stream = TextStream(_seen_by(print_, corpus.pieces()))
    with new_ids(path, tokenizer.vocab_size) as writer:
        for n_chars in (n_train, corpus.n_chars - n_train):
            writer.n_train = writer.count
            for ids in tokenizer.encode_pieces(stream.take(n_chars)):
                writer.append(ids)
                yield stream.taken / corpus.n_chars
        _check_unchanged(corpus, print_)


def _write_first_ids(
    path: Path, tokenizer: Tokenizer, corpus: Corpus, config: TextConfig
) -> Generator[float, None, None]:
    """Only so many are wanted, and they are split exactly. The rest of the text is read all the
    same: the ids are kept under the fingerprint of the whole."""
    print_ = Fingerprint()
    pieces = _seen_by(print_, corpus.pieces())
    with new_ids(path, tokenizer.vocab_size) as writer:
        for ids in tokenizer.encode_pieces(pieces):
            writer.append(ids[: config.max_tokens - writer.count])
            if writer.count == config.max_tokens:
                break
            yield writer.count / config.max_tokens
        for _ in pieces:
            yield 1.0
        _check_unchanged(corpus, print_)
        writer.n_train = round(writer.count * (1 - config.validation_fraction))


def _seen_by(print_: Fingerprint, pieces: Iterator[str]) -> Iterator[str]:
    for piece in pieces:
        print_.add(piece)
        yield piece


def _check_unchanged(corpus: Corpus, print_: Fingerprint) -> None:
    if print_.sha256 != corpus.sha256:
        raise DataError(
            f"The text {corpus.name!r} changed while it was read.",
            hint="Start again when nothing writes to it.",
        )


def _enough(ids: tuple[Ids, Ids] | None) -> tuple[Ids, Ids]:
    if ids is None or len(ids[1]) < 2:
        raise DataError(
            "The held-out part of the text has fewer than 2 tokens.",
            hint="Choose a longer text, or hold out a larger share.",
        )
    return ids


def _ids_path(config: TextConfig, tokenizer: Tokenizer, corpus_sha256: str) -> Path:
    return _path_for(
        f"{_key_of(tokenizer)} {corpus_sha256} {config.validation_fraction!r} {config.max_tokens}"
    )


def _key_of(tokenizer: Tokenizer) -> str:
    """Models of one tokenizer may differ in size, and so does what an id takes in the file."""
    is_wide = id_type(tokenizer.vocab_size) is not id_type(0)
    return hash_of(tokenizer.to_json()) + " wide" * is_wide


def _path_for(content: str) -> Path:
    return paths.cache_dir() / "tokens" / f"{hash_of(f'ids {FORMAT} {content}')}.bin"
