"""A GGUF of the Llama family, or of an architecture that minitf writes, read.

A tensor is read, and its blocks resolved, when it is asked for; what the file keeps as one
matrix and we as three is read as rows of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from core.config import ModelConfig
from core.errors import FormatError
from core.interop.foreign import LONGEST, ForeignModel, Read, kept_positions
from core.interop.gguf.architectures import (
    ROPE_FACTORS,
    Architecture,
    Piece,
    from_adjacent,
    pieces,
)
from core.interop.gguf.header import Header, TensorPlace, read_header
from core.interop.gguf.number_types import NumberType, count_bytes, decode
from core.interop.gguf.tokenizer import from_fields
from core.interop.gguf.tokenizer_keys import PREFIX, read_id, read_tokenizer
from core.interop.gguf.understanding import LARGEST_CONTEXT, understand
from core.interop.gguf.values import Values


def read_gguf(path: Path, source: str, max_seq_len: int) -> ForeignModel:
    """Understand the file; see `core.interop.huggingface.reader.read_hf`.

    Raises:
        FormatError: it is damaged, or a model that minitf cannot compute.
    """
    header = read_header(path, source)
    file = _File(path, source, header)
    values = Values(header.settings, source)
    factors = file.whole(ROPE_FACTORS) if ROPE_FACTORS in header.tensors else None
    row, config = understand(header, values, factors, max_seq_len or LONGEST)
    context = values.count(f"{row.name}.context_length", most=LARGEST_CONTEXT)
    _, remarks = kept_positions(context, max_seq_len)
    fields = read_tokenizer(values)
    if len(fields.tokens) > config.vocab_size:
        raise FormatError(
            f"{source} has {len(fields.tokens)} tokens, and rows for {config.vocab_size}.",
            hint="Fetch or export it again.",
        )
    try:
        tokenizer_json, end_ids = from_fields(fields)
    except FormatError as error:
        raise FormatError(f"{source}: {error}", hint=error.hint) from error
    turn_end = read_id(values.below(PREFIX), "eot_token_id", len(fields.tokens))
    if turn_end is not None and turn_end not in end_ids:
        end_ids = (*end_ids, turn_end)
    return ForeignModel(
        config=config,
        tensors=file.tensors(row, config),
        tokenizer_json=tokenizer_json,
        format="gguf",
        architecture=row.name,
        source=source,
        stem=path.stem,
        end_ids=end_ids,
        remarks=(*remarks, *_remarks(file.kinds())),
    )


def _remarks(kinds: set[NumberType]) -> Iterator[str]:
    if blocks := kinds & {NumberType.Q8_0, NumberType.Q4_0}:
        names = " and ".join(sorted(kind.name.lower() for kind in blocks))
        yield f"Its weights were rounded to {names}, and are float32 again."


@dataclass(frozen=True, slots=True)
class _File:
    """Where the weights are."""

    path: Path
    source: str
    header: Header

    def kinds(self) -> set[NumberType]:
        """Types of its numbers."""
        return {place.kind for place in self.header.tensors.values()}

    def tensors(self, row: Architecture, config: ModelConfig) -> dict[str, Read]:
        """How each of ours is read."""
        there = self.header.tensors
        is_fused = any(name.endswith("attn_qkv.weight") for name in there)
        known = {piece.name: piece for piece in pieces(row, config, is_fused=is_fused)}
        unknown = there.keys() - known.keys() - ({ROPE_FACTORS} if row.has_rope_factors else set())
        if unknown:
            raise FormatError(
                f"{self.source} holds a tensor that {row.name} has no place for in minitf:"
                f" {min(unknown)}.",
                hint="Choose another model: this one has parts that minitf lacks.",
            )
        reads: dict[str, Read] = {}
        for name, piece in known.items():
            if name in there:
                reads |= self._reads(piece, there[name])
            elif config.bias and name.endswith(".bias") and _has_biases(row, name):
                reads |= {ours: partial(torch.zeros, n_rows) for ours, n_rows in piece.parts}
        return reads

    def _reads(self, piece: Piece, place: TensorPlace) -> dict[str, Read]:
        n_rows = sum(n for _, n in piece.parts)
        is_longer = piece.name == "position_embd.weight" and place.shape[0] > n_rows
        if place.shape[0] != n_rows and not is_longer:
            raise FormatError(
                f"{self.source}: {piece.name} has {place.shape[0]} rows, not {n_rows}.",
                hint="The file is damaged, or its settings are of another model.",
            )
        reads: dict[str, Read] = {}
        start = 0
        for (name, n), n_heads in zip(piece.parts, piece.n_heads, strict=True):
            reads[name] = partial(self._rows, piece.name, start, n, n_heads)
            start += n
        return reads

    def whole(self, name: str) -> Tensor:
        """All of a tensor, float32."""
        return self._rows(name, 0, self.header.tensors[name].shape[0], 0)

    def _rows(self, name: str, start: int, n_rows: int, n_heads: int) -> Tensor:
        place = self.header.tensors[name]
        shape = (n_rows, *place.shape[1:])
        n_bytes = count_bytes(shape, place.kind)
        row_bytes = n_bytes // n_rows
        with self.path.open("rb") as file:
            file.seek(place.start + start * row_bytes)
            data = np.fromfile(file, np.uint8, n_bytes)
        if len(data) < n_bytes:
            raise FormatError(
                f"{self.source} has become shorter while it was read.", hint="Import it again."
            )
        tensor = decode(data, shape, place.kind)
        return from_adjacent(tensor, n_heads) if n_heads else tensor


def _has_biases(row: Architecture, name: str) -> bool:
    return row.norm == "layernorm" or "norm" not in name
