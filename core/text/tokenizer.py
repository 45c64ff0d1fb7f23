"""Text to token ids and back: characters, bytes, or byte-level BPE.

Invariants: in byte and bpe tokenizers ids 0-255 are the bytes themselves, so that any bytes
round-trip; `decode_bytes(encode(x)) == x` in UTF-8. There are no special tokens: every
string is text.

All three are kept as a Hugging Face `tokenizer.json`. BPE is trained and applied by the
`tokenizers` library; for characters and bytes a table look-up is faster, and tests hold it
against the library's reading of the same file.

Sources: byte-level BPE, Radford et al. 2019 (GPT-2) §2.2; BPE, arXiv:1508.07909.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import TokenizerError
from core.text import imported_tables, tokenizer_json
from core.text.surrogates import checked, not_unicode
from core.text.words import PIECE_CHARS, WordEncoder, cut_words

Ids = NDArray[np.int64]

_ESCAPED_BYTES = re.compile("([\udc80-\udcff]+)")
_COUNTED_AT_ONCE = 1 << 20


class Tokenizer(ABC):
    """Turns text into ids in [0, vocab_size) and back."""

    kind: str
    """"char", "byte", "bpe", or "imported"."""
    begin_ids: tuple[int, ...] = ()
    """Tokens that a model wants to see before each text; ours have none."""
    end_ids: tuple[int, ...] = ()
    """Tokens after which a model has said all; ours have none."""

    def __init__(self, token_bytes: Sequence[bytes]) -> None:
        self._token_bytes = list(token_bytes)

    @property
    def vocab_size(self) -> int:
        """Number of token ids."""
        return len(self._token_bytes)

    def fit(self, vocab_size: int) -> None:
        """Take on the ids of a model that has more of them; the rest stand for no bytes.

        Raises:
            TokenizerError: the model has fewer.
        """
        if self.vocab_size > vocab_size:
            raise TokenizerError(
                f"The tokenizer does not fit: its largest id is {self.vocab_size - 1}, and the"
                f" model has vocab_size={vocab_size}.",
                hint="Give the tokenizer that belongs to the model.",
            )
        self._token_bytes += [b""] * (vocab_size - self.vocab_size)

    def encode(self, text: str | bytes) -> Ids:
        """Ids of a text, int64 of shape (n,).

        Bytes that are not UTF-8 become single byte tokens.

        Raises:
            TokenizerError: the tokenizer has no token for part of the text.
        """
        return self._encode_parts(text, is_begin=True)

    def encode_prompt(self, text: str | bytes) -> Ids:
        """Ids of a text with which all begins, and what the model wants to see before it.

        Raises:
            TokenizerError: the tokenizer has no token for part of the text.
        """
        return np.concatenate([np.array(self.begin_ids, np.int64), self.encode(text)])

    def encode_following(self, text: str | bytes) -> Ids:
        """Ids of a text that goes on another.

        Raises:
            TokenizerError: the tokenizer has no token for part of the text.
        """
        return self._encode_parts(text, is_begin=False)

    def encode_pieces(self, pieces: Iterable[str]) -> Iterator[NDArray[Any]]:
        """Ids of the text that `pieces` are when they are put together, in parts; in memory
        that does not grow with it.

        Raises:
            TokenizerError: the tokenizer has no token for part of the text.
        """
        place = 0
        for piece in pieces:
            yield self._encode_text(piece, place)
            place += len(piece)

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes that `ids` stand for."""
        return b"".join(self._token_bytes[i] for i in ids)

    def decode(self, ids: Iterable[int]) -> str:
        """Text of `ids`; bytes that are not UTF-8 become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", "replace")

    def decode_prompt(self, ids: Sequence[int]) -> str:
        """The text from which `encode_prompt` made `ids`."""
        n_begin = len(self.begin_ids)
        return self.decode(ids[n_begin:] if tuple(ids[:n_begin]) == self.begin_ids else ids)

    def count_bytes(self, ids: NDArray[Any]) -> int:
        """Bytes that `ids` stand for."""
        lengths = np.array([len(b) for b in self._token_bytes], np.int64)
        starts = range(0, len(ids), _COUNTED_AT_ONCE)
        return sum(int(lengths[ids[i : i + _COUNTED_AT_ONCE]].sum()) for i in starts)

    def _encode_parts(self, text: str | bytes, *, is_begin: bool) -> Ids:
        if isinstance(text, bytes):
            text = text.decode("utf-8", "surrogateescape")
        ids, place = [np.empty(0, np.int64)], 0
        for i, part in enumerate(_ESCAPED_BYTES.split(text)):
            if i % 2:
                ids.append(self._encode_bytes(part.encode("utf-8", "surrogateescape")))
            elif part:
                ids.append(self._encode_text(part, place, is_begin=is_begin and not place))
            place += len(part)
        return np.concatenate(ids)

    @abstractmethod
    def to_json(self) -> str:
        """The tokenizer as a Hugging Face `tokenizer.json`."""

    @abstractmethod
    def _encode_text(self, text: str, place: int = 0, *, is_begin: bool = True) -> Ids:
        """`place` is where it stands in the whole text, for errors; there it may begin."""

    @abstractmethod
    def _encode_bytes(self, data: bytes) -> Ids: ...


class CharTokenizer(Tokenizer):
    """One id a character, in code point order. Knows only the characters it was made from."""

    kind = "char"

    def __init__(self, characters: Iterable[str]) -> None:
        self.characters = sorted(set(characters))
        super().__init__([c.encode() for c in self.characters])
        self._codes = np.array([ord(c) for c in self.characters], np.int64)

    def _encode_text(self, text: str, place: int = 0, *, is_begin: bool = True) -> Ids:
        try:
            codes = np.frombuffer(text.encode("utf-32-le"), np.uint32).astype(np.int64)
        except UnicodeEncodeError as error:
            raise not_unicode(text, error, place) from error
        if not len(self._codes):
            raise self._unseen(text[0], place)
        ids = np.searchsorted(self._codes, codes).clip(max=len(self._codes) - 1)
        unseen = np.flatnonzero(self._codes[ids] != codes)
        if len(unseen):
            raise self._unseen(text[unseen[0]], place + int(unseen[0]))
        return ids

    def _encode_bytes(self, data: bytes) -> Ids:
        raise TokenizerError(
            f"The byte 0x{data[0]:02x} is not UTF-8, and this tokenizer knows characters only.",
            hint="Train with tokenizer=byte or bpe to read any bytes.",
        )

    def _unseen(self, character: str, place: int) -> TokenizerError:
        return TokenizerError(
            f"The character {character!r} (U+{ord(character):04X}, at {place}) is not among"
            f" the {self.vocab_size} that this char tokenizer has seen.",
            hint="Leave it out, or train with tokenizer=byte or bpe.",
        )

    def to_json(self) -> str:
        """See `Tokenizer.to_json`."""
        return tokenizer_json.for_characters(self.characters)


class ByteTokenizer(Tokenizer):
    """One id a byte: the simplest tokenizer that knows everything."""

    kind = "byte"

    def __init__(self) -> None:
        super().__init__([bytes([b]) for b in range(256)])

    def _encode_text(self, text: str, place: int = 0, *, is_begin: bool = True) -> Ids:
        try:
            return self._encode_bytes(text.encode())
        except UnicodeEncodeError as error:
            raise not_unicode(text, error, place) from error

    def _encode_bytes(self, data: bytes) -> Ids:
        return np.frombuffer(data, np.uint8).astype(np.int64)

    def to_json(self) -> str:
        """See `Tokenizer.to_json`."""
        return tokenizer_json.for_merges([])


class BpeTokenizer(Tokenizer):
    """Bytes, and frequent sequences of them inside words."""

    kind = "bpe"

    def __init__(self, merges: Sequence[tuple[str, str]]) -> None:
        """`merges` in order of rank, in the byte alphabet of GPT-2."""
        from tokenizers import Tokenizer as Engine

        self.merges = list(merges)
        super().__init__(tokenizer_json.token_bytes(self.merges))
        self._engine = Engine.from_str(self.to_json())

    def encode_pieces(self, pieces: Iterable[str]) -> Iterator[NDArray[Any]]:
        """See `Tokenizer.encode_pieces`; the parts end where words do."""
        return WordEncoder(self._engine).encode(checked(pieces))

    def _encode_text(self, text: str, place: int = 0, *, is_begin: bool = True) -> Ids:
        return np.concatenate(list(self.encode_pieces([text]))).astype(np.int64)

    def _encode_bytes(self, data: bytes) -> Ids:
        return np.frombuffer(data, np.uint8).astype(np.int64)

    def to_json(self) -> str:
        """See `Tokenizer.to_json`."""
        return tokenizer_json.for_merges(self.merges)


def train_bpe(texts: str | Iterable[str], vocab_size: int) -> BpeTokenizer:
    """Learn merges from a text, or from several that are not joined, until there are
    `vocab_size` tokens, or nothing to merge.

    Raises:
        TokenizerError: `vocab_size` is below 257, or a single word too long.
    """
    if vocab_size <= 256:
        raise TokenizerError(
            f"vocab_size={vocab_size} leaves no room for merges beside 256 bytes.",
            hint="Try vocab_size=1024.",
        )
    texts = [texts] if isinstance(texts, str) else texts
    parts = (part for text in texts for part in _parts(text))
    return BpeTokenizer(tokenizer_json.learn_merges(parts, vocab_size))


def load_tokenizer(source: str, *, vocab_size: int = 0, end_ids: Sequence[int] = ()) -> Tokenizer:
    """Read a `tokenizer.json`: one that we wrote, or any that `ImportedTokenizer` understands.

    Args:
        vocab_size: of the model, if it may have more ids than its tokenizer; they stand for
            no bytes.
        end_ids: tokens after which the model has said all.

    Raises:
        TokenizerError: it is damaged, of another kind, or does not fit the model.
    """
    tables = imported_tables.parse(source)
    loaded = _ours(tables)
    if loaded is None:
        from core.text.imported_tokenizer import ImportedTokenizer

        loaded = ImportedTokenizer(source, tables)
    loaded.fit(vocab_size or loaded.vocab_size)
    loaded.end_ids = tuple(end_ids)
    return loaded


def _ours(tables: dict[str, Any]) -> Tokenizer | None:
    """The tokenizer, if it is one that we wrote."""
    try:
        vocab, merges = tables["model"]["vocab"], tables["model"]["merges"]
        if merges:
            loaded: Tokenizer = BpeTokenizer([(left, right) for left, right in merges])
        else:
            loaded = CharTokenizer(vocab) if tables["pre_tokenizer"] is None else ByteTokenizer()
        return loaded if json.loads(loaded.to_json()) == tables else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _parts(text: str) -> Iterator[str]:
    """Cut where words end, so that the library can count in several threads."""
    if len(text) <= PIECE_CHARS:
        return iter([text])
    return ("".join(words) for words in cut_words([text]))
