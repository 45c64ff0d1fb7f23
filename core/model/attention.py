"""Causal self-attention with grouped key/value heads.

Shape suffixes, one letter per axis, in order:
    B batch · T new positions · S all positions held (S >= T)
    D d_model · N n_heads · K n_kv_heads · H head_dim · R numbers of a head that rope turns

Invariant: a position sees itself and earlier ones, never a later one, whatever the split
of a sequence into calls.

Sources: scaled dot-product attention, arXiv:1706.03762 §3.2.1; one key/value head for all,
arXiv:1911.02150; for groups, arXiv:2305.13245; normalised queries and keys,
arXiv:2010.04245, here as RMS norm before the rotation.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.config import ModelConfig
from core.model.layer_cache import LayerCache
from core.model.positions import rotate

Rotation = tuple[Tensor, Tensor]
"""(cos_TR, sin_TR) of the new positions."""
MOST_IN_FLOAT32 = 16_384
"""Positions times head width at which bfloat16 has caught up in training on a CPU."""


class CausalSelfAttention(nn.Module):
    """Each position gathers from itself and from earlier positions."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.n_kv_heads = config.kv_heads
        self.head_dim = config.head_dim
        self.dropout = config.dropout
        q_dim, kv_dim = (n * config.head_dim for n in (config.n_heads, config.kv_heads))
        self.q_proj = nn.Linear(config.d_model, q_dim, bias=config.bias)
        self.k_proj = nn.Linear(config.d_model, kv_dim, bias=config.bias)
        self.v_proj = nn.Linear(config.d_model, kv_dim, bias=config.bias)
        self.o_proj = nn.Linear(q_dim, config.d_model, bias=config.bias)
        self.q_norm = self.k_norm = None
        if config.qk_norm:
            self.q_norm, self.k_norm = (
                nn.RMSNorm(config.head_dim, eps=config.norm_eps) for _ in range(2)
            )

    def forward(
        self, x_BTD: Tensor, rotation: Rotation | None = None, cache: LayerCache | None = None
    ) -> Tensor:
        """Mix information across positions.

        Args:
            x_BTD: the T new positions.
            rotation: their cosines and sines; None without rotary positions.
            cache: what earlier calls saw; it is extended in place. None in training.

        Returns:
            Tensor of shape (B, T, D), to be added to the residual stream.
        """
        q, k, v = self._project(x_BTD)
        q_BNTH = self._split_heads(q, self.n_heads)
        k_BKSH = self._split_heads(k, self.n_kv_heads)
        v_BKSH = self._split_heads(v, self.n_kv_heads)
        if in_float32 := cache is None and _is_faster_in_float32(q_BNTH):
            q_BNTH, k_BKSH, v_BKSH = (x.float() for x in (q_BNTH, k_BKSH, v_BKSH))
        if self.q_norm is not None and self.k_norm is not None:
            # In float32, the type of the norm's weight, also where products are bfloat16.
            q_BNTH = self.q_norm(q_BNTH.float()).to(v_BKSH.dtype)
            k_BKSH = self.k_norm(k_BKSH.float()).to(v_BKSH.dtype)
        if rotation is not None:
            q_BNTH, k_BKSH = rotate(q_BNTH, *rotation), rotate(k_BKSH, *rotation)
        mask_TS = None
        if cache is not None:
            mask_TS = cache.mask(x_BTD.size(1))
            k_BKSH, v_BKSH = cache.extend(k_BKSH, v_BKSH)
        with torch.autocast("cpu", enabled=False) if in_float32 else nullcontext():
            y_BNTH = self._attend(q_BNTH, k_BKSH, v_BKSH, mask_TS)
        return self.o_proj(y_BNTH.transpose(1, 2).flatten(2))

    def _project(self, x_BTD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, heads still side by side."""
        projections = (self.q_proj, self.k_proj, self.v_proj)
        if x_BTD.size(1) == 1:
            q, k, v = (projection(x_BTD) for projection in projections)
            return q, k, v
        # For many positions one large product keeps threads busier than three small ones, which
        # is worth the copy of the weights (docs/lab-notes.md); for a single one it is not.
        weight = torch.cat([projection.weight for projection in projections])
        bias = None
        if self.q_proj.bias is not None:
            bias = torch.cat([projection.bias for projection in projections])
        sizes = [projection.out_features for projection in projections]
        q, k, v = F.linear(x_BTD, weight, bias).split(sizes, -1)
        return q, k, v

    def _attend(
        self, q_BNTH: Tensor, k_BKSH: Tensor, v_BKSH: Tensor, mask_TS: Tensor | None
    ) -> Tensor:
        return F.scaled_dot_product_attention(
            q_BNTH,
            k_BKSH,
            v_BKSH,
            attn_mask=mask_TS,
            # Lines the mask up with position 0: right where S = T, and for that one needs none.
            is_causal=mask_TS is None and q_BNTH.size(2) > 1,
            dropout_p=self.dropout if self.training else 0.0,
            enable_gqa=self.n_kv_heads != self.n_heads,
        )

    def _split_heads(self, x: Tensor, n_heads: int) -> Tensor:
        """(B, T, n_heads * H) -> (B, n_heads, T, H)."""
        return x.unflatten(-1, (n_heads, self.head_dim)).transpose(1, 2)


def _is_faster_in_float32(q_BNTH: Tensor) -> bool:
    """Whether attention's backward pass is: on a CPU PyTorch's own takes in bfloat16 about as long
    for short rows of narrow heads as for long and wide ones (docs/lab-notes.md)."""
    n_positions, width = q_BNTH.shape[2:]
    return (
        q_BNTH.dtype == torch.bfloat16
        and q_BNTH.device.type == "cpu"
        and q_BNTH.requires_grad
        and n_positions * width <= MOST_IN_FLOAT32
    )
