"""A tokenizer of another program, known by its Hugging Face `tokenizer.json`.

All encoding is done by the `tokenizers` library. What this module adds is the bytes of each
token, ways to read a text of any length, and words for what cannot be read.

Two families are understood: byte-level BPE, whose tokens are written in GPT-2's byte alphabet,
and SentencePiece's BPE and Unigram, which write a space as "▁" and a byte as "<0x0A>".
Invariant: `to_json()` is the text it was made from, to the byte.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.errors import TokenizerError
from core.text import imported_tables
from core.text.imported_tables import Tables
from core.text.surrogates import checked
from core.text.tokenizer import Ids, Tokenizer
from core.text.words import LONGEST_WORD, PIECE_CHARS

if TYPE_CHECKING:
    from tokenizers import Encoding
    from tokenizers import Tokenizer as Engine

T = TypeVar("T")

_CUT = re.compile(r"(?<=\S)(?= \w)|(?<=\S\n)(?=\w)")
"""Where no pre-tokenizer of GPT-2, Llama 3 or Qwen sees one word, and no piece of SentencePiece
goes on."""


class ImportedTokenizer(Tokenizer):
    """Any byte-level BPE or SentencePiece tokenizer, with the ids its makers gave."""

    kind = "imported"

    def __init__(self, source: str, tables: Tables) -> None:
        """`tables` are what `source` says.

        Raises:
            TokenizerError: it is damaged, or of another family.
        """
        self.tables, self._source = tables, source
        super().__init__(imported_tables.token_bytes(tables))
        self._bytes = imported_tables.byte_ids(tables)
        self._added = tuple(t["content"] for t in imported_tables.added_tokens(tables))
        self._engine = _engine(tables)
        self.begin_ids = self._guarded(lambda: _begin_of(self._engine))
        self._adds_space = self.decode(self._guarded(lambda: self._ids("a"))) == " a"
        self._later = self._engine if not self._adds_space else _later_engine(source)
        self._mark = _unused_character(tables)
        self._n_mark = len(self._guarded(lambda: self._ids(self._mark)))

    def encode_pieces(self, pieces: Iterable[str]) -> Iterator[NDArray[Any]]:
        """See `Tokenizer.encode_pieces`.

        The text is cut before a space or after a line break between words. There the ids are
        those of the whole text if its pre-tokenizer is that of GPT-2, Llama 3 or Qwen, or if no
        piece of SentencePiece has a space or a line break inside, as is usual. A text without
        such a place is cut after a million characters wherever it is.
        """
        place = 0
        for part in _cut(pieces, self._added):
            yield self._encode_text(part, place, is_begin=not place)
            place += len(part)

    def decode_prompt(self, ids: Sequence[int]) -> str:
        """See `Tokenizer.decode_prompt`."""
        text = super().decode_prompt(ids)
        return text[1:] if self._adds_space and text.startswith(" ") else text

    def to_json(self) -> str:
        """See `Tokenizer.to_json`."""
        return self._source

    def _encode_text(self, text: str, place: int = 0, *, is_begin: bool = True) -> Ids:
        list(checked([text], place))
        encode = self._ids if is_begin else self._later_ids
        return np.array(self._guarded(lambda: encode(text)), np.int64)

    def _encode_bytes(self, data: bytes) -> Ids:
        missing = next((b for b in data if b not in self._bytes), None)
        if missing is not None:
            raise TokenizerError(
                f"The byte 0x{missing:02x} is not UTF-8, and this tokenizer has no token for it.",
                hint="Give the text as UTF-8.",
            )
        return np.array([self._bytes[b] for b in data], np.int64)

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._engine.encode(text, add_special_tokens=False).ids
        return ids

    def _later_ids(self, text: str) -> list[int]:
        """Of a text that is no beginning; before one, some put a space."""
        if self._later is not None:
            ids: list[int] = self._later.encode(text, add_special_tokens=False).ids
            return ids
        return self._ids(self._mark + text)[self._n_mark :]

    @staticmethod
    def _guarded(work: Callable[[], T]) -> T:
        return _without_panic(work, "The imported tokenizer cannot encode this text")


def _cut(pieces: Iterable[str], added: tuple[str, ...]) -> Iterator[str]:
    """The text in parts; never after an added token, where some begin anew."""
    begun = ""
    for piece in pieces:
        begun += piece
        while len(begun) > PIECE_CHARS:
            place = _place_of_cut(begun, added)
            if not place:
                break
            yield begun[:place]
            begun = begun[place:]
    if begun:
        yield begun


def _place_of_cut(text: str, added: tuple[str, ...]) -> int:
    """The first place after PIECE_CHARS where it may be cut; 0 if none is known yet."""
    for found in _CUT.finditer(text, PIECE_CHARS):
        if not text.endswith(added, 0, found.start()):
            return found.start()
    return LONGEST_WORD if len(text) > LONGEST_WORD else 0


def _later_engine(source: str) -> Engine | None:
    """One that puts no space before a text; None where it would be missed elsewhere, too."""
    tables = json.loads(source, object_hook=_without_prefix)
    return _engine(tables) if imported_tables.is_byte_level(tables) else None


def _without_prefix(table: Tables) -> Tables:
    return table | {"add_prefix_space": False} if table.get("type") == "ByteLevel" else table


def _unused_character(tables: Tables) -> str:
    """One for private use that no token has, so that nothing is joined to it."""
    used = set().union(*imported_tables.vocabulary(tables))
    return next((c for c in map(chr, range(0xE000, 0xF900)) if c not in used), "\n")


def _engine(tables: Tables) -> Engine:
    from tokenizers import Tokenizer as Engine

    text = json.dumps({**tables, "truncation": None, "padding": None})
    return _without_panic(lambda: Engine.from_str(text), "The tokenizer cannot be read")


def _begin_of(engine: Engine) -> tuple[int, ...]:
    """What the post-processor puts before a text."""
    encoded: Encoding = engine.encode("a")
    first = encoded.special_tokens_mask.index(0) if 0 in encoded.special_tokens_mask else 0
    return tuple(encoded.ids[:first])


def _without_panic(work: Callable[[], T], problem: str) -> T:
    """What the library raises, also where its Rust panics, in one sentence."""
    try:
        return work()
    except (KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError):
        raise
    except BaseException as error:
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise TokenizerError(
            f"{problem}: {reason}.",
            hint="Its tokenizer.json is damaged, or was made for a newer program.",
        ) from error
