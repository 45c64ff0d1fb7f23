"""A file that llama.cpp and Ollama load as it is."""

from __future__ import annotations

from pathlib import Path

from core.interop.equivalents import Portable
from core.interop.foreign import Written
from core.store.stages import IsStopping, Telling
from core.text.tokenizer import Tokenizer


def write_gguf(
    model: Portable,
    tokenizer: Tokenizer,
    path: Path,
    title: str,
    number_type: str,
    is_stopping: IsStopping,
) -> Telling[Written]:
    """Write `path`, which does not exist yet.

    Args:
        title: the model's name in the file.
        number_type: "f32", "f16", "q8_0" or "q4_0", of the matrices.

    Raises:
        ExportError: no architecture of llama.cpp computes this model.
    """
    raise NotImplementedError
    yield
