"""Bytes and characters in GGUF: llama.cpp's "rwkv" takes the longest token that fits.

Of single bytes, or of single characters, that is the only one that fits. It has no special
tokens, so that nothing ends a text there that would not end it here.
"""

from __future__ import annotations

import re

from core.errors import ExportError
from core.interop.gguf.tokenizer_fields import TokenizerFields, damaged, padded, used
from core.text.tokenizer import ByteTokenizer, CharTokenizer
from core.text.tokenizer_json import for_characters, for_merges

_ESCAPED = re.compile(rb"\\(?:x([0-9a-f]{2})|(.))|([^\\])", re.DOTALL)
_SHORT = {b"t": b"\t", b"n": b"\n", b"r": b"\r"}


def to_fields(tokenizer: ByteTokenizer | CharTokenizer, vocab_size: int) -> TokenizerFields:
    """See `core.interop.gguf.tokenizer.to_fields`."""
    beyond = [c for c in getattr(tokenizer, "characters", ()) if not c.isascii()]
    if beyond:
        # Looking for a token, it would walk into a character that it has not seen, and stay.
        raise ExportError(
            f"The char tokenizer has characters beyond ASCII, such as {beyond[0]!r}, and"
            " llama.cpp hangs on others like them.",
            hint="Export it with --format hf, or train with tokenizer=byte or bpe.",
        )
    n_own = tokenizer.vocab_size
    texts = {i: _escaped(tokenizer.decode_bytes([i])) for i in range(min(n_own, vocab_size))}
    tokens, types = padded(texts, {}, vocab_size)
    return TokenizerFields(model="rwkv", pre="default", tokens=tokens, token_types=types)


def from_fields(fields: TokenizerFields) -> tuple[str, tuple[int, ...]]:
    """See `core.interop.gguf.tokenizer.from_fields`."""
    found = [_unescaped(text) for text in used(fields).values()]
    if found == [bytes([b]) for b in range(256)]:
        return for_merges([]), ()
    try:
        characters = [data.decode() for data in found]
    except UnicodeDecodeError:
        characters = []
    if not characters or characters != sorted({c for c in characters if len(c) == 1}):
        raise damaged("its tokens are neither the 256 bytes nor single characters in order")
    return for_characters(characters), ()


def _escaped(data: bytes) -> str:
    return "".join(chr(b) if 0x20 <= b < 0x7F and b != ord("\\") else f"\\x{b:02x}" for b in data)


def _unescaped(text: str) -> bytes:
    data = text.encode("utf-8", "replace")
    return b"".join(
        bytes([int(m[1], 16)]) if m[1] else _SHORT.get(m[2], m[2]) if m[2] else m[3]
        for m in _ESCAPED.finditer(data)
    )
