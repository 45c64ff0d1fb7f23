"""Weights and tokenizers of llama2.c: plain arrays."""

from __future__ import annotations

from pathlib import Path

from core.interop.foreign import ForeignModel


def read_llama2c(
    path: Path, source: str, tokenizer: str | Path | None, max_seq_len: int
) -> ForeignModel:
    """Understand the file; see `core.interop.huggingface_reader.read_hf`.

    Args:
        tokenizer: its tokenizer.bin; None looks for one beside it.

    Raises:
        FormatError: it is damaged, or its tokenizer cannot be found.
    """
    raise NotImplementedError
