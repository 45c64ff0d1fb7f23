"""One position at a time through a static cache, in shapes that never change.

How many positions are held is a number on the device, so that a step can be recorded once and run
again for every later token, without a visit to the host.

Shape suffixes: B batch · K n_kv_heads · S places, max_seq_len of them · H head_dim.

Invariant: a step through it gives what the cache behind it would give, up to rounding: all places
are read, and the mask hides those that hold nothing yet.

Source: the static cache of gpt-fast, https://pytorch.org/blog/accelerating-generative-ai-2.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.model.kv_cache import KVCache
from core.model.layer_cache import LayerCache


class StepCache(KVCache):
    """A view of a static cache for steps of one token. Whoever takes them sees to the room, and
    then tells by `advance` how many there were."""

    def __init__(self, held: KVCache) -> None:
        """The places of `held` are used until its `select`; its kind is "static"."""
        places_S = torch.arange(held.layers[0].places, device=held.layers[0].device)
        self._places_1S = places_S[None]
        self._mask_1S = torch.zeros_like(self._places_1S, dtype=torch.bool)
        self._held, self.ids = held, held.ids
        self.position_1 = torch.zeros_like(places_S[:1])
        """Of the next token, on the device."""
        self.layers = [StepLayer(layer, self.position_1, self._mask_1S) for layer in held.layers]

    def positions(self, n_new: int) -> Tensor:
        """See `KVCache.positions`; for a single one. The mask of all layers follows it."""
        torch.le(self._places_1S, self.position_1, out=self._mask_1S)
        return self.position_1

    def extend_ids(self, ids_BT: Tensor) -> Tensor:
        """See `KVCache.extend_ids`; for a single one."""
        assert self.ids is not None
        return self.ids.step(ids_BT, self.position_1)

    def advance(self, n: int) -> None:
        """Count `n` steps in the cache behind."""
        for layer in self._held.layers:
            layer.length += n


class StepLayer(LayerCache):
    """The places of another layer; `length`, which the device alone knows, stays 0."""

    def __init__(self, held: LayerCache, position_1: Tensor, mask_1S: Tensor) -> None:
        super().__init__(held.buffers)
        self._position_1, self._mask_1S = position_1, mask_1S

    def extend(self, k_BKTH: Tensor, v_BKTH: Tensor) -> tuple[Tensor, Tensor]:
        """See `LayerCache.extend`: a single position, and all places are returned."""
        for buffer, new in zip(self.buffers, (k_BKTH, v_BKTH), strict=True):
            buffer.index_copy_(2, self._position_1, new.to(buffer.dtype))
        k_BKSH, v_BKSH = self.buffers
        return k_BKSH, v_BKSH

    def mask(self, n_new: int) -> Tensor:
        """See `LayerCache.mask`."""
        return self._mask_1S
