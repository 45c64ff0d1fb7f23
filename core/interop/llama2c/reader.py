"""Weights of llama2.c: a header of a few whole numbers, then plain float32 arrays.

    version 0   7 numbers; the arrays, a table of angles among them
    version 1   "ak42", 1, 7 numbers, a flag, zeros up to 256 bytes; the arrays, norms first

A negative vocab_size in version 0 says that the head is a matrix of its own. Nothing is read
before the header's sizes are found to make exactly the file's.

Invariant: a head's numbers are turned in pairs (2i, 2i + 1) there and (i, i + H/2) here, so the
rows of queries and keys change places and the logits stay.

Source: github.com/karpathy/llama2.c, the formats that its export.py describes.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.config import ModelConfig
from core.errors import FormatError
from core.interop.foreign import ForeignModel, Read, kept_positions
from core.interop.llama2c.tokenizer import END_IDS, read_tokenizer

Part = tuple[str, tuple[int, ...]]
"""Name, with {} for the number of the layer where there is one a layer; and shape."""

MAGIC = 0x616B3432
"""Of version 1 and later."""
LONG_HEADER_BYTES = 256
ANGLES = ""
"""The name of what is skipped: angles can be computed."""
NORM_EPS = 1e-5
_NUMBERS = struct.Struct("<7i")
_LONG = struct.Struct("<Ii7iB")
_NAMES = ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len")


@dataclass(frozen=True, slots=True)
class Header:
    """The first numbers of a file, in its own words."""

    is_tied: bool
    version: int
    dim: int
    hidden_dim: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    vocab_size: int
    seq_len: int

    @property
    def head_size(self) -> int:
        """Width of one head."""
        return self.dim // self.n_heads

    @property
    def n_bytes(self) -> int:
        """Before the first array."""
        return LONG_HEADER_BYTES if self.version else _NUMBERS.size


def read_llama2c(
    path: Path, source: str, tokenizer: str | Path | None, max_seq_len: int
) -> ForeignModel:
    """Understand the file; see `core.interop.huggingface.reader.read_hf`.

    Args:
        tokenizer: its tokenizer.bin; None looks for one beside it.

    Raises:
        FormatError: it is damaged, or its tokenizer cannot be found.
    """
    header = _read_header(path, source)
    parts = _parts(header)
    _check_size(path, source, header, parts)
    n_kept, remarks = kept_positions(header.seq_len, max_seq_len)
    return ForeignModel(
        config=_config(header, n_kept),
        tensors=_tensors(path, header, parts),
        tokenizer_json=read_tokenizer(path, source, tokenizer, header.vocab_size),
        format="llama2.c",
        architecture="llama2.c",
        source=source,
        stem=path.stem,
        end_ids=END_IDS,
        remarks=remarks,
    )


def _read_header(path: Path, source: str) -> Header:
    with path.open("rb") as file:
        start = file.read(LONG_HEADER_BYTES).ljust(LONG_HEADER_BYTES, b"\0")
    magic, version, *numbers, flag = _LONG.unpack_from(start)
    if magic != MAGIC:
        numbers, version = list(_NUMBERS.unpack_from(start)), 0
        flag, numbers[5] = int(numbers[5] > 0), abs(numbers[5])
    elif version != 1:
        words = "are int8" if version == 2 else "have a layout that minitf does not know"
        raise FormatError(
            f"{source}: its weights {words}: version {version} of llama2.c.",
            hint="Write it with llama2.c's export.py --version 0 or 1.",
        )
    header = Header(bool(flag), version, *numbers)
    if min(numbers) < 1 or flag > 1 or not _divides(header):
        said = ", ".join(f"{name}={n}" for name, n in zip(_NAMES, numbers, strict=True))
        raise FormatError(
            f"{source} is no .bin of llama2.c, or a damaged one: {said}.",
            hint="Of the .bin files minitf reads llama2.c's alone: those of PyTorch can run code.",
        )
    return header


def _divides(header: Header) -> bool:
    """Whether heads come out even, in pairs of numbers."""
    return (
        header.dim % header.n_heads == 0
        and header.head_size % 2 == 0
        and header.n_heads % header.n_kv_heads == 0
    )


def _check_size(path: Path, source: str, header: Header, parts: list[Part]) -> None:
    n_floats = sum(
        math.prod(shape) * (header.n_layers if "{}" in name else 1) for name, shape in parts
    )
    wanted, there = header.n_bytes + 4 * n_floats, path.stat().st_size
    if wanted != there:
        raise FormatError(
            f"{source} has {there} bytes, and its header speaks of {wanted}.",
            hint="Fetch it again: it is damaged, or was not fetched whole.",
        )


def _parts(header: Header) -> list[Part]:
    """The arrays, in the order of the file."""
    d_model, d_ff, kv_dim = header.dim, header.hidden_dim, header.n_kv_heads * header.head_size
    embedding: Part = ("embedding.weight", (header.vocab_size, d_model))
    attention_norm: Part = ("blocks.{}.attention_norm.weight", (d_model,))
    attention: list[Part] = [
        ("blocks.{}.attention.q_proj.weight", (d_model, d_model)),
        ("blocks.{}.attention.k_proj.weight", (kv_dim, d_model)),
        ("blocks.{}.attention.v_proj.weight", (kv_dim, d_model)),
        ("blocks.{}.attention.o_proj.weight", (d_model, d_model)),
    ]
    feed_forward_norm: Part = ("blocks.{}.feed_forward_norm.weight", (d_model,))
    feed_forward: list[Part] = [
        ("blocks.{}.feed_forward.gate_proj.weight", (d_ff, d_model)),
        ("blocks.{}.feed_forward.down_proj.weight", (d_model, d_ff)),
        ("blocks.{}.feed_forward.up_proj.weight", (d_ff, d_model)),
    ]
    final_norm: Part = ("final_norm.weight", (d_model,))
    head: list[Part] = [("head.weight", embedding[1])] if not header.is_tied else []
    if header.version:
        norms = [attention_norm, feed_forward_norm, final_norm]
        return [*norms, embedding, *attention, *feed_forward, *head]
    layers = [attention_norm, *attention, feed_forward_norm, *feed_forward]
    angles: Part = (ANGLES, (header.seq_len, header.head_size))
    return [embedding, *layers, final_norm, angles, *head]


def _tensors(path: Path, header: Header, parts: list[Part]) -> dict[str, Read]:
    floats = np.memmap(path, "<f4", "r", offset=header.n_bytes)
    tensors: dict[str, Read] = {}
    start = 0
    for name, shape in parts:
        size = math.prod(shape)
        is_turned = ".q_proj." in name or ".k_proj." in name
        read = partial(_read_turned, head_size=header.head_size) if is_turned else _read
        for i in range(header.n_layers if "{}" in name else 1):
            if name != ANGLES:
                array = floats[start : start + size].reshape(shape)
                tensors[name.format(i)] = partial(read, array)
            start += size
    return tensors


def _read(array: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.array(array, np.float32))


def _read_turned(array: NDArray[np.float32], head_size: int) -> Tensor:
    """Of each head the even rows, then the odd ones."""
    pairs = _read(array).view(-1, head_size // 2, 2, array.shape[1])
    return pairs.transpose(1, 2).reshape(array.shape)


def _config(header: Header, max_seq_len: int) -> ModelConfig:
    return ModelConfig(
        vocab_size=header.vocab_size,
        max_seq_len=max_seq_len,
        d_model=header.dim,
        n_layers=header.n_layers,
        n_heads=header.n_heads,
        n_kv_heads=header.n_kv_heads if header.n_kv_heads != header.n_heads else 0,
        d_ff=header.hidden_dim,
        norm="rmsnorm",
        norm_eps=NORM_EPS,
        activation="swiglu",
        tied_head=header.is_tied,
    )
