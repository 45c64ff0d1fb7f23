"""Feeding tokens to a model one after another, with a KV cache or without.

Shape suffixes: B rows of the batch · T new positions · V vocab_size.

Invariant: after the same tokens, in whatever portions they came, and whatever was rewound
between them, both ways have looked at the same window and give the same logits up to
rounding. When the model's context is full, the last half of it is kept and read again.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from core.device import Device
from core.model.kv_cache import KVCache
from core.model.transformer import Transformer


class Decoder:
    """Sequences that grow together: one at first, as many as `select` says later."""

    def __init__(self, model: Transformer, device: Device, *, use_cache: bool = True) -> None:
        self._model = model.eval()
        self._device = device
        self.max_seq_len = model.config.max_seq_len
        dtype = torch.bfloat16 if device.dtype == "bfloat16" else torch.float32
        self._cache = KVCache(model.config, device=device.type, dtype=dtype) if use_cache else None
        self._rows: list[list[int]] = [[]]
        self._start = 0

    @property
    def rows(self) -> Sequence[Sequence[int]]:
        """The tokens fed so far, of each sequence."""
        return self._rows

    @property
    def length(self) -> int:
        """Tokens fed so far, the same for all sequences."""
        return len(self._rows[0])

    @property
    def window(self) -> int:
        """Positions that the model looked at for the newest logits."""
        return self.length - self._start

    @property
    def cache_bytes(self) -> int:
        """Bytes of keys and values held now."""
        return self._cache.held_bytes if self._cache is not None else 0

    def feed(self, ids: Sequence[int]) -> Tensor:
        """Append tokens, one or more, to the only sequence.

        Returns:
            Logits of the next one, float32, shape (V,).
        """
        return self.feed_rows([ids])[0]

    @torch.inference_mode()
    def feed_rows(self, ids_BT: Sequence[Sequence[int]]) -> Tensor:
        """Append tokens, one or more, as many to each sequence.

        Returns:
            Logits of the next ones, float32, shape (B, V).
        """
        n_held = self.length
        for row, ids in zip(self._rows, ids_BT, strict=True):
            row.extend(ids)
        start = window_start(self.length, self.max_seq_len)
        if self._cache is None:
            n_held = start
        elif start != self._start:
            self._cache.rewind(0)
            n_held = start
        self._start = start
        new_BT = torch.tensor([row[n_held:] for row in self._rows], device=self._device.type)
        with self._device.autocast():
            logits_BTV = self._model(new_BT, self._cache, last_only=True)
        return logits_BTV[:, -1].float()

    def select(self, rows: Sequence[int]) -> None:
        """Go on with these sequences, in this order; one may be taken more than once."""
        self._rows = [list(self._rows[row]) for row in rows]
        if self._cache is not None:
            self._cache.select(rows)

    def rewind(self, length: int) -> None:
        """Forget all tokens from `length` on, at most `self.length`."""
        for row in self._rows:
            del row[length:]
        if window_start(length, self.max_seq_len) != self._start:
            self._start = -1  # no window of the future: the next feed reads its own anew
        elif self._cache is not None:
            self._cache.rewind(length - self._start)


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
