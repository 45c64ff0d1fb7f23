"""What a foreign `tokenizer.json` says: its family, and the bytes of its tokens.

Nothing in it is trusted: every table is looked at before it is used.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from core.errors import TokenizerError
from core.text.tokenizer_json import byte_alphabet

Tables = dict[str, Any]

LARGEST = 100_000_000
"""Characters of a tokenizer.json."""
MOST_TOKENS = 1 << 22
SPACE = "\u2581"
"""What SentencePiece writes for a space."""
BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
"""What it writes for a byte."""
_DEEPEST = 16
_MOST_GROWTH = 4096
"""How much longer all steps together may make a text: a file of a line could ask for any memory."""
_GROWTHS = {"ByteLevel": 2, "NFD": 4, "NFKD": 18, "NFKC": 18, "Precompiled": 18}


def parse(source: str) -> Tables:
    """The tables of a `tokenizer.json`.

    Raises:
        TokenizerError: it is not one, or too large.
    """
    if len(source) > LARGEST:
        raise _damaged(f"it has {len(source)} characters, and {LARGEST} are allowed")
    try:
        tables = json.loads(source)
    except (ValueError, RecursionError) as error:
        raise _damaged("it is not JSON") from error
    if not isinstance(tables, dict) or not isinstance(tables.get("model"), dict):
        raise _damaged("it has no model")
    return tables


def is_byte_level(tables: Tables) -> bool:
    """Its tokens are written in GPT-2's byte alphabet."""
    steps = [*parts(tables, "normalizer"), *parts(tables, "pre_tokenizer")]
    return any(step.get("type") == "ByteLevel" for step in steps)


def vocabulary(tables: Tables) -> dict[str, int]:
    """Id of each token of the model, without the added ones.

    Raises:
        TokenizerError: it is damaged, or of a kind that minitf does not know.
    """
    model = tables["model"]
    kind = model.get("type", "BPE" if "merges" in model else None)
    vocab = model.get("vocab")
    if kind == "Unigram" and isinstance(vocab, list):
        is_rows = all(isinstance(row, list) and row and isinstance(row[0], str) for row in vocab)
        vocab = {row[0]: i for i, row in enumerate(vocab)} if is_rows else None
    elif kind not in ("BPE", "Unigram"):
        raise TokenizerError(
            f"minitf does not know tokenizers of the kind {str(kind)[:40]!r}.",
            hint="It reads byte-level BPE, and SentencePiece's BPE and Unigram.",
        )
    if not isinstance(vocab, dict) or not all(_is_token(t, i) for t, i in vocab.items()):
        raise _damaged("its vocabulary is not a table of ids")
    return vocab


def added_tokens(tables: Tables) -> list[Tables]:
    """The tokens that are found before all others: `id`, `content`, `special` each.

    Raises:
        TokenizerError: it is damaged.
    """
    added = tables.get("added_tokens") or []
    if not isinstance(added, list) or not all(
        isinstance(token, dict) and _is_token(token.get("content"), token.get("id"))
        for token in added
    ):
        raise _damaged("its added tokens are not a list of texts and ids")
    return added


def token_bytes(tables: Tables) -> list[bytes]:
    """The bytes of each token, b"" for ids that it leaves out.

    Raises:
        TokenizerError: it is damaged, or of a kind that minitf does not know.
    """
    vocab, added = vocabulary(tables), added_tokens(tables)
    _check_family(tables)
    _check_growth(tables)
    is_level = is_byte_level(tables)
    size = 1 + max([*vocab.values(), *(token["id"] for token in added)], default=-1)
    found = [b""] * size
    alphabet = {c: bytes([b]) for b, c in enumerate(byte_alphabet())}
    for token, i in vocab.items():
        found[i] = _level_bytes(token, alphabet) if is_level else _piece_bytes(token)
    for one in added:
        found[one["id"]] = one["content"].encode("utf-8", "replace")
    return found


def byte_ids(tables: Tables) -> dict[int, int]:
    """The ids of single bytes, as many as there are."""
    vocab = vocabulary(tables)
    if is_byte_level(tables):
        return {b: vocab[c] for b, c in enumerate(byte_alphabet()) if c in vocab}
    found = {b: vocab.get(f"<0x{b:02X}>") for b in range(256)}
    return {b: i for b, i in found.items() if i is not None}


def parts(tables: Tables, step: str) -> list[Tables]:
    """The parts of "normalizer", "pre_tokenizer" or "decoder", sequences taken apart.

    Raises:
        TokenizerError: it is damaged.
    """
    return list(_parts(tables.get(step), _DEEPEST))


def _parts(step: object, deepest: int) -> Iterator[Tables]:
    if step is None:
        return
    if not isinstance(step, dict) or not deepest:
        raise _damaged("its steps are not tables")
    inner = next((step[k] for k in ("normalizers", "pretokenizers", "decoders") if k in step), None)
    if inner is None:
        yield step
    elif isinstance(inner, list):
        for one in inner:
            yield from _parts(one, deepest - 1)
    else:
        raise _damaged("its steps are not tables")


def _check_family(tables: Tables) -> None:
    if is_byte_level(tables) and tables["model"].get("type") != "Unigram":
        return
    steps = [s for name in ("normalizer", "pre_tokenizer", "decoder") for s in parts(tables, name)]
    if not any(_writes_spaces(step) for step in steps):
        raise TokenizerError(
            "minitf does not know how this tokenizer writes spaces.",
            hint="It reads byte-level BPE, and SentencePiece's BPE and Unigram.",
        )


def _check_growth(tables: Tables) -> None:
    growth = 1
    for step in parts(tables, "normalizer") + parts(tables, "pre_tokenizer"):
        growth *= _growth(step)
        if growth > _MOST_GROWTH:
            raise _damaged(f"its steps make a text more than {_MOST_GROWTH} times as long")


def _growth(step: Tables) -> int:
    kind, content = step.get("type"), step.get("content")
    if kind == "Replace" and isinstance(content, str):
        is_plain = isinstance(_string_of(step.get("pattern")), str) and _string_of(
            step.get("pattern")
        )
        return max(1, len(content) + (not is_plain))  # the other kind may match nothing
    return _GROWTHS.get(kind, 1) if isinstance(kind, str) else 1


def _writes_spaces(step: Tables) -> bool:
    return step.get("type") == "Metaspace" or SPACE in (
        step.get("content"),
        step.get("prepend"),
        _string_of(step.get("pattern")),
    )


def _string_of(pattern: object) -> object:
    return pattern.get("String") if isinstance(pattern, dict) else pattern


def _level_bytes(token: str, alphabet: dict[str, bytes]) -> bytes:
    return b"".join(alphabet.get(c) or c.encode("utf-8", "replace") for c in token)


def _piece_bytes(piece: str) -> bytes:
    byte = BYTE.fullmatch(piece)
    if byte:
        return bytes([int(byte[1], 16)])
    return piece.replace(SPACE, " ").encode("utf-8", "replace")


def _is_token(token: object, i: object) -> bool:
    return isinstance(token, str) and type(i) is int and 0 <= i < MOST_TOKENS


def _damaged(reason: str) -> TokenizerError:
    return TokenizerError(
        f"The tokenizer.json is damaged: {reason}.",
        hint="Fetch it again from where the model came from.",
    )
