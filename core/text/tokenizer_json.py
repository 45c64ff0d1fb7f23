"""The Hugging Face `tokenizer.json` of our tokenizers, and the training of merges.

GPT-2 writes each byte as one printable character: the printable ones stand for themselves,
the others are moved up to U+0100 (Radford et al. 2019, released encoder).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

Merge = tuple[str, str]


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
    level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        # Without merges the words do not matter.
        "use_regex": bool(merges),
    }
    return _tables({t: i for i, t in enumerate(tokens)}, merges, level, level)


def for_characters(characters: Sequence[str]) -> str:
    """A BPE without merges: every character is a token."""
    vocab = {c: i for i, c in enumerate(characters)}
    return _tables(vocab, [], None, {"type": "Fuse"})


def _tables(
    vocab: dict[str, int],
    merges: Sequence[Merge],
    pre_tokenizer: dict[str, Any] | None,
    decoder: dict[str, Any],
) -> str:
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": vocab,
        "merges": [list(m) for m in merges],
    }
    tables: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": None,
        "decoder": decoder,
        "model": model,
    }
    return json.dumps(tables, ensure_ascii=False)
