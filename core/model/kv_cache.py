"""Keys and values of the tokens seen so far.

Shape suffixes: B batch · K n_kv_heads · T new positions · S positions held · H head_dim.

Invariant: after `extend`, positions 0 … length-1 are held, in order, and what `extend`
returned is a view of them, valid until the next `extend`, `rewind` or `select`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from core.config import ModelConfig
from core.errors import ConfigError


class LayerCache:
    """One layer's keys and values, in a buffer that is allocated once."""

    def __init__(
        self,
        batch_size: int,
        n_kv_heads: int,
        max_seq_len: int,
        head_dim: int,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        shape = (batch_size, n_kv_heads, max_seq_len, head_dim)
        self._k = torch.zeros(shape, device=device, dtype=dtype)
        self._v = torch.zeros_like(self._k)
        self.length = 0

    def extend(self, k_BKTH: Tensor, v_BKTH: Tensor) -> tuple[Tensor, Tensor]:
        """Append T positions and return all of them, as `(k_BKSH, v_BKSH)`.

        Raises:
            ConfigError: the buffer would overflow.
        """
        end = self.length + k_BKTH.size(2)
        if end > self._k.size(2):
            raise ConfigError(
                f"The context is full: {end} positions, room for {self._k.size(2)}.",
                hint="Generate fewer tokens, or train with a larger max_seq_len.",
            )
        self._k[:, :, self.length : end] = k_BKTH
        self._v[:, :, self.length : end] = v_BKTH
        self.length = end
        return self._k[:, :, :end], self._v[:, :, :end]

    def rewind(self, length: int) -> None:
        """Forget all positions from `length` on."""
        if not 0 <= length <= self.length:
            raise ConfigError(
                f"Cannot rewind to {length}: the cache holds {self.length}.",
                hint=f"Choose 0 to {self.length}.",
            )
        self.length = length

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows of the batch, in this order; one may be taken more than once."""
        self._k, self._v = self._k[list(rows)], self._v[list(rows)]

    @property
    def held_bytes(self) -> int:
        """Bytes of the positions held now."""
        width = self._k.size(0) * self._k.size(1) * self._k.size(3)
        return 2 * width * self.length * self._k.element_size()


class KVCache:
    """One `LayerCache` a block, all of the same length."""

    def __init__(
        self,
        config: ModelConfig,
        *,
        batch_size: int = 1,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.layers = [
            LayerCache(
                batch_size,
                config.kv_heads,
                config.max_seq_len,
                config.head_dim,
                device=device,
                dtype=dtype,
            )
            for _ in range(config.n_layers)
        ]

    @property
    def length(self) -> int:
        """Positions held; the next token's position."""
        return self.layers[0].length

    def rewind(self, length: int) -> None:
        """Forget all positions from `length` on, in every layer."""
        for layer in self.layers:
            layer.rewind(length)

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows of the batch in every layer; one may be taken more than once."""
        for layer in self.layers:
            layer.select(rows)

    @property
    def held_bytes(self) -> int:
        """Bytes of the positions held now, over all layers."""
        return sum(layer.held_bytes for layer in self.layers)
