"""SentencePiece's BPE in GGUF: llama.cpp's "llama", which joins pieces by their scores.

A `tokenizer.json` has ranked pairs instead; they are the same where each piece has all of its
pairs, one after another. llama.cpp puts a space before every text, also before one that begins
with a space, as SentencePiece does; "Metaspace" of the `tokenizers` library does not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from itertools import groupby
from typing import Any

from core.errors import ExportError
from core.interop.gguf.tokenizer_fields import (
    BYTE,
    CONTROL,
    ELSEWHERE,
    UNKNOWN,
    USER_DEFINED,
    TokenizerFields,
    damaged,
    first_of,
    padded,
    used,
)
from core.interop.sentencepiece import from_scores, merges_of
from core.text.imported_tables import SPACE, Tables, added_tokens, byte_ids, parts, vocabulary
from core.text.tokenizer import Tokenizer

_PREFIX = {"type": "Prepend", "prepend": SPACE}
_SPACES = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}


def to_fields(tables: Tables, tokenizer: Tokenizer, vocab_size: int) -> TokenizerFields:
    """See `core.interop.gguf.tokenizer.to_fields`; `tables` are its `tokenizer.json`."""
    _check_kind(tables)
    vocab, added = vocabulary(tables), added_tokens(tables)
    texts = {i: text for text, i in vocab.items()} | {t["id"]: t["content"] for t in added}
    types = dict.fromkeys(byte_ids(tables).values(), BYTE)
    types |= {t["id"]: CONTROL if t.get("special") else USER_DEFINED for t in added}
    unknown = tables["model"].get("unk_token")
    if unknown in vocab:
        types[vocab[unknown]] = UNKNOWN
    joined = [text for text, i in vocab.items() if i not in types]
    ranks = _ranks(tables["model"]["merges"], joined)
    tokens, types_of = padded(texts, types, vocab_size)
    begin = first_of(tokenizer)
    return TokenizerFields(
        model="llama",
        pre="default",
        tokens=tokens,
        token_types=types_of,
        scores=[-float(ranks.get(token, len(ranks))) for token in tokens],
        bos_id=begin,
        eos_id=next(iter(tokenizer.end_ids), None),
        add_bos=begin is not None,
        add_space_prefix=_has_prefix_space(tables, joined),
    )


def from_fields(fields: TokenizerFields) -> tuple[str, tuple[int, ...]]:
    """See `core.interop.gguf.tokenizer.from_fields`."""
    scores, types = fields.scores or [], fields.token_types
    if len(scores) != len(types):
        raise damaged(f"it has {len(types)} tokens and not as many scores")
    if not all(map(math.isfinite, scores)):
        raise damaged("a score is not a number")
    texts = used(fields)
    pieces = [texts.get(i, "") for i in range(1 + max(texts, default=-1))]
    source = from_scores(
        pieces,
        scores,
        has_prefix_space=fields.add_space_prefix is not False,
        begin_id=fields.bos_id if fields.add_bos else None,
        control_ids=[i for i in texts if types[i] == CONTROL],
        user_ids=[i for i in texts if types[i] == USER_DEFINED],
    )
    return source, () if fields.eos_id is None else (fields.eos_id,)


def _has_prefix_space(tables: Tables, joined: Collection[str]) -> bool:
    """Whether a text is read as if a space stood before it.

    Raises:
        ExportError: it is not read in either of the two ways that llama.cpp knows.
    """
    before, within = parts(tables, "normalizer"), parts(tables, "pre_tokenizer")
    if not within and before in ([_PREFIX, _SPACES], [_SPACES]):
        return before[0] == _PREFIX
    if not before and len(within) == 1 and within[0].get("type") == "Metaspace":
        metaspace = {"replacement": SPACE, "split": True, "prepend_scheme": "always"} | within[0]
        is_split = metaspace["split"] and any(SPACE in piece[1:] for piece in joined)
        if metaspace["replacement"] == SPACE and not is_split:
            return bool(metaspace["prepend_scheme"] != "never")
    steps = json.dumps(before + within)[:120]
    raise ExportError(
        f"llama.cpp has no way to read texts as this tokenizer does: {steps}.",
        hint=ELSEWHERE,
    )


def _check_kind(tables: Tables) -> None:
    model = tables["model"]
    if model.get("type") == "Unigram":
        raise ExportError("minitf writes no Unigram tokenizers for llama.cpp.", hint=ELSEWHERE)
    if not model.get("byte_fallback") or len(byte_ids(tables)) < 256:
        raise ExportError(
            "The tokenizer lacks byte tokens, without which llama.cpp stops at unknown characters.",
            hint=ELSEWHERE,
        )


def _ranks(merges: list[Any], joined: Collection[str]) -> dict[str, int]:
    """The order in which pieces are joined, from 0.

    Raises:
        ExportError: no order of pieces gives these merges.
    """
    pairs = [m.split(" ", 1) if isinstance(m, str) else m for m in merges]
    order = [left + right for left, right in pairs]
    runs = [piece for piece, _ in groupby(order)]
    ranks = {piece: i for i, piece in enumerate(runs)}
    whole = merges_of({piece: -ranks.get(piece, len(ranks)) for piece in joined})
    if len(ranks) < len(runs) or sorted(whole) != sorted(pairs):
        raise ExportError(
            "The tokenizer's merges follow no order of its pieces, as llama.cpp's must.",
            hint=ELSEWHERE,
        )
    return ranks
