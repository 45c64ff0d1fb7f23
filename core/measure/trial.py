"""Training steps that nobody keeps, taken to be timed, in whatever way is asked for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from core.config import RunConfig, TrainConfig
from core.device import Device, synchronize
from core.model.transformer import Transformer
from core.text.batches import Batches
from core.training.optimizer import Optimizer, make_optimizer
from core.training.step import compute_gradients

N_BATCHES = 8
"""Different ones that are trained on in turn."""


@dataclass(frozen=True, slots=True)
class Way:
    """What can be chosen."""

    threads: int
    dtype: str
    is_compiled: bool = False

    def on(self, device: Device) -> Device:
        """That device, used in this way."""
        return replace(device, threads=self.threads, dtype=self.dtype, is_compiled=self.is_compiled)


class Trial:
    """Steps at a rate of 0, which is as much work as at any other, and the weights stay.

    Args:
        device: and the way in which a step is taken where none is asked for.
        model: its gradients are nobody else's.
    """

    def __init__(
        self, config: RunConfig, device: Device, model: Transformer, batches: Batches
    ) -> None:
        self.config, self.device, self.model, self.batches = config, device, model, batches
        self._optimizers: dict[str, Optimizer] = {}
        self._n = 0

    @property
    def optimizer(self) -> Optimizer:
        """The run's, with its moments."""
        return self._optimizer(self.device.dtype)

    def step_s(self, way: Way | None = None) -> float:
        """Seconds of one step."""
        device = self.device if way is None else way.on(self.device)
        optimizer = self._optimizer(device.dtype)
        began = time.perf_counter()
        self._take(self.config.train, device, optimizer)
        synchronize(device.type)
        return time.perf_counter() - began

    def turn_s(self, way: Way) -> float:
        """Seconds of a step after another in the same way, whose threads are then awake."""
        if torch.get_num_threads() != way.threads:
            torch.set_num_threads(way.threads)
            self.step_s(way)
        return self.step_s(way)

    def take(self, train: TrainConfig) -> None:
        """One step with these settings of training, not compiled."""
        self._take(train, replace(self.device, is_compiled=False), self.optimizer)

    def _take(self, train: TrainConfig, device: Device, optimizer: Optimizer) -> None:
        self._n += 1
        compute_gradients(self.model, self.batches, train, device, 1 + self._n % N_BATCHES)
        optimizer.step(0.0)

    def _optimizer(self, dtype: str) -> Optimizer:
        if dtype not in self._optimizers:
            self._optimizers[dtype] = make_optimizer(self.model, self.config.train, dtype=dtype)
        return self._optimizers[dtype]


@contextmanager
def undisturbed() -> Iterator[None]:
    """Random state and threads are then as they were."""
    threads = torch.get_num_threads()
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            yield
    finally:
        torch.set_num_threads(threads)
