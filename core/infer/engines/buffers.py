"""Memory for what a decode step computes, and where keys and values lie in theirs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.config import ModelConfig
from core.infer.engines.vectors import LANES

ROWS = 32
"""That go through an operation together."""
_ALIGNMENT = 16
"""Numbers in a line of memory."""


@dataclass(frozen=True, slots=True)
class CacheLayout:
    """Numbers in the keys, and as many in the values, of one sequence."""

    head: int
    layer: int
    row: int


def cache_layout(config: ModelConfig) -> CacheLayout:
    """Room for `max_seq_len` positions, padded to whole vectors both ways."""
    head = _padded(config.max_seq_len, LANES) * _padded(config.head_dim, LANES)
    layer = head * config.kv_heads
    return CacheLayout(head, layer, layer * config.n_layers)


class Buffers:
    """Memory for the activations of `ROWS` rows, each row's one after another."""

    def __init__(self, config: ModelConfig, n_workers: int) -> None:
        q, kv = config.n_heads * config.head_dim, config.kv_heads * config.head_dim
        d, hidden = config.d_model, config.hidden_dim
        widest = max(d, q, hidden) + _ALIGNMENT
        sizes = {"stream": d, "mixed": d, "q": q, "k": kv, "v": kv, "attended": q}
        sizes |= {"gate": hidden, "up": hidden, "hidden": hidden, "logits": config.vocab_size}
        for worker in range(n_workers):
            own = {"embedded": d, "normed": d, "normed_too": d, "scores": config.max_seq_len}
            # Rounded activations are 16-bit numbers, and at most a scale of 8 bytes for 32.
            own |= {"rounded": widest, "round_scales": widest}
            sizes |= {f"{name}{worker}": size for name, size in own.items()}
        offsets, end = {}, 0
        for name, size in sizes.items():
            offsets[name], end = end, end + _padded(size, _ALIGNMENT)
        self._offsets, self._row = offsets, end
        self._memory = np.zeros(ROWS * end + _ALIGNMENT, np.float32)
        skipped = -self._memory.ctypes.data // 4 % _ALIGNMENT
        self._rows = self._memory[skipped : skipped + ROWS * end].reshape(ROWS, end)

    @property
    def stride(self) -> int:
        """Bytes from a row to the next."""
        return 4 * self._row

    def address(self, name: str) -> int:
        """Of a buffer in the first row."""
        return int(self._rows.ctypes.data) + 4 * self._offsets[name]

    def rows(self, name: str, size: int) -> NDArray[np.float32]:
        """A view of a buffer in all rows, shape (ROWS, size)."""
        start = self._offsets[name]
        return self._rows[:, start : start + size]


def _padded(n: int, unit: int) -> int:
    return math.ceil(n / unit) * unit
