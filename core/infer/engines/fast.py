"""The fast engine: a decode step as a program that one compiled function runs.

Shape suffixes: B sequences · T new tokens · V vocab_size.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.errors import ConfigError
from core.infer.engines import words as op
from core.infer.engines.buffers import ROWS, Buffers, cache_layout
from core.infer.engines.compiled import compiled_and_kept, is_kept
from core.infer.engines.engine import check_fits
from core.infer.engines.interpreter import work
from core.infer.engines.pages import want_large_pages
from core.infer.engines.program import laid_out, parameters_of, programs
from core.infer.engines.vectors import LANES
from core.infer.engines.workers import Work, Workers
from core.model.arithmetic import cache_bytes
from core.model.ngrams import N_EARLIER, NONE
from core.model.transformer import Transformer

SIGNATURE = "int64(int64, int64, int64, int64, int64, int64)"


@cache
def compiled_step() -> Work:
    """The interpreter as machine code, which takes a while when it is asked for first."""
    return compiled_and_kept(SIGNATURE, work)


def is_compiled() -> bool:
    """Whether it is there already, in this process or on disk."""
    return compiled_step.cache_info().currsize > 0 or is_kept(work)


class FastEngine:
    """For float32 models on the CPU, with a static cache. See `Engine`."""

    name = "fast"
    cache = "static"

    def __init__(self, model: Transformer, *, n_threads: int = 1) -> None:
        """The weights are used in place and must not move while the engine lives."""
        self.note = ""
        self.n_threads = n_threads
        self.max_seq_len = model.config.max_seq_len
        self._config = model.config
        self._tensors = [tensor.detach() for tensor in parameters_of(model)]
        self._matrices = laid_out(model)
        packed = [tensor for matrix in self._matrices.values() for tensor in matrix.tensors]
        want_large_pages([*self._tensors, *packed])
        self._buffers = Buffers(model.config, n_threads)
        written = programs(model, self._buffers, n_threads)
        self._workers = Workers(compiled_step(), written, self._buffers)
        self._logits_BV = torch.from_numpy(self._buffers.rows("logits", model.config.vocab_size))
        self._layout = cache_layout(model.config)
        self._length = 0
        self._job = self._workers.job
        self._job[op.STRIDE] = self._buffers.stride
        self._tokens = self._memory(op.TOKENS, ROWS)
        self._chosen = self._memory(op.CHOSEN, self.max_seq_len)
        self._keys = self._values = np.zeros(0, np.float32)
        self._hold(*(np.zeros((1, self._layout.row), np.float32) for _ in range(2)))
        self._hold_ids(np.full((1, N_EARLIER + self.max_seq_len), NONE, np.int64))
        self.close = weakref.finalize(self, self._workers.close)
        """End the threads, as happens by itself when nobody holds the engine any more."""

    @property
    def length(self) -> int:
        """See `Engine.length`."""
        return self._length

    @property
    def cache_bytes(self) -> int:
        """See `Engine.cache_bytes`."""
        return len(self._keys) * cache_bytes(self._config, self._length)

    def feed(self, ids_BT: Sequence[Sequence[int]]) -> Tensor:
        """See `Engine.feed`."""
        n_new = self._check(ids_BT)
        if len(ids_BT) == 1:
            logits_BV = self._read(ids_BT[0], 0)
        elif n_new == 1:
            logits_BV = self._step([ids[0] for ids in ids_BT])
        else:
            logits_BV = torch.cat([self._read(ids, row) for row, ids in enumerate(ids_BT)])
        self._length += n_new
        return logits_BV

    def write(self, token: int, n: int) -> list[int]:
        """See `Engine.write`."""
        self._check([[token]])
        check_fits(self._length + n, self.max_seq_len)
        if n <= 0:
            return []
        self._tokens[0] = token
        self._run(n_steps=n, n_rows=1, cache_row=0, position=self._length)
        self._length += n
        return [int(chosen) for chosen in self._chosen[:n]]

    def rewind(self, length: int) -> None:
        """See `Engine.rewind`."""
        if not 0 <= length <= self._length:
            raise ConfigError(
                f"Cannot rewind to {length}: the cache holds {self._length}.",
                hint=f"Choose 0 to {self._length}.",
            )
        self._length = length

    def select(self, rows: Sequence[int]) -> None:
        """See `Engine.select`."""
        if list(rows) != list(range(len(self._keys))):
            self._hold(self._selected(self._keys, rows), self._selected(self._values, rows))
            self._hold_ids(self._ids[list(rows)])

    def _read(self, ids: Sequence[int], row: int) -> Tensor:
        """Positions of one sequence go through the model together; logits after the last."""
        for start in range(0, len(ids), ROWS):
            part = ids[start : start + ROWS]
            self._tokens[: len(part)] = part
            self._run(
                n_rows=len(part),
                cache_row=row,
                position=self._length + start,
                position_step=1,
                first_asked=len(part) - 1,
            )
        return self._logits_BV[len(part) - 1 : len(part)].clone()

    def _step(self, tokens: Sequence[int]) -> Tensor:
        """One new token of each sequence; logits (B, V)."""
        found = []
        for start in range(0, len(tokens), ROWS):
            part = tokens[start : start + ROWS]
            self._tokens[: len(part)] = part
            self._run(
                n_rows=len(part),
                cache_row=start,
                cache_step=self._layout.row,
                position=self._length,
            )
            found.append(self._logits_BV[: len(part)].clone())
        return torch.cat(found)

    def _run(
        self,
        *,
        n_rows: int,
        cache_row: int,
        position: int,
        n_steps: int = 1,
        position_step: int = 0,
        cache_step: int = 0,
        first_asked: int = 0,
    ) -> None:
        job = self._job
        job[op.N_STEPS], job[op.N_ROWS] = n_steps, n_rows
        job[op.POSITION], job[op.POSITION_STEP] = position, position_step
        job[op.CACHE_SHIFT], job[op.CACHE_STEP] = cache_row * self._layout.row, cache_step
        job[op.FIRST_ASKED] = first_asked
        self._workers.run()

    def _check(self, ids_BT: Sequence[Sequence[int]]) -> int:
        """How many each sequence is to get. Raises rather than read or write beyond the end of the
        memory."""
        n_new = len(ids_BT[0]) if ids_BT else 0
        n_rows = len(self._keys)
        if len(ids_BT) != n_rows or n_new == 0 or any(len(ids) != n_new for ids in ids_BT):
            raise ValueError(
                f"{[len(ids) for ids in ids_BT]} tokens are not as many, one or more, for each of"
                f" {n_rows} sequences"
            )
        check_fits(self._length + n_new, self.max_seq_len)
        for ids in ids_BT:
            if not 0 <= min(ids) <= max(ids) < self._config.vocab_size:
                raise IndexError(f"a token of {list(ids)} is not in 0 … vocab_size - 1")
        return n_new

    def _memory(self, word: int, n: int) -> NDArray[np.int64]:
        """Whole numbers that the job knows by `word`."""
        memory = np.zeros(n, np.int64)
        self._job[word] = memory.ctypes.data
        return memory

    def _hold(self, keys: NDArray[np.float32], values: NDArray[np.float32]) -> None:
        self._keys, self._values = keys, values
        self._job[op.KEYS], self._job[op.VALUES] = keys.ctypes.data, values.ctypes.data

    def _hold_ids(self, ids: NDArray[np.int64]) -> None:
        self._ids = ids
        self._job[op.IDS] = ids.ctypes.data

    def _selected(self, held: NDArray[np.float32], rows: Sequence[int]) -> NDArray[np.float32]:
        """Copies of rows, of the positions held; the rest of the memory stays untouched."""
        heads = self._layout.row // self._layout.head
        width = self._layout.head // (-(-self.max_seq_len // LANES) * LANES)
        used = -(-self._length // LANES) * LANES * width
        new = np.zeros((len(rows), self._layout.row), np.float32)
        by_head = new.reshape(len(rows), heads, -1)
        by_head[:, :, :used] = held.reshape(len(held), heads, -1)[list(rows), :, :used]
        return new
