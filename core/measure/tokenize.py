"""A text cut into tokens, to be looked at and counted. Never imports torch."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass

import numpy as np

from core.config import TextConfig
from core.events import ShownToken, Tokenization, TokenizationCompleted, TokenizationEvent
from core.store.find import find_run
from core.store.id_file import Ids
from core.store.run import Run
from core.store.stages import IsStopping, Telling, outcome, telling
from core.store.tokenizers import make_tokenizer, read_corpus, tokenizer_of
from core.store.tokens import corpus_of
from core.text.corpus import TextStream, split_place
from core.text.tokenizer import Tokenizer

PROMPT = "prompt"


@dataclass(frozen=True, slots=True)
class _Reader:
    """A tokenizer, whose it is, and the text that goes with it."""

    tokenizer: Tokenizer
    of: str
    corpus: str
    run: Run | None = None
    """That brought its text along."""


def tokenize(
    source: str | TextConfig, prompt: str, text: str, n_shown: int, is_stopping: IsStopping
) -> Generator[TokenizationEvent, None, None]:
    """See `core.recipes.tokenizing`."""
    result = yield from outcome(_tokenize(source, prompt, text, n_shown, is_stopping))
    if result is not None:
        yield TokenizationCompleted(result=result)


def _tokenize(
    source: str | TextConfig, prompt: str, text: str, n_shown: int, is_stopping: IsStopping
) -> Telling[Tokenization]:
    reader = yield from _reader(source, is_stopping)
    tally = _Tally(reader.tokenizer, n_shown)
    if prompt:
        tally.add(reader.tokenizer.encode(prompt))
        return tally.result(reader, PROMPT, len(prompt))
    if reader.run is not None and not text:
        corpus = yield from corpus_of(reader.run, is_stopping)
    else:
        corpus = yield from read_corpus(text or reader.corpus, is_stopping)
    stream = TextStream(corpus.pieces())
    parts = reader.tokenizer.encode_pieces(stream.take(corpus.n_chars))
    work = _counted(tally, parts, stream, corpus.n_chars)
    yield from telling(f"tokenising {corpus.title}", work, is_stopping)
    return tally.result(reader, corpus.name, corpus.n_chars)


def _reader(source: str | TextConfig, is_stopping: IsStopping) -> Telling[_Reader]:
    """The tokenizer of a run, or one made from a corpus as a run would make it."""
    if isinstance(source, str):
        run = find_run(source, needs_checkpoint=False).run
        brought = run if run.text_path.is_file() else None
        return _Reader(tokenizer_of(run), f"run {run.name}", run.config.text.source, brought)
    corpus = yield from read_corpus(source.source, is_stopping)
    n_train = split_place(corpus.n_chars, source.validation_fraction)
    tokenizer = yield from make_tokenizer(source, corpus, n_train, is_stopping)
    return _Reader(tokenizer, corpus.name, corpus.name)


class _Tally:
    """Counts of the tokens of a text, and the first ones."""

    def __init__(self, tokenizer: Tokenizer, n_shown: int) -> None:
        self._tokenizer, self._n_shown = tokenizer, n_shown
        self._counts = np.zeros(tokenizer.vocab_size, np.int64)
        self._bytes = 0
        self._first: list[int] = []

    def add(self, ids: Ids) -> None:
        """The next tokens of the text."""
        self._counts += np.bincount(ids, minlength=len(self._counts))
        self._bytes += self._tokenizer.count_bytes(ids)
        wanted = len(ids) if not self._n_shown else self._n_shown - len(self._first)
        self._first += ids[:wanted].tolist()

    def result(self, reader: _Reader, text: str, characters: int) -> Tokenization:
        """Of all that was added."""
        tokens = int(self._counts.sum())
        return Tokenization(
            tokenizer=reader.tokenizer.kind,
            vocab_size=reader.tokenizer.vocab_size,
            of=reader.of,
            text=text,
            characters=characters,
            bytes=self._bytes,
            tokens=tokens,
            distinct_tokens=int(np.count_nonzero(self._counts)),
            bytes_per_token=self._bytes / tokens if tokens else 0.0,
            shown=tuple(ShownToken(id=i, text=self._spelt(i)) for i in self._first),
        )

    def _spelt(self, token: int) -> str:
        return self._tokenizer.decode_bytes([token]).decode("utf-8", "backslashreplace")


def _counted(
    tally: _Tally, parts: Iterable[Ids], stream: TextStream, n_chars: int
) -> Generator[float, None, None]:
    for ids in parts:
        tally.add(ids)
        yield stream.taken / n_chars
