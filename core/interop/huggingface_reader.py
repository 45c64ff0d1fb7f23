"""A folder of transformers, read."""

from __future__ import annotations

from pathlib import Path

from core.interop.foreign import ForeignModel


def read_hf(folder: Path, source: str, max_seq_len: int) -> ForeignModel:
    """Understand the folder.

    Args:
        source: what to call it in messages.
        max_seq_len: positions to keep; 0 keeps all up to `core.transfers.LONGEST`.

    Raises:
        FormatError: it is damaged, or a model that minitf cannot compute.
    """
    raise NotImplementedError
