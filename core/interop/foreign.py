"""A model of another program, understood: its shape in our words, its tensors by our names.

Readers of formats make it; `core.interop.arrival` turns it into a run. Nothing is read into
memory before a tensor is asked for, so that a large model never is there twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from core.config import ModelConfig

LONGEST = 8192
"""Positions that an imported model keeps, unless somebody asks for more: its cache has room for
all of them."""

Read = Callable[[], Tensor]
"""One tensor, of any floating type, in the layout of ours."""


@dataclass(frozen=True, slots=True)
class ForeignModel:
    """What a reader has found out about a file or folder."""

    config: ModelConfig
    tensors: Mapping[str, Read]
    """By the names of our parameters; checked on arrival, not here."""
    tokenizer_json: str
    """As the `tokenizers` library reads it; never more tokens than `config.vocab_size`."""
    format: str
    """"hf", "gguf" or "llama2.c"."""
    architecture: str
    """What its makers call it."""
    source: str
    """As it was given."""
    stem: str
    """What its run is called when nobody says."""
    end_ids: tuple[int, ...] = ()
    """Tokens after which the model has said all."""
    remarks: tuple[str, ...] = ()
    """What a person should know: sentences."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a writer has made."""

    architecture: str
    """What the other program knows the model as."""
    remarks: tuple[str, ...] = ()
    """What a person should know: sentences."""


def kept_positions(available: int, asked: int) -> tuple[int, tuple[str, ...]]:
    """How many of a model's positions to keep, and what to say about it.

    Args:
        available: what the model was made for.
        asked: 0 asks for all, up to `LONGEST`.
    """
    kept = min(available, asked or LONGEST)
    if kept == available:
        return kept, ()
    return kept, (f"{kept} of its {available} positions are kept.",)
