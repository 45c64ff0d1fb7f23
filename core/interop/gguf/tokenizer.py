"""Tokenizers in the words of llama.cpp, both ways, with the same ids there as here.

    here                        there
    ─────────────────────────   ──────────────────────────────────────────────────────────
    byte-level BPE              "gpt2": merges, and the name of a pre-tokenizer
    SentencePiece's BPE         "llama": scores
    bytes, characters           "rwkv": the longest token that fits; nothing is special

llama.cpp takes token 11 of a "gpt2" for the end of all text when no other is named. A model
without an end names the byte 0xFF, which no UTF-8 text holds.

Source: llama.cpp, src/llama-vocab.cpp (facts only).
"""

from __future__ import annotations

import json

from core.errors import FormatError
from core.interop.gguf import byte_level, longest_match, pieces
from core.interop.gguf.tokenizer_fields import TokenizerFields, damaged
from core.text.imported_tables import is_byte_level
from core.text.tokenizer import ByteTokenizer, CharTokenizer, Tokenizer

__all__ = ["TokenizerFields", "from_fields", "to_fields"]

_READERS = {
    "gpt2": byte_level.from_fields,
    "llama": pieces.from_fields,
    "rwkv": longest_match.from_fields,
}


def to_fields(tokenizer: Tokenizer, vocab_size: int) -> TokenizerFields:
    """What a GGUF file says of a tokenizer.

    Args:
        vocab_size: of the model; ids that the tokenizer lacks become unused tokens.

    Raises:
        ExportError: llama.cpp has no tokenizer that gives the same ids.
    """
    if isinstance(tokenizer, ByteTokenizer | CharTokenizer):
        return longest_match.to_fields(tokenizer, vocab_size)
    tables = json.loads(tokenizer.to_json())
    if is_byte_level(tables):
        return byte_level.to_fields(tables, tokenizer, vocab_size)
    return pieces.to_fields(tables, tokenizer, vocab_size)


def from_fields(fields: TokenizerFields) -> tuple[str, tuple[int, ...]]:
    """The `tokenizer.json` that a GGUF file describes, and the tokens that end a text.

    Raises:
        FormatError: it is damaged, or of a kind that minitf does not know.
    """
    if fields.model not in _READERS:
        raise FormatError(
            f"The file has a tokenizer of the kind {fields.model[:40]!r}.",
            hint=f"minitf reads {', '.join(_READERS)}.",
        )
    n_tokens = len(fields.tokens)
    if len(fields.token_types) != n_tokens:
        raise damaged(f"it has {n_tokens} tokens and {len(fields.token_types)} types")
    if len(set(fields.tokens)) < n_tokens:
        raise damaged("a token is there twice")
    for i in (fields.bos_id, fields.eos_id):
        if i is not None and not 0 <= i < n_tokens:
            raise damaged(f"it has {n_tokens} tokens and names token {i}")
    return _READERS[fields.model](fields)
