"""The tokenizer of a SentencePiece BPE model that is known by its scores alone.

SentencePiece joins, again and again, the two neighbours whose joined piece has the highest
score, the leftmost first. A `tokenizer.json` has ranked pairs instead. So each piece gives one
pair for every way to cut it into two pieces, in the order of scores. The ids are the same unless
two overlapping pairs give one and the same piece at the same time, or scores are equal.

Source: SentencePiece, arXiv:1808.06226; its BPE, `bpe_model.cc` (facts only).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from core.text.imported_tables import BYTE, SPACE, Tables
from core.text.tokenizer_json import added_token, beginning, complete

UNKNOWN = "<unk>"


def from_scores(
    pieces: Sequence[str],
    scores: Sequence[float],
    *,
    has_prefix_space: bool = True,
    begin_id: int | None = None,
    control_ids: Iterable[int] = (),
    user_ids: Iterable[int] = (),
) -> str:
    """The `tokenizer.json` of a SentencePiece BPE.

    Args:
        pieces: with "\u2581" for spaces and "<0x0A>" for bytes; an index is an id, and "" an id
            that is not used.
        scores: one a piece; the higher, the earlier is it joined.
        has_prefix_space: a text is read as if a space stood before it.
        begin_id: what stands before each text.
        control_ids: pieces that are no text.
        user_ids: pieces that are found in a text before all others.
    """
    control = {i for i in {*control_ids, begin_id} if i is not None}
    added = {i: i in control for i in sorted({*control, *user_ids})}
    vocab = {piece: i for i, piece in enumerate(pieces) if piece}
    joined = {
        piece: scores[i]
        for piece, i in vocab.items()
        if i not in added and piece != UNKNOWN and not BYTE.fullmatch(piece)
    }
    model = {
        "unk_token": UNKNOWN if UNKNOWN in vocab else None,
        "fuse_unk": True,
        "byte_fallback": True,
        "vocab": vocab,
        "merges": merges_of(joined),
    }
    return complete(
        model,
        added_tokens=[added_token(pieces[i], i, special=s) for i, s in added.items()],
        normalizer=_normalizer(has_prefix_space),
        post_processor=None if begin_id is None else beginning(pieces[begin_id], begin_id),
        decoder=_decoder(has_prefix_space),
    )


def merges_of(scores: Mapping[str, float]) -> list[list[str]]:
    """Each way to join two of the pieces to another, best score first; of one piece, the way
    with the longest left part first, as a run of equal characters is joined from the left."""
    best_first = sorted(scores, key=lambda piece: -scores[piece])
    return [
        [piece[:cut], piece[cut:]]
        for piece in best_first
        for cut in range(len(piece) - 1, 0, -1)
        if piece[:cut] in scores and piece[cut:] in scores
    ]


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
