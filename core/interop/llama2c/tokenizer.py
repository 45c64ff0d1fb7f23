"""The tokenizer.bin of llama2.c: a score and a piece of text for each token.

    int32 length of the longest piece; then for each token float32 score, int32 length, UTF-8

It is a SentencePiece BPE: spaces stand for "▁", bytes for themselves are "<0x0A>", and 1 and 2
begin and end a text.

Source: github.com/karpathy/llama2.c, the format that its tokenizer.py describes.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path

from core import paths
from core.errors import FormatError, TokenizerError
from core.interop.sentencepiece import from_scores

LARGEST_BYTES, LONGEST_PIECE = 100_000_000, 512
"""Of a file and of one token; real ones stay far below."""
BEGIN_ID, END_ID = 1, 2
END_IDS = (BEGIN_ID, END_ID)
"""llama2.c stops at both: a text follows on another."""
_CONTROLS = {BEGIN_ID: "<s>", END_ID: "</s>"}
_LONGEST = struct.Struct("<i")
_TOKEN = struct.Struct("<fi")


def read_tokenizer(model: Path, source: str, given: str | Path | None, vocab_size: int) -> str:
    """The tokenizer of a .bin, as a tokenizer.json.

    Args:
        model: the file of its weights; without `given` its tokenizer lies beside it.

    Raises:
        FormatError: it is not there, damaged, or of another model.
    """
    path = _find(model, source, given, vocab_size)
    name = str(given or path.name)
    pieces, scores = _parse(_bytes(path, name), name)
    if len(pieces) != vocab_size:
        raise FormatError(
            f"{name} holds {len(pieces)} tokens, and the model of {source} has {vocab_size}.",
            hint="Name the tokenizer that it was trained with: --tokenizer FILE.",
        )
    try:
        return from_scores(
            pieces, scores, has_prefix_space=True, begin_id=BEGIN_ID, control_ids=END_IDS
        )
    except TokenizerError as error:
        raise FormatError(f"{name}: {error}", hint=error.hint) from error


def _find(model: Path, source: str, given: str | Path | None, vocab_size: int) -> Path:
    if given is not None:
        return paths.absolute(str(given))
    names = (f"tok{vocab_size}.bin", "tokenizer.bin")
    for name in names:
        if (model.parent / name).is_file():
            return model.parent / name
    raise FormatError(
        f"{source}: neither {' nor '.join(names)} is beside it.",
        hint="Name its tokenizer: --tokenizer FILE.",
    )


def _bytes(path: Path, name: str) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise FormatError(
            f"The tokenizer {name} cannot be read: {error.strerror}.",
            hint="Name a tokenizer.bin of llama2.c: --tokenizer FILE.",
        ) from error
    if not _LONGEST.size < len(data) <= LARGEST_BYTES:
        raise _damaged(name, f"it has {path.stat().st_size} bytes")
    return data


def _parse(data: bytes, name: str) -> tuple[list[str], list[float]]:
    pieces: list[str] = []
    scores: list[float] = []
    (longest,) = _LONGEST.unpack_from(data)
    at = _LONGEST.size
    while at < len(data):
        if at + _TOKEN.size > len(data):
            raise _damaged(name, f"it ends in token {len(pieces)}")
        score, length = _TOKEN.unpack_from(data, at)
        at += _TOKEN.size
        if not (
            0 < length <= min(longest, LONGEST_PIECE)
            and at + length <= len(data)
            and math.isfinite(score)
        ):
            raise _damaged(name, f"token {len(pieces)} has the length {length}, score {score:g}")
        try:
            text = data[at : at + length].decode()
        except UnicodeDecodeError:
            raise _damaged(name, f"token {len(pieces)} is not UTF-8") from None
        pieces.append(_CONTROLS.get(len(pieces)) or text.replace(" ", "▁"))
        scores.append(score)
        at += length
    if len(set(pieces)) < len(pieces):
        raise _damaged(name, "a token is there twice")
    return pieces, scores


def _damaged(name: str, reason: str) -> FormatError:
    return FormatError(
        f"{name} is no tokenizer.bin of llama2.c, or a damaged one: {reason}.",
        hint="Fetch it again, or name another: --tokenizer FILE.",
    )
