"""How a token knows its place: rotary, sinusoidal, learned, or not at all.

Shape suffixes: B batch · T new positions · N heads · H head_dim · D d_model.

Invariant: row p of every table belongs to absolute position p, so a cached step that starts
at position p slices the same rows as one full pass.

Sources: rotary, arXiv:2104.09864 §3.2.2, in the half-split layout of GPT-NeoX and Llama;
sinusoidal, arXiv:1706.03762 §3.5.
"""

from __future__ import annotations

import torch
from torch import Tensor


def rope_tables(max_seq_len: int, head_dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotation angles.

    Returns:
        Two float32 tensors of shape (max_seq_len, head_dim); both halves of the last axis
        hold the same angles, slowest last.
    """
    frequency = theta ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    angle = torch.arange(max_seq_len, dtype=torch.float64)[:, None] * frequency
    angle = torch.cat([angle, angle], dim=-1)
    return angle.cos().float(), angle.sin().float()


def rotate(x_BNTH: Tensor, cos_TH: Tensor, sin_TH: Tensor) -> Tensor:
    """Turn each pair (h, h + H/2) by the angle of its position; lengths are kept."""
    first, second = x_BNTH.chunk(2, dim=-1)
    turned_BNTH = torch.cat([-second, first], dim=-1)
    return (x_BNTH * cos_TH + turned_BNTH * sin_TH).to(x_BNTH.dtype)


def sinusoidal_table(max_seq_len: int, d_model: int) -> Tensor:
    """Sines at even and cosines at odd columns, float32 of shape (max_seq_len, d_model)."""
    frequency = 10_000.0 ** (-torch.arange(0, d_model, 2, dtype=torch.float64) / d_model)
    angle = torch.arange(max_seq_len, dtype=torch.float64)[:, None] * frequency
    table = torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)
    return table[:, :d_model].float()
