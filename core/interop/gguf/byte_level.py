"""Byte-level BPE in GGUF: which of llama.cpp's named pre-tokenizers is which of ours.

A pre-tokenizer and a normalizer together have one name, so that the way back is known. Names
whose patterns are the same in llama.cpp are told apart by what the models of that name use.

Source: llama.cpp, src/llama-vocab.cpp, `llm_tokenizer_bpe` (facts only).
"""

from __future__ import annotations

import json

from core.errors import ExportError, FormatError
from core.interop.gguf.tokenizer_fields import (
    CONTROL,
    ELSEWHERE,
    NORMAL,
    USER_DEFINED,
    TokenizerFields,
    damaged,
    first_of,
    padded,
    used,
)
from core.text.imported_tables import Tables, added_tokens, parts, vocabulary
from core.text.tokenizer import Tokenizer
from core.text.tokenizer_json import (
    Merge,
    added_token,
    beginning,
    byte_alphabet,
    byte_level,
    complete,
    for_merges,
)

Known = tuple[Tables, Tables | None, bool]
"""Pre-tokenizer, normalizer, and whether a word that is a token is not merged."""

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
_REST = "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
LLAMA3 = _CONTRACTIONS + "\\p{N}{1,3}" + _REST
QWEN2 = _CONTRACTIONS + "\\p{N}" + _REST
_NFC = {"type": "NFC"}
NO_END = byte_alphabet()[0xFF]
"""A byte that no UTF-8 text holds: the end where there is none."""


def _after(*steps: Tables, use_regex: bool) -> Tables:
    return {"type": "Sequence", "pretokenizers": [*steps, byte_level(use_regex=use_regex)]}


def _split(pattern: str) -> Tables:
    return {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": False,
    }


_DIGITS = {"type": "Digits", "individual_digits": True}
KNOWN: dict[str, Known] = {
    "gpt-2": (byte_level(use_regex=True), None, False),
    "olmo": (byte_level(use_regex=True), _NFC, False),
    "smollm": (_after(_DIGITS, use_regex=True), None, False),
    "llama-bpe": (_after(_split(LLAMA3), use_regex=False), None, True),
    "dbrx": (_after(_split(LLAMA3), use_regex=False), None, False),
    "qwen2": (_after(_split(QWEN2), use_regex=False), _NFC, False),
    "stablelm2": (_after(_split(QWEN2), use_regex=False), None, False),
}
ALIASES = {
    "phi-2": "gpt-2",
    "mpt": "gpt-2",
    "llama3": "llama-bpe",
    "llama-v3": "llama-bpe",
    "smaug-bpe": "dbrx",
    "deepseek-r1-qwen": "qwen2",
    "starcoder": "smollm",
    "refact": "smollm",
}
"""Other names of the same."""


def to_fields(tables: Tables, tokenizer: Tokenizer, vocab_size: int) -> TokenizerFields:
    """See `core.interop.gguf.tokenizer.to_fields`; `tables` are its `tokenizer.json`."""
    model, vocab, added = tables["model"], vocabulary(tables), added_tokens(tables)
    pre = name_of(tables.get("pre_tokenizer"), tables.get("normalizer"), _ignores_merges(model))
    if pre is None:
        steps = parts(tables, "normalizer") + parts(tables, "pre_tokenizer")
        raise ExportError(
            f"llama.cpp has no name for the pre-tokenizer {json.dumps(steps)[:120]}.",
            hint=ELSEWHERE,
        )
    texts = {i: text for text, i in vocab.items()} | {t["id"]: t["content"] for t in added}
    types = {t["id"]: CONTROL if t.get("special") else USER_DEFINED for t in added}
    tokens, types_of = padded(texts, types, vocab_size)
    end = next(iter(tokenizer.end_ids), vocab.get(NO_END))
    begin = first_of(tokenizer)
    return TokenizerFields(
        model="gpt2",
        pre=pre,
        tokens=tokens,
        token_types=types_of,
        merges=[m if isinstance(m, str) else " ".join(m) for m in model["merges"]],
        bos_id=end if begin is None else begin,
        eos_id=end,
        add_bos=begin is not None,
    )


def from_fields(fields: TokenizerFields) -> tuple[str, tuple[int, ...]]:
    """See `core.interop.gguf.tokenizer.from_fields`."""
    name = ALIASES.get(fields.pre, fields.pre)
    if name not in KNOWN:
        raise FormatError(
            f"The file has a pre-tokenizer that minitf does not know: {fields.pre[:40]!r}.",
            hint=f"It reads {', '.join([*KNOWN, *ALIASES])}.",
        )
    merges = [_merge(text) for text in fields.merges or []]
    texts = used(fields)
    no_end = next((i for i, text in texts.items() if text == NO_END), None)
    ends = () if fields.eos_id in (None, no_end) else (fields.eos_id,)
    own = byte_alphabet() + [left + right for left, right in merges]
    if name == "gpt-2" and list(texts.values()) == own and not fields.add_bos:
        return for_merges(merges), ends
    return _complete(fields, name, texts, merges), ends


def _complete(
    fields: TokenizerFields, name: str, texts: dict[int, str], merges: list[Merge]
) -> str:
    pre_tokenizer, normalizer, ignores_merges = KNOWN[name]
    types = fields.token_types
    model = {
        "ignore_merges": ignores_merges,
        "vocab": {text: i for i, text in texts.items() if types[i] == NORMAL},
        "merges": [list(merge) for merge in merges],
    }
    added = [
        added_token(text, i, special=types[i] == CONTROL)
        for i, text in texts.items()
        if types[i] != NORMAL
    ]
    begin = fields.bos_id if fields.add_bos else None
    return complete(
        model,
        added_tokens=added,
        normalizer=normalizer,
        pre_tokenizer=pre_tokenizer,
        post_processor=None if begin is None else beginning(fields.tokens[begin], begin),
        decoder=byte_level(use_regex=True),
    )


def _merge(text: str) -> Merge:
    left, space, right = text.partition(" ")
    if not (left and space and right):
        raise damaged(f"the merge {text[:40]!r} has not two parts")
    return left, right


def name_of(pre_tokenizer: object, normalizer: object, ignores_merges: bool) -> str | None:
    """llama.cpp's name of a pre-tokenizer, None if it has none."""
    given = (_flat(pre_tokenizer), _flat(normalizer), ignores_merges)
    for name, (known, before, ignores) in KNOWN.items():
        if given == (_flat(known), _flat(before), ignores):
            return name
    return None


def _flat(step: object) -> list[Tables]:
    """The parts of a step, without what changes no id."""
    if not isinstance(step, dict):
        return []
    inner = step.get("normalizers", step.get("pretokenizers"))
    if isinstance(inner, list):
        return [part for one in inner for part in _flat(one)]
    step = {"use_regex": True} | step if step.get("type") == "ByteLevel" else step
    return [{key: value for key, value in step.items() if key != "trim_offsets"}]


def _ignores_merges(model: Tables) -> bool:
    return bool(model.get("ignore_merges"))
