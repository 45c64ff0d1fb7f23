"""Keys and values of the newest positions, and of a few first ones: a ring behind sinks.

Shape suffixes: B batch · K n_kv_heads · T new positions · S positions looked at · H head_dim.

Invariant: position p < sinks lies in place p for ever, a later one in place
sinks + (p - sinks) mod window, where it replaces the one that no position will look at any more.
Keys carry the positions of the text, so their order does not matter to attention.

It is exact against one pass under `windowed_mask`, in every layer. Against the model as it was
trained, which looks at everything, it is approximate; and it is not the model run afresh on the
newest tokens either: beyond the first layer, what is held was computed from tokens that are gone.

Source: a rolling buffer, arXiv:2310.06825 §2; sinks, arXiv:2309.17453 §3.2.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor

from core.model.layer_cache import LayerCache
from core.model.masks import windowed_mask

Place = TypeVar("Place", int, Tensor)


class WindowedLayer(LayerCache):
    """The first `sinks` positions and the newest `window`: approximate."""

    def __init__(
        self,
        batch_size: int,
        n_kv_heads: int,
        max_seq_len: int,
        head_dim: int,
        *,
        window: int,
        sinks: int = 0,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        shape = (batch_size, n_kv_heads, min(max_seq_len, sinks + window), head_dim)
        super().__init__([torch.zeros(shape, device=device, dtype=dtype) for _ in "kv"])
        self._window, self._sinks = window, sinks
        self._oldest = sinks
        """First position of the ring whose place was not taken by a later one."""

    @property
    def _room(self) -> int:
        return self._buffers[0].size(2)

    def _is_in_place(self, n_new: int) -> bool:
        """What `n_new` positions look at is in its place once they are in theirs."""
        return n_new == 1 or self.length + n_new <= self._room

    def extend(self, k_BKTH: Tensor, v_BKTH: Tensor) -> tuple[Tensor, Tensor]:
        """See `LayerCache.extend`; a single position gets views."""
        start, n_new = self.length, k_BKTH.size(2)
        n_used = min(start, self._room)
        is_in_place = self._is_in_place(n_new)
        seen = []
        for buffer, new in zip(self._buffers, (k_BKTH, v_BKTH), strict=True):
            if is_in_place:
                place = self._place(start) if start >= self._sinks else start
                buffer[:, :, place : place + n_new] = new
                seen.append(buffer[:, :, : min(start + n_new, self._room)])
            else:
                seen.append(torch.cat([buffer[:, :, :n_used], new.to(buffer.dtype)], 2))
                self._keep(buffer, new)
        self.length = start + n_new
        self._oldest = max(self._oldest, self.length - self._window)
        return seen[0], seen[1]

    def mask(self, n_new: int) -> Tensor | None:
        """See `LayerCache.mask`."""
        if self._is_in_place(n_new):
            return super().mask(n_new)
        new = torch.arange(self.length, self.length + n_new, device=self.device)
        keys = torch.cat([self._positions(), new])
        return windowed_mask(new, keys, window=self._window, sinks=self._sinks)

    def rewind(self, length: int) -> None:
        """See `LayerCache.rewind`. Where a position was replaced that `length` looks at, all is
        forgotten; a step back by one is always possible."""
        super().rewind(length)
        if length <= self._sinks:
            self._oldest = self._sinks
        elif max(self._sinks, length - self._window + 1) < self._oldest:
            self.rewind(0)

    def _positions(self) -> Tensor:
        """Of the places in use. That of a place whose position was taken back is too old for
        anybody to look at."""
        place = torch.arange(min(self.length, self._room), device=self.device)
        newest = self.length - 1
        return torch.where(place < self._sinks, place, newest - (newest - place) % self._window)

    def _keep(self, buffer: Tensor, new_BKTH: Tensor) -> None:
        """Put many positions into their places, those that stay."""
        start, end = self.length, self.length + new_BKTH.size(2)
        position = torch.arange(start, end, device=self.device)
        position = position[(position < self._sinks) | (position >= end - self._window)]
        place = torch.where(position < self._sinks, position, self._place(position))
        buffer[:, :, place] = new_BKTH[:, :, position - start].to(buffer.dtype)

    def _place(self, position: Place) -> Place:
        """Of a position in the ring."""
        return self._sinks + (position - self._sinks) % self._window
