"""The tokenizer's keys of a GGUF, written and read.

What they mean is known to `core.interop.gguf.tokenizer`; here they are only carried.
"""

from __future__ import annotations

from gguf import GGUFWriter

from core.interop.gguf.tokenizer import TokenizerFields
from core.interop.gguf.values import Values

PREFIX = "tokenizer.ggml."
NORMAL = 1
"""The type of a token that is text."""
_BEGIN_FIRST = ("llama3", "llama-v3", "llama-bpe", "tekken")
"""Ways to cut words with which llama.cpp puts the begin token first where a file is silent."""


def add_tokenizer(writer: GGUFWriter, fields: TokenizerFields) -> None:
    """Put them into a file that has not been opened yet."""
    writer.add_tokenizer_model(fields.model)
    writer.add_tokenizer_pre(fields.pre)
    writer.add_token_list(fields.tokens)
    writer.add_token_types(fields.token_types)
    if fields.scores is not None:
        writer.add_token_scores(fields.scores)
    if fields.merges is not None:
        writer.add_token_merges(fields.merges)
    if fields.bos_id is not None:
        writer.add_bos_token_id(fields.bos_id)
    if fields.eos_id is not None:
        writer.add_eos_token_id(fields.eos_id)
    writer.add_add_bos_token(fields.add_bos)
    if fields.add_space_prefix is not None:
        writer.add_add_space_prefix(fields.add_space_prefix)


def read_tokenizer(values: Values) -> TokenizerFields:
    """Take them from a file.

    Raises:
        FormatError: one is missing, or is not what is meant by it.
    """
    own = values.below(PREFIX)
    tokens = own.all_of("tokens", str)
    n = len(tokens)
    model, pre = own.text("model"), own.text("pre", "default")
    begins = model == "llama" or (model == "gpt2" and pre in _BEGIN_FIRST)
    return TokenizerFields(
        model=model,
        pre=pre,
        tokens=tokens,
        token_types=own.all_of("token_type", int, n) if own.has("token_type") else [NORMAL] * n,
        scores=own.all_of("scores", float, n) if own.has("scores") else None,
        merges=own.all_of("merges", str) if own.has("merges") else None,
        bos_id=read_id(own, "bos_token_id", n),
        eos_id=read_id(own, "eos_token_id", n),
        add_bos=own.flag("add_bos_token", default=begins),
        add_space_prefix=own.flag("add_space_prefix", default=True)
        if own.has("add_space_prefix")
        else None,
    )


def read_id(own: Values, key: str, n_tokens: int) -> int | None:
    """The id of a token that has a part to play; None where the file names none."""
    if not own.has(key):
        return None
    # Some files say "none" by the largest number of 32 bits.
    value = own.count(key, most=(1 << 32) - 1)
    return value if value < n_tokens else None
