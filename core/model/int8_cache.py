"""Keys and values in 8 bits, with a scale for each position and head.

Shape suffixes: B batch · K n_kv_heads · T new positions · S positions held · H head_dim.

Invariant: every number that is handed out is within half a scale of the one that was given, a
scale being the largest magnitude of its head at its position, over 127. New positions see each
other rounded too, so that the result does not depend on how a sequence was split.

Source: rounding of cached keys and values token by token, arXiv:2402.02750 §3.1; there are 2 bits
and keys by channel, which 8 bits do not need.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.model.layer_cache import LayerCache, check_room

LARGEST_CODE = 127


class Int8Layer(LayerCache):
    """All positions, rounded: approximate."""

    def __init__(
        self,
        batch_size: int,
        n_kv_heads: int,
        max_seq_len: int,
        head_dim: int,
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        shape = (batch_size, n_kv_heads, max_seq_len)
        codes = [torch.zeros(*shape, head_dim, device=device, dtype=torch.int8) for _ in "kv"]
        scales = [torch.zeros(*shape, 1, device=device) for _ in "kv"]
        super().__init__([*codes, *scales])

    def extend(self, k_BKTH: Tensor, v_BKTH: Tensor) -> tuple[Tensor, Tensor]:
        """See `LayerCache.extend`.

        Raises:
            ConfigError: the places do not suffice.
        """
        k, v, k_scale, v_scale = self._buffers
        start, end = self.length, self.length + k_BKTH.size(2)
        check_room(end, k.size(2))
        for new, codes, scale in ((k_BKTH, k, k_scale), (v_BKTH, v, v_scale)):
            codes[:, :, start:end], scale[:, :, start:end] = round_to_int8(new)
        self.length = end
        k_BKSH, v_BKSH = (
            (codes[:, :, :end] * scale[:, :, :end]).to(k_BKTH.dtype)
            for codes, scale in ((k, k_scale), (v, v_scale))
        )
        return k_BKSH, v_BKSH


def round_to_int8(x_BKTH: Tensor) -> tuple[Tensor, Tensor]:
    """Codes int8 (B, K, T, H) and scales float32 (B, K, T, 1), whose product is nearest."""
    x_BKTH = x_BKTH.float()
    scale_BKT1 = x_BKTH.abs().amax(-1, keepdim=True) / LARGEST_CODE
    codes_BKTH = x_BKTH / scale_BKT1.clamp(min=torch.finfo(torch.float32).tiny)
    return codes_BKTH.round().to(torch.int8), scale_BKT1
