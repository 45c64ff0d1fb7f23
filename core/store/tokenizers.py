"""What a text is read by: tokenizers, of runs or made from a corpus, and the corpora.

<cache dir>/tokenizers/<sha256>.json    trained BPE tokenizers
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from core import paths
from core.config import TextConfig
from core.errors import RunError, TokenizerError
from core.events import SetupProgressed
from core.store.files import write_atomically
from core.store.run import Run
from core.store.spool import keep_stream
from core.store.stages import IsStopping, Stopped, Telling, telling
from core.text.corpus import (
    SAMPLE_CHARS,
    Corpus,
    TextStream,
    alphabet,
    sample,
    scan,
    told,
)
from core.text.sources import STDIN, find_source, full_name, is_stream
from core.text.tokenizer import (
    ByteTokenizer,
    CharTokenizer,
    Tokenizer,
    load_tokenizer,
    train_bpe,
)


def tokenizer_of(run: Run) -> Tokenizer:
    """The run's own tokenizer. A model may have more ids if it came from elsewhere, or if their
    number was fixed.

    Raises:
        RunError: its file is missing.
        TokenizerError: it is damaged.
    """
    may_have_more = "end_ids" in run.provenance or run.config.text.fixed_vocab
    try:
        return load_tokenizer(
            run.tokenizer_path.read_text(encoding="utf-8"),
            vocab_size=run.config.model.vocab_size if may_have_more else 0,
            end_ids=run.provenance.get("end_ids", ()),
        )
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(
            f"The tokenizer of {run.name} cannot be read: {error}.",
            hint="Restore its tokenizer.json, or train again.",
        ) from error


def read_corpus(name: str, is_stopping: IsStopping) -> Telling[Corpus]:
    """The corpus of that name, with a look at each of its characters.

    Raises:
        DataError: it cannot be used.
        Stopped: somebody asked for an end.
    """
    name = full_name(name)
    stage = f"reading {'stdin' if name == STDIN else name}"
    if is_stream(name):
        name = yield from telling(stage, keep_stream(name), is_stopping)
    corpus = yield from telling(stage, scan(find_source(name)), is_stopping)
    if corpus.left_out:
        yield SetupProgressed(stage=stage, share=1.0, remark=told(corpus.left_out))
    return corpus


def make_tokenizer(
    config: TextConfig, corpus: Corpus, n_train: int, is_stopping: IsStopping
) -> Telling[Tokenizer]:
    """The tokenizer of a corpus, from the cache if it is there; it learns from the first
    `n_train` characters.

    Raises:
        TokenizerError: it cannot be made.
        Stopped: somebody asked for an end.
    """
    if config.tokenizer == "byte":
        return ByteTokenizer()
    if config.tokenizer == "char":
        found = yield from telling("collecting characters", alphabet(corpus), is_stopping)
        return CharTokenizer(found)
    sampled = " sampled" if n_train > SAMPLE_CHARS else ""
    key = hash_of(
        f"bpe {config.vocab_size} {config.validation_fraction!r} {corpus.sha256}{sampled}"
    )
    path = paths.cache_dir() / "tokenizers" / f"{key}.json"
    try:
        return load_tokenizer(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, TokenizerError):
        work = sample(TextStream(corpus.pieces()), n_train)
        stage = "training a tokenizer"
        choosing = f"choosing what to learn from in {corpus.title}" if sampled else stage
        texts = yield from telling(choosing, work, is_stopping)
        if sampled:
            yield SetupProgressed(stage=stage)
        tokenizer = train_bpe(_until(is_stopping, texts), config.vocab_size)
        if is_stopping():
            raise Stopped from None
        write_atomically(path, tokenizer.to_json().encode())
        return tokenizer


def _until(is_stopping: IsStopping, texts: list[str]) -> Iterator[str]:
    """`texts`, fewer when nobody waits for the rest."""
    for text in texts:
        if is_stopping():
            return
        yield text


def hash_of(text: str) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()
