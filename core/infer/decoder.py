"""Feeding tokens to a model one after another, with a KV cache or without.

Shape suffixes: T new positions · V vocab_size.

Invariant: after the same tokens, in whatever portions they came, both ways have looked at
the same window and give the same logits up to rounding. When the model's context is full,
the last half of it is kept and read again.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from core.device import Device
from core.model.kv_cache import KVCache
from core.model.transformer import Transformer


class Decoder:
    """One sequence that grows."""

    def __init__(self, model: Transformer, device: Device, *, use_cache: bool = True) -> None:
        self._model = model.eval()
        self._device = device
        self._max_seq_len = model.config.max_seq_len
        dtype = torch.bfloat16 if device.dtype == "bfloat16" else torch.float32
        self._cache = KVCache(model.config, device=device.type, dtype=dtype) if use_cache else None
        self._ids: list[int] = []
        self._start = 0

    @property
    def window(self) -> int:
        """Positions that the model looked at for the newest logits."""
        return len(self._ids) - self._start

    @property
    def cache_bytes(self) -> int:
        """Bytes of keys and values held now."""
        return self._cache.held_bytes if self._cache is not None else 0

    @torch.inference_mode()
    def feed(self, ids: Sequence[int]) -> Tensor:
        """Append tokens, one or more; returns the logits of the next one, float32, shape (V,)."""
        n_held = len(self._ids)
        self._ids.extend(ids)
        start = window_start(len(self._ids), self._max_seq_len)
        if self._cache is None:
            n_held = start
        elif start != self._start:
            self._cache.rewind(0)
            n_held = start
        self._start = start
        ids_BT = torch.tensor([self._ids[n_held:]], device=self._device.type)
        with self._device.autocast():
            logits_BTV = self._model(ids_BT, self._cache, last_only=True)
        return logits_BTV[0, -1].float()


def window_start(n_tokens: int, max_seq_len: int) -> int:
    """First token of the window that a sequence of `n_tokens` is seen through.

    The window grows to `max_seq_len`; the token that does not fit any more makes it start
    anew with the last half.
    """
    if n_tokens <= max_seq_len:
        return 0
    kept = max(1, max_seq_len // 2)
    period = max_seq_len + 1 - kept
    return ((n_tokens - max_seq_len - 1) // period + 1) * period
