"""What a GGUF file says about its tokenizer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from core.errors import ExportError, FormatError
from core.text.tokenizer import Tokenizer

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
"""The types of tokens."""


@dataclass(frozen=True, slots=True)
class TokenizerFields:
    """The metadata `tokenizer.ggml.*`, without the numbers of the format."""

    model: str
    """"gpt2" (byte-level BPE), "llama" (SentencePiece BPE) or "rwkv" (longest match)."""
    pre: str
    """The name of the pre-tokenizer."""
    tokens: list[str]
    token_types: list[int]
    scores: list[float] | None = None
    merges: list[str] | None = None
    """"left right", best first."""
    bos_id: int | None = None
    eos_id: int | None = None
    add_bos: bool = False
    add_space_prefix: bool | None = None


def padded(
    tokens: Mapping[int, str], types: Mapping[int, int], vocab_size: int
) -> tuple[list[str], list[int]]:
    """Text and type of each id of a model; those that the tokenizer lacks are unused.

    Raises:
        ExportError: two ids have one text.
    """
    texts = [tokens.get(i) or _unused(i) for i in range(vocab_size)]
    if len(set(texts)) < vocab_size:
        [(twice, _)] = Counter(texts).most_common(1)
        raise ExportError(
            f"The tokenizer has the token {twice!r} twice, which llama.cpp does not allow.",
            hint=ELSEWHERE,
        )
    return texts, [types.get(i, NORMAL) if tokens.get(i) else UNUSED for i in range(vocab_size)]


def used(fields: TokenizerFields) -> dict[int, str]:
    """The text of each id that the tokenizer has."""
    rows = zip(fields.tokens, fields.token_types, strict=True)
    return {i: text for i, (text, kind) in enumerate(rows) if kind != UNUSED or text != _unused(i)}


def first_of(tokenizer: Tokenizer) -> int | None:
    """The token that stands before each text.

    Raises:
        ExportError: there are several.
    """
    if len(tokenizer.begin_ids) > 1:
        raise ExportError(
            f"The tokenizer puts {len(tokenizer.begin_ids)} tokens before a text, and llama.cpp"
            " one at most.",
            hint=ELSEWHERE,
        )
    return next(iter(tokenizer.begin_ids), None)


def damaged(reason: str) -> FormatError:
    """The tokenizer of a file cannot be right."""
    return FormatError(f"The file's tokenizer is damaged: {reason}.", hint="Fetch the file again.")


ELSEWHERE = "Export it with --format hf, whose tokenizer.json says all."


def _unused(i: int) -> str:
    return f"[PAD{i}]"
