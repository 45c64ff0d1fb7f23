"""A folder that transformers loads as it is."""

from __future__ import annotations

from pathlib import Path

from core.interop.equivalents import Portable
from core.interop.foreign import Written
from core.store.stages import IsStopping, Telling
from core.text.tokenizer import Tokenizer


def write_hf(
    model: Portable, tokenizer: Tokenizer, folder: Path, is_stopping: IsStopping
) -> Telling[Written]:
    """Write `folder`, which does not exist yet.

    Raises:
        ExportError: no architecture of transformers computes this model.
    """
    raise NotImplementedError
    yield
