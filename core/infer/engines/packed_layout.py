"""Packed matrices in the order in which the kernels read them.

Sixteen rows make a block, and a block is one stream of memory: what is loaded together are the
same columns of eight rows, so that a lane of the vector sums a row, and its scale is the lane's.
The bytes are those of the packed matrix, but for rows that fill the last block.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.model.packed import PackedMatrix

BLOCK = 16
"""Rows that are computed together."""
SPAN = 512
"""Columns of 8-bit weights whose products fit int32: 127 · 32767 · 512 < 2^31."""
STEP = 16
"""Columns of 8-bit weights that are computed together."""


@dataclass(frozen=True, slots=True, eq=False)
class LaidOut:
    """A packed matrix for its kernel; hold it as long as its addresses are used.

    Attributes:
        bits: 8 or 4.
        group_size: as of the packed matrix.
        rows: of the packed matrix.
        cols: what the kernel is told: with 8 bits filled up with zeros to whole steps.
        codes: 8 bits: (blocks, cols / 2, BLOCK, 2); 4 bits: (blocks, cols / 8, BLOCK, 4).
        scales: float16 (blocks, n_groups, BLOCK).
        zeros: an eighth of them, float16 (blocks, n_groups, BLOCK), or None.
    """

    bits: int
    group_size: int
    rows: int
    cols: int
    codes: Tensor
    scales: Tensor
    zeros: Tensor | None

    @property
    def addresses(self) -> tuple[int, int, int]:
        """Of codes, scales and zeros, as the kernels take them."""
        zeros = 0 if self.zeros is None else self.zeros.data_ptr()
        return self.codes.data_ptr(), self.scales.data_ptr(), zeros


def lay_out(matrix: PackedMatrix) -> LaidOut:
    """A copy of the matrix in its kernel's order, aligned for vectors."""
    rows, width = matrix.codes.shape
    taken = 2 if matrix.bits == 8 else 4
    more_cols = -width % STEP if matrix.bits == 8 else 0
    codes = nn.functional.pad(matrix.codes, (0, more_cols, 0, -rows % BLOCK))
    codes = codes.view(-1, BLOCK, codes.size(1) // taken, taken).transpose(1, 2)
    return LaidOut(
        matrix.bits,
        matrix.group_size,
        rows,
        matrix.shape[1] + more_cols,
        codes.clone(memory_format=torch.contiguous_format),
        _by_block(matrix.scales),
        None if matrix.zeros is None else _by_block(matrix.zeros / 8),
    )


def activation_bytes(cols: int) -> tuple[int, int]:
    """Sizes of the buffers for a rounded vector of `cols` numbers, and for its scales."""
    return 2 * (cols + -cols % STEP), 8 * max(1, cols // 32)


def _by_block(values: Tensor) -> Tensor:
    filled = nn.functional.pad(values, (0, 0, 0, -values.size(0) % BLOCK))
    blocks = filled.view(-1, BLOCK, values.size(1)).transpose(1, 2)
    return blocks.clone(memory_format=torch.contiguous_format)
