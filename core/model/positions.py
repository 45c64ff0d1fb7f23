"""How a token knows its place: rotary, sinusoidal, learned, or not at all.

Shape suffixes: B batch · T new positions · N heads · H head_dim · R numbers of a head that
are turned · D d_model.

Invariant: row p of every table belongs to absolute position p, so a cached step that starts
at position p slices the same rows as one full pass.

Sources: rotary, arXiv:2104.09864 §3.2.2, in the half-split layout of GPT-NeoX and Llama;
of a part of each head, arXiv:2204.06745 §2.1; stretched evenly, arXiv:2306.15595; by wavelength
("llama3"), arXiv:2407.21783 §3.4.2 and the reference code published with it; sinusoidal,
arXiv:1706.03762 §3.5.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from core.config import ModelConfig

LONG_WAVES, SHORT_WAVES = 1.0, 4.0
"""Of llama3: waves that fit less often than the one into the original context are stretched,
those that fit more often than the other are not."""


def rope_tables(config: ModelConfig) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotation angles.

    Returns:
        Two float32 tensors of shape (max_seq_len, R), R the numbers of a head that are turned;
        both halves of the last axis hold the same angles, slowest last.
    """
    frequency = rope_frequencies(config)
    angle = torch.arange(config.max_seq_len, dtype=torch.float64)[:, None] * frequency
    angle = torch.cat([angle, angle], dim=-1)
    return angle.cos().float(), angle.sin().float()


def rope_frequencies(config: ModelConfig) -> Tensor:
    """Radians a position of each pair, fastest first, float64 of shape (R / 2,)."""
    n = config.rope_dims or config.head_dim
    frequency = config.rope_theta ** (-torch.arange(0, n, 2, dtype=torch.float64) / n)
    if config.rope_scaling == "none":
        return frequency
    stretched = frequency / config.rope_factor
    if config.rope_scaling == "linear":
        return stretched
    waves = config.rope_original_len * frequency / (2 * math.pi)
    kept = ((waves - LONG_WAVES) / (SHORT_WAVES - LONG_WAVES)).clamp(0, 1)
    return kept * frequency + (1 - kept) * stretched


def rotate(x_BNTH: Tensor, cos_TR: Tensor, sin_TR: Tensor) -> Tensor:
    """Turn each pair (r, r + R/2) by the angle of its position; lengths are kept. What a head
    has behind its first R numbers stays as it is."""
    n_turned = cos_TR.size(-1)
    if n_turned < x_BNTH.size(-1):
        head, rest = x_BNTH.tensor_split([n_turned], dim=-1)
        return torch.cat([rotate(head, cos_TR, sin_TR), rest], dim=-1)
    if x_BNTH.requires_grad and torch.is_grad_enabled():
        found: Tensor = _Rotation.apply(x_BNTH, cos_TR, sin_TR)
        return found
    return _turned(x_BNTH, cos_TR, sin_TR)


class _Rotation(torch.autograd.Function):
    """What turns back the gradient is the opposite angle."""

    @staticmethod
    def forward(context: Any, x_BNTH: Tensor, cos_TR: Tensor, sin_TR: Tensor) -> Tensor:
        """Turned."""
        context.save_for_backward(cos_TR, sin_TR)
        return _turned(x_BNTH, cos_TR, sin_TR)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """Turned back."""
        cos_TR, sin_TR = context.saved_tensors
        return _turned(gradients[0], cos_TR, -sin_TR), None, None


def _turned(x_BNTH: Tensor, cos_TR: Tensor, sin_TR: Tensor) -> Tensor:
    """Each half apart, which takes half the memory traffic of a copy with halves exchanged."""
    first, second = x_BNTH.chunk(2, dim=-1)
    cos, sin = (table.chunk(2, dim=-1)[0] for table in (cos_TR, sin_TR))
    turned_BNTH = torch.empty_like(x_BNTH, dtype=torch.result_type(x_BNTH, cos_TR))
    to_first, to_second = turned_BNTH.chunk(2, dim=-1)
    torch.mul(first, cos, out=to_first).sub_(second * sin)
    torch.mul(second, cos, out=to_second).add_(first * sin)
    return turned_BNTH.to(x_BNTH.dtype)


def sinusoidal_table(max_seq_len: int, d_model: int) -> Tensor:
    """Sines at even and cosines at odd columns, float32 of shape (max_seq_len, d_model)."""
    frequency = 10_000.0 ** (-torch.arange(0, d_model, 2, dtype=torch.float64) / d_model)
    angle = torch.arange(max_seq_len, dtype=torch.float64)[:, None] * frequency
    table = torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)
    return table[:, :d_model].float()
