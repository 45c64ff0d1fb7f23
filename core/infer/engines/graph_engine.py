"""The engine for GPUs: one decode step, recorded as a CUDA graph and replayed for every token.

A small model's step on a GPU is bound by the host, which starts some ten operations a layer; a
graph starts them all at once. For that no shape may change and nothing may visit the host: the
cache is static (core/model/step_cache.py), the position is a tensor, and the best token goes
back into the model on the device. The arithmetic is the model's own `forward`.

The recording itself was never tried: no machine with CUDA was at hand. On other devices the same
step runs unrecorded, and that is what the tests hold against `TorchEngine`.

Shape suffixes: B sequences · T new tokens · S positions, max_seq_len of them · V vocab_size.

Source: https://pytorch.org/blog/accelerating-pytorch-with-cuda-graphs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from core.device import Device
from core.infer.engines.engine import check_fits
from core.model.kv_cache import make_cache
from core.model.step_cache import StepCache
from core.model.transformer import Transformer

WARM_UPS = 3
"""Steps before the recording, in which libraries allocate what they want: PyTorch's own number."""


class GraphEngine:
    """Prompts are read as by `TorchEngine`; each later token is one replay. See `Engine`."""

    name = "graph"
    cache = "static"

    def __init__(self, model: Transformer, device: Device) -> None:
        """The weights must neither move nor change while the engine lives."""
        self.note = ""
        self.max_seq_len = model.config.max_seq_len
        self._model, self._device = model.eval(), device
        self._rounded = {} if device.dtype == "float32" else _rounded_weights(model)
        held = make_cache(model.config, device, "static", window=0, sinks=0)
        assert held is not None
        self._held = held
        self._allocate(1)

    @property
    def length(self) -> int:
        """See `Engine.length`."""
        return self._held.length

    @property
    def cache_bytes(self) -> int:
        """See `Engine.cache_bytes`."""
        return self._held.held_bytes

    @torch.inference_mode()
    def feed(self, ids_BT: Sequence[Sequence[int]]) -> Tensor:
        """See `Engine.feed`."""
        if len(ids_BT[0]) == 1:
            self._take_steps([ids[0] for ids in ids_BT], 1)
            return self._logits_BV.clone()
        ids = torch.tensor([list(ids) for ids in ids_BT], device=self._device.type)
        with self._device.autocast():
            logits_B1V = self._model(ids, self._held, last_only=True)
        return logits_B1V[:, -1].float()

    @torch.inference_mode()
    def write(self, token: int, n: int) -> list[int]:
        """See `Engine.write`."""
        start = self.length
        self._take_steps([token], n)
        return [int(token) for token in self._written_BS[0, start : start + n].tolist()]

    def rewind(self, length: int) -> None:
        """See `Engine.rewind`."""
        self._held.rewind(length)

    def select(self, rows: Sequence[int]) -> None:
        """See `Engine.select`. Unless nothing changes, the step is recorded anew."""
        if list(rows) != list(range(len(self._logits_BV))):
            self._held.select(rows)
            self._allocate(len(rows))

    def _allocate(self, n_rows: int) -> None:
        """What a step reads and writes in place."""
        where = self._device.type
        self._cache = StepCache(self._held)
        self._newest_B1 = torch.zeros(n_rows, 1, dtype=torch.int64, device=where)
        self._logits_BV = torch.zeros(n_rows, self._model.config.vocab_size, device=where)
        shape = (n_rows, self.max_seq_len)
        self._written_BS = torch.zeros(shape, dtype=torch.int64, device=where)
        """The greedy choice after each position."""
        self._run: Callable[[], None] | None = None

    def _take_steps(self, tokens_B: Sequence[int], n: int) -> None:
        """`n` tokens of every sequence: the given ones, and then those chosen."""
        check_fits(self.length + n, self.max_seq_len)
        if self._run is None:
            self._run = self._recorded() if self._device.type == "cuda" else self._step
        self._newest_B1.copy_(torch.tensor(tokens_B)[:, None])
        self._cache.position_1.fill_(self.length)
        for _ in range(n):
            self._run()
        self._cache.advance(n)

    def _step(self) -> None:
        """One token of every sequence, in place."""
        with self._device.autocast():
            logits_B1V = functional_call(
                self._model,
                self._rounded,
                (self._newest_B1, self._cache),
                {"last_only": True},
                tie_weights=False,  # a tied head is rounded, and the embedding is not
            )
        self._logits_BV.copy_(logits_B1V[:, -1])
        self._newest_B1.copy_(self._logits_BV.argmax(1, keepdim=True))
        self._written_BS.index_copy_(1, self._cache.position_1, self._newest_B1)
        self._cache.position_1.add_(1)

    def _recorded(self) -> Callable[[], None]:
        """The step as a graph. What it writes on the way, beyond what is held, nobody reads."""
        apart = torch.cuda.Stream()
        apart.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(apart):
            for _ in range(WARM_UPS):
                self._cache.position_1.fill_(self.length)
                self._step()
        torch.cuda.current_stream().wait_stream(apart)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._step()
        return graph.replay


def _rounded_weights(model: Transformer) -> dict[str, Tensor]:
    """In bfloat16, what autocast would round anew in each step: all that linear layers have."""
    return {
        f"{place}.{name}": parameter.detach().bfloat16()
        for place, module in model.named_modules()
        if isinstance(module, nn.Linear)
        for name, parameter in module.named_parameters()
    }
