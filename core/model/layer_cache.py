"""Keys and values of one layer, for the tokens seen so far: the seam that all caches share.

Shape suffixes: B batch · K n_kv_heads · T new positions · S positions looked at · H head_dim.

Invariant: attention over what `extend` returns, under the `mask` asked for before it, is what the
new positions would see in one pass over the whole sequence. What `extend` returned is valid
until the next `extend`, `rewind` or `select`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from core.errors import ConfigError
from core.model.masks import causal_mask


class LayerCache(ABC):
    """A place for each position, or for those worth keeping, allocated once."""

    def __init__(self, buffers: Sequence[Tensor]) -> None:
        """`buffers` are of shape (B, K, places, any); places are filled from the first on."""
        self.length = 0
        """Positions seen; the next one's number."""
        self._buffers = list(buffers)

    @abstractmethod
    def extend(self, k_BKTH: Tensor, v_BKTH: Tensor) -> tuple[Tensor, Tensor]:
        """Append T positions.

        Returns:
            Keys and values that they look at, `(k_BKSH, v_BKSH)`, in the given type.
        """

    def mask(self, n_new: int) -> Tensor | None:
        """What each of `n_new` positions may look at in what `extend` will return for them.

        Returns:
            Boolean (T, S); None for one position that sees all, or as many as are returned,
            in order, that see what is before them and themselves.
        """
        if n_new == 1 or self.length == 0:
            return None
        return causal_mask(n_new, self.length + n_new, self.device)

    def rewind(self, length: int) -> None:
        """Forget all positions from `length` on; a cache that has let go of what position
        `length` looks at forgets everything.

        Raises:
            ConfigError: there are not so many.
        """
        if not 0 <= length <= self.length:
            raise ConfigError(
                f"Cannot rewind to {length}: the cache holds {self.length}.",
                hint=f"Choose 0 to {self.length}.",
            )
        self.length = length

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows of the batch, in this order; one may be taken more than once."""
        self._buffers = [buffer[list(rows)] for buffer in self._buffers]

    @property
    def buffers(self) -> Sequence[Tensor]:
        """What the places are in, each of shape (B, K, places, any)."""
        return self._buffers

    @property
    def places(self) -> int:
        """Positions that there is room for at a time."""
        return self._buffers[0].size(2)

    @property
    def device(self) -> torch.device:
        """Where it lives."""
        return self._buffers[0].device

    @property
    def held_bytes(self) -> int:
        """Bytes of the places in use."""
        n_used = min(self.length, self._buffers[0].size(2))
        return sum(buffer[:, :, :n_used].nbytes for buffer in self._buffers)

    @property
    def allocated_bytes(self) -> int:
        """Bytes of all places."""
        return sum(buffer.nbytes for buffer in self._buffers)


class StaticLayer(LayerCache):
    """All positions, as they are."""

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
        super().__init__([torch.zeros(shape, device=device, dtype=dtype) for _ in "kv"])

    def extend(self, k_BKTH: Tensor, v_BKTH: Tensor) -> tuple[Tensor, Tensor]:
        """See `LayerCache.extend`; they are views.

        Raises:
            ConfigError: the places do not suffice.
        """
        k, v = self._buffers
        start, end = self.length, self.length + k_BKTH.size(2)
        check_room(end, k.size(2))
        k[:, :, start:end] = k_BKTH
        v[:, :, start:end] = v_BKTH
        self.length = end
        return k[:, :, :end], v[:, :, :end]


def check_room(end: int, room: int) -> None:
    """Refuse more positions than there are places.

    Raises:
        ConfigError: with both numbers.
    """
    if end > room:
        raise ConfigError(
            f"The context is full: {end} positions, room for {room}.",
            hint="Generate fewer tokens, or train with a larger max_seq_len.",
        )
