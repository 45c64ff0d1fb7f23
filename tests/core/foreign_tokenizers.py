"""Tokenizers as other programs write them, small, and strings that are hard to read."""

from __future__ import annotations

import json
import random
from functools import cache
from typing import Any

from core.interop.sentencepiece import from_scores
from core.text.tokenizer_json import byte_alphabet

SPACE = "\u2581"
END = "<|endoftext|>"
TEXT = (
    "The lion and the mouse: it's 1,234 o'clock, they're here, WE'LL SEE.\n\n"
    "  def f(x):\n    return x ** 2  # naïve café, Straße, 東京都 に行く。\n"
    "Она сказала: «нет»! Δεν ξέρω… 👩‍👩‍👧 🏳️‍🌈 e\u0301 n\u0303 ١٢٣ ½ x² \t\tend\r\n"
) * 40
BLOCKS = [
    (0x20, 0x7F),
    (0x00, 0x20),
    (0x80, 0x250),
    (0x300, 0x370),
    (0x370, 0x600),
    (0x600, 0x900),
    (0x900, 0xE80),
    (0x1000, 0x2000),
    (0x2000, 0x2C00),
    (0x3000, 0x3100),
    (0x4E00, 0xA000),
    (0xAC00, 0xD7A4),
    (0xE000, 0x10000),
    (0x10000, 0x12000),
    (0x12000, 0x1D000),
    (0x1D000, 0x1F300),
    (0x1F300, 0x20000),
    (0x20000, 0x30000),
    (0x30000, 0xE0000),
    (0xE0000, 0x110000),
]
"""Ranges of every plane, assigned or not; none of surrogates."""
BLANKS = [" ", "\n", "\t", "\r", "\r\n", " \n", "\u00a0", "\u3000", "\u2028", "\x85", "\x0b"]
PHRASES = [
    *("'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'LL", "don't", "WE'RE", "they've"),
    *("the", "and", "ing", "Word", "don'", "'", "''", " it's", " house", "</s>", "<0x0A>"),
    *("e\u0301", "👩‍👩‍👧", "🏳️‍🌈", "👍🏽", "你好世界", "١٢٣", "½x²"),
]


def random_strings(n: int, seed: int) -> list[str]:
    """Strings of every plane, with control characters, long runs of blanks, digits, emoji."""
    dice = random.Random(seed)
    return [random_string(dice) for _ in range(n)]


def random_string(dice: random.Random) -> str:
    """One of `random_strings`."""
    parts = []
    for _ in range(dice.randint(1, 12)):
        kind = dice.random()
        if kind < 0.2:
            parts.append(dice.choice(BLANKS) * dice.randint(1, 40))
        elif kind < 0.4:
            parts.append(dice.choice(PHRASES))
        elif kind < 0.5:
            parts += [dice.choice("0123456789") for _ in range(dice.randint(1, 9))]
        else:
            low, high = dice.choice(BLOCKS)
            parts += [chr(dice.randrange(low, high)) for _ in range(dice.randint(1, 8))]
    return "".join(parts)


@cache
def byte_level(
    pre_tokenizer: str, normalizer: str = "null", ignore_merges: bool = False, size: int = 600
) -> str:
    """A byte-level BPE with an end-of-text token, learnt from TEXT; steps are JSON."""
    from tokenizers import Tokenizer, trainers

    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    empty: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": json.loads(normalizer),
        "pre_tokenizer": json.loads(pre_tokenizer),
        "post_processor": level | {"use_regex": True},
        "decoder": level | {"use_regex": True},
        "model": {"type": "BPE", "vocab": {}, "merges": [], "ignore_merges": ignore_merges},
    }
    engine = Tokenizer.from_str(json.dumps(empty))
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END],
        initial_alphabet=sorted(byte_alphabet()),
        show_progress=False,
    )
    engine.train_from_iterator([TEXT], trainer)
    return str(engine.to_str())


@cache
def pieces(size: int = 300) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Pieces and scores of a SentencePiece BPE learnt from TEXT, laid out as Llama's are."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    engine = Tokenizer(models.BPE())
    engine.pre_tokenizer = pre_tokenizers.Metaspace()
    engine.train_from_iterator([TEXT], trainers.BpeTrainer(vocab_size=size, show_progress=False))
    vocab = engine.get_vocab()
    chars = sorted(piece for piece in vocab if len(piece) == 1 and piece != "\n")
    words = [p for p in sorted(vocab, key=vocab.get) if len(p) > 1 and "\n" not in p]  # type: ignore[arg-type]
    runs = [SPACE * n for n in (2, 4, 8, 3)]
    joined = [*runs, *(word for word in words if word not in runs)]
    start = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256))]
    scores = [0.0] * len(start) + [-float(n) for n in range(len(joined) + len(chars))]
    return (*start, *joined, *chars), tuple(scores)


def sentencepiece(**arguments: Any) -> str:
    """Such a tokenizer, with `<s>` before each text."""
    return from_scores(*pieces(), **({"begin_id": 1, "control_ids": [1, 2]} | arguments))


def changed(source: str, **tables: Any) -> str:
    """A `tokenizer.json` with other steps."""
    return json.dumps(json.loads(source) | tables)


METASPACE = {
    "type": "Metaspace",
    "replacement": SPACE,
    "prepend_scheme": "first",
    "split": False,
}


@cache
def unigram() -> str:
    """SentencePiece's Unigram, with byte fallback, as T5 has it but without a map."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    engine = Tokenizer(models.Unigram())
    engine.pre_tokenizer = pre_tokenizers.Metaspace()
    engine.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=300, special_tokens=["<unk>", "</s>"], unk_token="<unk>", show_progress=False
    )
    engine.train_from_iterator([TEXT.replace("\n", " ")], trainer)
    tables = json.loads(engine.to_str())
    tables["model"]["vocab"] += [[f"<0x{b:02X}>", -50.0] for b in range(256)]
    tables["model"]["byte_fallback"] = True
    return json.dumps(tables)
