"""The scales, and zeros, of groups of weights, searched for: what rounds to them errs least.

An error counts as much as the input that it is multiplied with: the weight of column i is the
mean square of input i over a calibration text. For each of many spans the nearest codes are
taken, then the scale (and zero) that fits those codes best, by least squares.

Shape suffixes: R rows · G groups of a row · C columns of a group.

Source: llama.cpp's make_qx_quants with an importance matrix.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from core.errors import ConfigError
from core.model.packed import LARGEST, LOWEST, SYMMETRIC_ZERO, divisor

SPANS = {8: 12, 4: 20}
"""How many are tried on each side."""
NARROWEST = {8: 0.94, 4: 0.6}
"""Of them, as a share of the span of the weights."""
_STEPS = {8: 127.0, 4: 7.5}
"""Scales from 0 to the largest weight."""
_LEAST_SCALE, _MOST_SCALE = 2.0**-20, 2.0**15
"""Below one, float16 has too few digits left; the other leaves GPTQ room to move a weight."""


def has_scale(largest: float, bits: int) -> bool:
    """Whether float16 has good scales for a matrix whose largest weight, up to its sign, is this.
    A matrix of zeros needs none."""
    return largest == 0 or _LEAST_SCALE <= largest / _STEPS[bits] <= _MOST_SCALE


def round_to(weight: Tensor, scales: Tensor, zeros: Tensor, bits: int) -> Tensor:
    """The nearest codes, float32, of weights whose last axis shares scale and zero."""
    codes = torch.round(weight / divisor(scales).unsqueeze(-1) + zeros.float().unsqueeze(-1))
    return codes.clamp(LOWEST[bits], LARGEST[bits])


def values_of(codes: Tensor, scales: Tensor, zeros: Tensor) -> Tensor:
    """What codes stand for: `scale * (code - zero)`."""
    return scales.float().unsqueeze(-1) * (codes - zeros.float().unsqueeze(-1))


def search(
    weight_RGC: Tensor, importance_GC: Tensor, bits: int, *, symmetric: bool
) -> tuple[Tensor, Tensor]:
    """The best scales and zeros of those tried: float16 (R, G) each.

    Args:
        weight_RGC: float32, finite.
        importance_GC: of each column, above 0; only their ratios count.

    Raises:
        ConfigError: a group is out of the range of float16.
    """
    importance_GC = importance_GC / importance_GC.amax()  # whose errors float32 can hold
    least_RG = torch.full(weight_RGC.shape[:2], torch.inf)
    best = (torch.zeros_like(least_RG).half(), torch.zeros_like(least_RG).half())
    for scales, zeros in _spans(weight_RGC, bits, symmetric=symmetric):
        codes_RGC = round_to(weight_RGC, scales, zeros, bits)
        fitted = _fitted(weight_RGC, codes_RGC, importance_GC, zeros, is_affine=not symmetric)
        for found in ((scales, zeros), fitted):
            codes_RGC = round_to(weight_RGC, found[0], found[1], bits)
            values_RGC = values_of(codes_RGC, *found)
            error_RG = (importance_GC * (weight_RGC - values_RGC).square()).sum(2)
            is_less = error_RG < least_RG  # never for one that is not finite
            least_RG = torch.where(is_less, error_RG, least_RG)
            best = (
                torch.where(is_less, found[0], best[0]),
                torch.where(is_less, found[1], best[1]),
            )
    if not bool(torch.isfinite(least_RG).all()):
        raise ConfigError(
            f"Weights up to {float(weight_RGC.abs().max()):g} have no scale in float16.",
            hint="Leave the matrix in 32 bits.",
        )
    return best


def _spans(weight_RGC: Tensor, bits: int, *, symmetric: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """Scales and zeros to begin with, float16: the weights' whole span, and narrower ones."""
    low, high = weight_RGC.amin(2), weight_RGC.amax(2)
    shares = torch.linspace(NARROWEST[bits], 1.0, SPANS[bits]).tolist()
    if bits == 8:
        longer = torch.maximum(high, -low)
        for share in shares:
            scales = (share * longer / LARGEST[8]).half()
            yield scales, torch.zeros_like(scales)
    elif symmetric:
        # Codes reach one step further to one side: both turns are tried.
        longer = torch.maximum(high, -low)
        sign = torch.where(high > -low, -1.0, 1.0)
        for share in shares:
            for turned in (sign, -sign):
                scales = (turned * share * longer / 7.5).half()
                yield scales, torch.full_like(scales, SYMMETRIC_ZERO)
    else:
        low, high = low.clamp(max=0), high.clamp(min=0)
        for share in shares:
            for other in {share, 1.0}:
                for left, right in {(share, other), (other, share)}:
                    scales = ((right * high - left * low) / LARGEST[4]).half()
                    yield scales, (-left * low / divisor(scales)).half()


def _fitted(
    weight_RGC: Tensor, codes_RGC: Tensor, importance_GC: Tensor, zeros: Tensor, *, is_affine: bool
) -> tuple[Tensor, Tensor]:
    """The scales that turn these codes into the weights with the least error; affine, the zeros
    too, by a regression line."""
    if not is_affine:
        steps_RGC = codes_RGC - zeros.float().unsqueeze(2)
        across = (importance_GC * steps_RGC * weight_RGC).sum(2)
        return (across / (importance_GC * steps_RGC.square()).sum(2)).half(), zeros
    total_G1 = importance_GC.sum(1, keepdim=True)
    mean_code = (importance_GC * codes_RGC).sum(2, keepdim=True) / total_G1
    mean_weight = (importance_GC * weight_RGC).sum(2, keepdim=True) / total_G1
    off_RGC = codes_RGC - mean_code
    across = (importance_GC * off_RGC * (weight_RGC - mean_weight)).sum(2)
    scales = (across / (importance_GC * off_RGC.square()).sum(2)).half()
    return scales, (mean_code[..., 0] - mean_weight[..., 0] / scales.float()).half()
