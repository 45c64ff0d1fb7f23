"""The files around a tokenizer.json, for transformers and from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from core.errors import FormatError
from core.interop.huggingface.description import Json
from core.interop.huggingface.settings import shown
from core.interop.untrusted_files import MOST_TOKENIZER_BYTES, read_object, read_text
from core.text.tokenizer import Tokenizer
from core.text.tokenizer_json import added_token, byte_level, complete

CONFIG, GENERATION = "config.json", "generation_config.json"
TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
END_OF_TEXT = "<|endoftext|>"
MOST_END_IDS = 64


def special_ids(tokenizer: Tokenizer) -> Json:
    """What `config.json` and `generation_config.json` say of the ends of a text."""
    ends = list(tokenizer.end_ids)
    begin = tokenizer.encode_prompt("").tolist()
    return {
        "bos_token_id": begin[0] if len(begin) == 1 else None,
        "eos_token_id": ends[0] if len(ends) == 1 else ends or None,
        "pad_token_id": None,
    }


def tokenizer_config(tokenizer_json: str, ids: Json, max_seq_len: int) -> Json:
    """What makes `AutoTokenizer` read tokenizer.json and change nothing about it. A token is
    named only where naming it adds none."""
    added = json.loads(tokenizer_json).get("added_tokens") or []
    names = {token["id"]: token["content"] for token in added if _is_as_named(token)}
    ends = ids["eos_token_id"]
    end = ends[0] if isinstance(ends, list) else ends
    named = {"bos_token": names.get(ids["bos_token_id"]), "eos_token": names.get(end)}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": max_seq_len,
        **{key: name for key, name in named.items() if name is not None},
    }


def _is_as_named(token: Json) -> bool:
    """Whether transformers would make the same of its bare name."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return bool(token.get("special")) and all(token.get(k) == v for k, v in flags.items())


def read_tokenizer(folder: Path, source: str) -> str:
    """The tokenizer.json of a folder, or what GPT-2's older files make of it.

    Raises:
        FormatError: it has none.
    """
    if (folder / TOKENIZER).exists():
        return read_text(folder, TOKENIZER, source, MOST_TOKENIZER_BYTES)
    if (folder / "vocab.json").exists() and (folder / "merges.txt").exists():
        return _from_vocabulary(folder, source)
    if (folder / "tokenizer.model").exists():
        raise FormatError(
            f"{source} has a tokenizer.model, and no tokenizer.json.",
            hint="Write one with transformers: AutoTokenizer.from_pretrained(DIR)"
            ".save_pretrained(DIR).",
        )
    raise FormatError(f"{source} has no tokenizer.", hint="Put its tokenizer.json into the folder.")


def _from_vocabulary(folder: Path, source: str) -> str:
    vocab = read_object(folder, "vocab.json", source, MOST_TOKENIZER_BYTES)
    lines = read_text(folder, "merges.txt", source, MOST_TOKENIZER_BYTES).split("\n")
    merges = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    if any(len(merge) != 2 for merge in merges):
        raise FormatError(
            f"{source}: merges.txt holds a line that is not two tokens.",
            hint="Fetch the file again.",
        )
    level = byte_level(use_regex=True)
    ends = [vocab[END_OF_TEXT]] if END_OF_TEXT in vocab else []
    return complete(
        {"vocab": vocab, "merges": merges},
        added_tokens=[added_token(END_OF_TEXT, i, special=True) for i in ends],
        pre_tokenizer=level,
        decoder=level,
    )


def read_end_ids(folder: Path, config: Json, vocab_size: int, source: str) -> tuple[int, ...]:
    """Tokens after which the model has said all: by generation_config.json, else config.json.
    Ids that the model does not have, it never says.

    Raises:
        FormatError: they are no ids at all.
    """
    ends: Any = None
    if (folder / GENERATION).exists():
        ends = read_object(folder, GENERATION, source).get("eos_token_id")
    if ends is None:
        ends = config.get("eos_token_id")
    ids = [] if ends is None else ends if isinstance(ends, list) else [ends]
    if len(ids) > MOST_END_IDS or any(type(i) is not int for i in ids):
        raise FormatError(
            f"{source} has eos_token_id={shown(ends)}.",
            hint=f"That takes a token id, or a list of up to {MOST_END_IDS}.",
        )
    return tuple(dict.fromkeys(i for i in ids if 0 <= i < vocab_size))
