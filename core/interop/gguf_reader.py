"""A GGUF of the Llama family, read."""

from __future__ import annotations

from pathlib import Path

from core.interop.foreign import ForeignModel


def read_gguf(path: Path, source: str, max_seq_len: int) -> ForeignModel:
    """Understand the file; see `core.interop.huggingface_reader.read_hf`.

    Raises:
        FormatError: it is damaged, or a model that minitf cannot compute.
    """
    raise NotImplementedError
