"""The reference engine: the model as it stands, step by step, and a cache or none.

Shape suffixes: B sequences · T new tokens · V vocab_size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from core.config.jobs import SINKS, WINDOW
from core.device import Device
from core.model.kv_cache import make_cache
from core.model.transformer import Transformer


class TorchEngine:
    """Runs on every device, in every dtype, with every cache. See `Engine`."""

    name = "torch"

    def __init__(
        self,
        model: Transformer,
        device: Device,
        *,
        cache: str = "static",
        window: int = WINDOW,
        sinks: int = SINKS,
        note: str = "",
    ) -> None:
        self.cache, self.note = cache, note
        self.max_seq_len = model.config.max_seq_len
        self._model, self._device = model.eval(), device
        self._held = make_cache(model.config, device, cache, window=window, sinks=sinks)
        self._rows: list[list[int]] = [[]]
        """Without a cache, the tokens, which are read again each time."""

    @property
    def length(self) -> int:
        """See `Engine.length`."""
        return len(self._rows[0]) if self._held is None else self._held.length

    @property
    def cache_bytes(self) -> int:
        """See `Engine.cache_bytes`."""
        return 0 if self._held is None else self._held.held_bytes

    @torch.inference_mode()
    def feed(self, ids_BT: Sequence[Sequence[int]]) -> Tensor:
        """See `Engine.feed`."""
        if self._held is None:
            self._rows = [[*row, *ids] for row, ids in zip(self._rows, ids_BT, strict=True)]
            ids_BT = self._rows
        return self._logits(torch.tensor([list(ids) for ids in ids_BT], device=self._device.type))

    @torch.inference_mode()
    def write(self, token: int, n: int) -> list[int]:
        """See `Engine.write`."""
        if self._held is None:
            written: list[int] = []
            for _ in range(n):
                token = int(self.feed([[token]]).argmax())
                written.append(token)
            return written
        newest_BT = torch.tensor([[token]], device=self._device.type)
        chosen = []
        for _ in range(n):  # a choice goes back into the model without a visit to the host
            newest_BT = self._logits(newest_BT).argmax(1, keepdim=True)
            chosen.append(newest_BT)
        return [int(token) for token in torch.cat(chosen, 1)[0].tolist()]

    def rewind(self, length: int) -> None:
        """See `Engine.rewind`."""
        if self._held is not None:
            self._held.rewind(length)
        for row in self._rows:
            del row[length:]

    def select(self, rows: Sequence[int]) -> None:
        """See `Engine.select`."""
        if self._held is not None:
            self._held.select(rows)
        else:
            self._rows = [list(self._rows[row]) for row in rows]

    def _logits(self, ids_BT: Tensor) -> Tensor:
        with self._device.autocast():
            logits_BTV = self._model(ids_BT, self._held, last_only=True)
        return logits_BTV[:, -1].float()
