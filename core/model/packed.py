"""Weights in 8 or 4 bits: integer codes, and a scale for each row or group of columns.

A weight is `scale * (code - zero)`. 8 bits: codes -127 … 127, zero 0. 4 bits: codes 0 … 15, zero 8
where symmetric, else a number for each group. Two codes share a byte: in each group of g columns
byte j holds column j in its low half and column j + g/2 in its high half, so that a vector
instruction unpacks them with a mask and a shift, already in order.

Invariant: the parts have the shapes and types below (checked when made), because the kernels read
them by address. What is decoded with packed weights is compared with `dequantize`.

Sources: LLM.int8(), arXiv:2208.07339 §2 (absmax rows); groups of 32 with a 16-bit scale are
llama.cpp's q8_0 and q4_0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from core.errors import ConfigError

BITS = (8, 4)
GROUP_SIZES = (32, 64, 128)
SYMMETRIC_ZERO = 8
LARGEST = {8: 127, 4: 15}
LOWEST = {8: -127, 4: 0}


@dataclass(frozen=True, slots=True, eq=False)
class PackedMatrix:
    """A matrix of integer codes with the scales that make weights of them.

    Attributes:
        bits: 8 or 4.
        group_size: columns that share a scale; 0 is the whole row (8 bits only).
        shape: (rows, cols), as of the float matrix.
        codes: 8 bits: int8 (rows, cols); 4 bits: uint8 (rows, cols // 2).
        scales: float16 (rows, n_groups).
        zeros: float16 (rows, n_groups), or None: symmetric.

    Raises:
        ConfigError: the width does not divide into groups, or a part has another shape or type.
    """

    bits: int
    group_size: int
    shape: tuple[int, int]
    codes: Tensor
    scales: Tensor
    zeros: Tensor | None = None

    def __post_init__(self) -> None:
        n_groups = check_layout(self.bits, self.group_size, self.shape[1])
        rows, cols = self.shape
        width = cols if self.bits == 8 else cols // 2
        codes_type = torch.int8 if self.bits == 8 else torch.uint8
        self._check("codes", self.codes, (rows, width), codes_type)
        self._check("scales", self.scales, (rows, n_groups), torch.float16)
        if self.zeros is not None:
            self._check("zeros", self.zeros, (rows, n_groups), torch.float16)

    def _check(self, name: str, part: Tensor, shape: tuple[int, int], dtype: torch.dtype) -> None:
        if tuple(part.shape) != shape or part.dtype != dtype or not part.is_contiguous():
            raise ConfigError(
                f"The {name} of a packed matrix {self.shape} are {tuple(part.shape)} {part.dtype}, "
                f"not contiguous {shape} {dtype}.",
                hint="Quantise the run again; the stored matrix is damaged.",
            )

    @property
    def nbytes(self) -> int:
        """Bytes of codes, scales and zeros."""
        parts = (self.codes, self.scales, *([] if self.zeros is None else [self.zeros]))
        return sum(part.numel() * part.element_size() for part in parts)

    def unpack(self) -> Tensor:
        """The codes, one a byte, in the order of the columns: int8 or uint8 (rows, cols)."""
        if self.bits == 8:
            return self.codes
        halves = self.codes.view(self.shape[0], -1, self.group_size // 2)
        return torch.cat((halves & 15, halves >> 4), dim=2).view(self.shape)

    def dequantize(self) -> Tensor:
        """The weights that the codes stand for: float32 (rows, cols)."""
        n_groups = self.scales.size(1)
        codes = self.unpack().view(self.shape[0], n_groups, -1).float()
        if self.zeros is not None:
            codes = codes - self.zeros.float().unsqueeze(2)
        elif self.bits == 4:
            codes = codes - SYMMETRIC_ZERO
        return (codes * self.scales.float().unsqueeze(2)).view(self.shape)


def check_layout(bits: int, group_size: int, cols: int) -> int:
    """How many groups a row of `cols` columns has.

    Raises:
        ConfigError: unknown bits or group size, or `cols` does not divide into groups. Whoever
            quantises a model leaves such a tensor as it is.
    """
    if bits not in BITS:
        raise ConfigError(f"bits={bits} is not a packed width.", hint="Choose 8 or 4.")
    if group_size not in (GROUP_SIZES if bits == 4 else (0, *GROUP_SIZES)):
        raise ConfigError(
            f"group_size={group_size} is not a group of {bits}-bit weights.",
            hint="Choose 32, 64 or 128; with 8 bits also 0, the whole row.",
        )
    if group_size and cols % group_size:
        raise ConfigError(
            f"{cols} columns do not divide into groups of {group_size}.",
            hint="Choose a smaller group, 8 bits with one scale a row, or leave the matrix as is.",
        )
    return cols // group_size if group_size else 1


def pack_nearest(
    weight: Tensor, bits: int, group_size: int, *, symmetric: bool = True
) -> PackedMatrix:
    """Round each weight of a matrix (rows, cols) to the nearest code.

    The scale is the least one that keeps every error within half a scale.

    Raises:
        ConfigError: the layout is impossible, 8 bits asymmetric, or no float16 scale fits.
    """
    n_groups = check_layout(bits, group_size, weight.size(1))
    if bits == 8 and not symmetric:
        raise ConfigError(
            "8-bit weights are symmetric here, but symmetric=False.",
            hint="Leave symmetric on, or choose 4 bits.",
        )
    groups = weight.detach().float().cpu().reshape(weight.size(0), n_groups, -1)
    scales, zeros = _scales_and_zeros(groups.amin(2), groups.amax(2), bits, symmetric)
    codes = torch.round(groups / divisor(scales).unsqueeze(2) + zeros.float().unsqueeze(2))
    codes = codes.clamp(LOWEST[bits], LARGEST[bits]).view(weight.shape)
    return pack_codes(codes, scales, None if symmetric else zeros, bits, group_size)


def _scales_and_zeros(
    low: Tensor, high: Tensor, bits: int, symmetric: bool
) -> tuple[Tensor, Tensor]:
    """The least float16 scales, and the zeros, whose codes span low … high (rows, n_groups)."""
    if bits == 8:
        scales = _up_to_half(torch.maximum(high, -low) / LARGEST[8])
        return scales, torch.zeros_like(scales)
    if symmetric:
        # Codes round what lies in -8.5 … 7.5: a negative scale turns the longer side to -8.5.
        longer, shorter = torch.maximum(high, -low), torch.minimum(high, -low)
        scales = _up_to_half(torch.maximum(longer / 8.5, shorter / 7.5))
        scales = torch.where(high > -low, -scales, scales)
        return scales, torch.full_like(scales, SYMMETRIC_ZERO)
    low, high = low.clamp(max=0), high.clamp(min=0)
    scales = _up_to_half((high - low) / LARGEST[4])
    return scales, (-low / divisor(scales)).half()


def pack_codes(
    codes: Tensor, scales: Tensor, zeros: Tensor | None, bits: int, group_size: int
) -> PackedMatrix:
    """Pack integer codes (rows, cols), of any dtype, with scales and zeros (rows, n_groups).

    Raises:
        ConfigError: a code does not fit, a scale has no float16, or a part has another shape.
    """
    rows, cols = codes.shape
    check_layout(bits, group_size, cols)
    least, most = int(codes.min()), int(codes.max())
    if least < LOWEST[bits] or most > LARGEST[bits]:
        raise ConfigError(
            f"Codes from {least} to {most} do not fit {bits} bits.",
            hint=f"Clamp them to {LOWEST[bits]} … {LARGEST[bits]}.",
        )
    if bits == 8:
        packed = codes.to(torch.int8).contiguous()
    else:
        low, high = codes.to(torch.uint8).view(rows, -1, 2, group_size // 2).unbind(2)
        packed = (low | (high << 4)).reshape(rows, cols // 2)
    half_zeros = None if zeros is None else zeros.half().contiguous()
    return PackedMatrix(bits, group_size, (rows, cols), packed, _half(scales), half_zeros)


def _up_to_half(scales: Tensor) -> Tensor:
    """The least float16 numbers that are not below the scales (none negative)."""
    halves = _half(scales)
    is_below = halves.float() < scales
    return (halves.view(torch.int16) + is_below.to(torch.int16)).view(torch.float16)


def _half(scales: Tensor) -> Tensor:
    halves = scales.half().contiguous()
    if not bool(torch.isfinite(halves).all()):
        raise ConfigError(
            f"The weights have no float16 scale: the largest would be {float(scales.max()):g}.",
            hint="Look for infinite or NaN weights; quantise an earlier checkpoint.",
        )
    return halves


def divisor(scales: Tensor) -> Tensor:
    """Scales to divide by, float32: those of all-zero groups are 0."""
    wide = scales.float()
    return torch.where(wide == 0, torch.ones_like(wide), wide)
