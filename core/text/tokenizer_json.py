"""The Hugging Face `tokenizer.json` of our tokenizers, and the training of merges.

GPT-2 writes each byte as one printable character: the printable ones stand for themselves,
the others are moved up to U+0100 (Radford et al. 2019, released encoder).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

Merge = tuple[str, str]
Table = dict[str, Any]


def byte_alphabet() -> list[str]:
    """The character that stands for each of the 256 bytes."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    moved = iter(range(0x100, 0x200))
    return [chr(b if b in printable else next(moved)) for b in range(256)]


def token_bytes(merges: Sequence[Merge]) -> list[bytes]:
    """The bytes of each token: the 256 single ones, then one a merge.

    Raises:
        KeyError: a merge is not made of earlier tokens.
    """
    known = {c: bytes([b]) for b, c in enumerate(byte_alphabet())}
    for left, right in merges:
        known[left + right] = known[left] + known[right]
    return list(known.values())


def learn_merges(texts: Iterable[str], vocab_size: int) -> list[Merge]:
    """Up to `vocab_size - 256` merges, most frequent pair first."""
    from tokenizers import Tokenizer as Engine
    from tokenizers import models, pre_tokenizers, trainers

    engine = Engine(models.BPE())
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        initial_alphabet=byte_alphabet(),
        show_progress=False,
    )
    engine.train_from_iterator(texts, trainer)
    learned = json.loads(engine.to_str())["model"]["merges"]
    return [(left, right) for left, right in learned]


def for_merges(merges: Sequence[Merge]) -> str:
    """A byte-level BPE whose first 256 ids are the bytes."""
    tokens = byte_alphabet() + [left + right for left, right in merges]
    # Without merges the words do not matter.
    level = byte_level(use_regex=bool(merges))
    model = {"vocab": {t: i for i, t in enumerate(tokens)}, "merges": [list(m) for m in merges]}
    return complete(model, pre_tokenizer=level, decoder=level)


def for_characters(characters: Sequence[str]) -> str:
    """A BPE without merges: every character is a token."""
    model = {"vocab": {c: i for i, c in enumerate(characters)}, "merges": []}
    return complete(model, decoder={"type": "Fuse"})


def byte_level(*, use_regex: bool) -> Table:
    """The step from text to GPT-2's byte alphabet; with its pattern of words, or without."""
    return {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": use_regex,
    }


def added_token(content: str, i: int, *, special: bool) -> Table:
    """One of the tokens that are found in a text before all others."""
    return {
        "id": i,
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": special,
    }


def beginning(content: str, i: int) -> Table:
    """The post-processor that puts one token before each text."""
    first, second = ({"Sequence": {"id": name, "type_id": n}} for n, name in enumerate("AB"))
    begin, again = ({"SpecialToken": {"id": content, "type_id": n}} for n in range(2))
    return {
        "type": "TemplateProcessing",
        "single": [begin, first],
        "pair": [begin, first, again, second],
        "special_tokens": {content: {"id": content, "ids": [i], "tokens": [content]}},
    }


def complete(model: Table, **steps: Any) -> str:
    """A `tokenizer.json` of BPE; what is not given is as it is without it."""
    whole_model: Table = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": {},
        "merges": [],
    }
    tables: Table = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": None,
        "model": whole_model | model,
    }
    return json.dumps(tables | steps, ensure_ascii=False)
