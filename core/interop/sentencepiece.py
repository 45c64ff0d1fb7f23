"""The tokenizer of a SentencePiece BPE model that is known by its scores alone.

SentencePiece joins, again and again, the two neighbours whose joined piece has the highest
score, the leftmost first. A `tokenizer.json` has ranked pairs instead. So each piece gives one
pair for every way to cut it into two pieces, in the order of scores. The ids are the same unless
two overlapping pairs give one and the same piece at the same time, or scores are equal.

Source: SentencePiece, arXiv:1808.06226; its BPE, `bpe_model.cc` (facts only).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from core.text.imported_tables import SPACE

UNKNOWN = "<unk>"
_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
Tables = dict[str, Any]


def from_scores(
    pieces: Sequence[str],
    scores: Sequence[float],
    *,
    has_prefix_space: bool = True,
    begin_id: int | None = None,
    control_ids: Sequence[int] = (),
) -> str:
    """The `tokenizer.json` of a SentencePiece BPE.

    Args:
        pieces: with "\u2581" for spaces and "<0x0A>" for bytes; an index is an id.
        scores: one a piece; the higher, the earlier is it joined.
        has_prefix_space: a text is read as if a space stood before it.
        begin_id: what stands before each text.
        control_ids: pieces that no text contains.
    """
    control = {i for i in {*control_ids, begin_id} if i is not None}
    vocab = {piece: i for i, piece in enumerate(pieces)}
    hidden = control | {i for i, piece in enumerate(pieces) if _BYTE.fullmatch(piece)}
    unknown = pieces[0] if pieces and pieces[0] == UNKNOWN else None
    if unknown is not None:
        hidden.add(0)
    joined = {piece: scores[i] for piece, i in vocab.items() if i not in hidden}
    tables: Tables = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(pieces[i], i) for i in sorted(control)],
        "normalizer": _normalizer(has_prefix_space),
        "pre_tokenizer": None,
        "post_processor": None if begin_id is None else _beginning(pieces[begin_id], begin_id),
        "decoder": _decoder(has_prefix_space),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": unknown,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": merges_of(joined, vocab),
        },
    }
    return json.dumps(tables, ensure_ascii=False)


def merges_of(scores: Mapping[str, float], ids: Mapping[str, int]) -> list[list[str]]:
    """Each way to join two of the pieces to another, best score first; of one piece, the way
    with the longest left part first, as a run of equal characters is joined from the left."""
    ways = [
        (-score, ids[piece], -cut, piece)
        for piece, score in scores.items()
        for cut in range(1, len(piece))
        if piece[:cut] in scores and piece[cut:] in scores
    ]
    return [[piece[:-cut], piece[-cut:]] for _, _, cut, piece in sorted(ways)]


def _added(content: str, i: int) -> Tables:
    return {
        "id": i,
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
    }


def _normalizer(has_prefix_space: bool) -> Tables:
    steps: list[Tables] = [{"type": "Prepend", "prepend": SPACE}] if has_prefix_space else []
    steps.append({"type": "Replace", "pattern": {"String": " "}, "content": SPACE})
    return {"type": "Sequence", "normalizers": steps}


def _decoder(has_prefix_space: bool) -> Tables:
    steps: list[Tables] = [
        {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if has_prefix_space:
        steps.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return {"type": "Sequence", "decoders": steps}


def _beginning(content: str, i: int) -> Tables:
    begin = {"SpecialToken": {"id": content, "type_id": 0}}
    first, second = ({"Sequence": {"id": name, "type_id": n}} for n, name in enumerate("AB"))
    again = {"SpecialToken": {"id": content, "type_id": 1}}
    return {
        "type": "TemplateProcessing",
        "single": [begin, first],
        "pair": [begin, first, again, second],
        "special_tokens": {content: {"id": content, "ids": [i], "tokens": [content]}},
    }
