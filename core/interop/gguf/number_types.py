"""How the numbers of a tensor are kept in a GGUF, and read from it again.

Blocks are those of ggml: 32 numbers of a row share one scale. The `gguf` package does the
arithmetic; tests hold it against llama.cpp.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, LlamaFileType, quants
from numpy.typing import NDArray
from torch import Tensor

NumberType = GGMLQuantizationType

WRITTEN = {
    "f32": (NumberType.F32, LlamaFileType.ALL_F32),
    "f16": (NumberType.F16, LlamaFileType.MOSTLY_F16),
    "q8_0": (NumberType.Q8_0, LlamaFileType.MOSTLY_Q8_0),
    "q4_0": (NumberType.Q4_0, LlamaFileType.MOSTLY_Q4_0),
}
"""By our names: the type of matrices, and what the file calls itself."""

READ = (NumberType.F32, NumberType.F16, NumberType.BF16, NumberType.Q8_0, NumberType.Q4_0)
LARGEST_HALF = 65504.0


def choose_type(name: str, tensor: Tensor, wanted: NumberType) -> NumberType:
    """The type for one tensor: that which is wanted, or the next that can hold it.

    Norms, biases and the table of positions are few and added to everything, so they stay f32.
    Of a q4_0 file the embedding and the head are q8_0: on models of 3 layers, 128 wide, that
    took 2.2 to 2.9 times off the mean KLD, for 6 to 15 % more bytes with 512 tokens and 28 to
    49 % with 4,096 (tests/benchmarks/gguf_quality.py; docs/lab-notes.md).
    """
    if wanted == NumberType.F32 or tensor.ndim == 1 or name == "position_embd.weight":
        return NumberType.F32
    if wanted == NumberType.Q4_0 and name in ("token_embd.weight", "output.weight"):
        wanted = NumberType.Q8_0
    if not row_fits(tuple(tensor.shape), wanted):
        wanted = NumberType.F16
    if wanted == NumberType.F16 and tensor.abs().max().item() > LARGEST_HALF:
        return NumberType.F32
    return wanted


def row_fits(shape: tuple[int, ...], kind: NumberType) -> bool:
    """Whether rows are whole blocks."""
    return shape[-1] % GGML_QUANT_SIZES[kind][0] == 0


def count_bytes(shape: tuple[int, ...], kind: NumberType) -> int:
    """Bytes of a tensor whose rows are whole blocks."""
    per_block, block_bytes = GGML_QUANT_SIZES[kind]
    return math.prod(shape) // per_block * block_bytes


def encode(tensor: Tensor, kind: NumberType) -> NDArray[Any]:
    """As the file keeps it; float32 in."""
    return quants.quantize(tensor.contiguous().numpy(), kind)


def decode(data: NDArray[np.uint8], shape: tuple[int, ...], kind: NumberType) -> Tensor:
    """Float32 of that shape from the bytes of a file."""
    rows = data.reshape(-1, count_bytes(shape[-1:], kind))
    return torch.from_numpy(quants.dequantize(rows, kind)).reshape(shape)
