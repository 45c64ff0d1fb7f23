"""How fast the device multiplies, how fast it moves numbers, and what each call costs.

A transformer trains at the speed of matrix products, writes at that of memory (each weight
is read once a token), and a small one spends much of both on calling PyTorch at all.
Axis letters: M, N, K are the sides of a product.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path

import torch

from core.config import RunConfig
from core.device import Device, available_devices, environment, machine_key, synchronize
from core.errors import DeviceError
from core.events import Machine, SetupProgressed, Speed
from core.measure.statistics import summarize
from core.model.arithmetic import training_bytes
from core.store.paces import kept_paces

REPETITIONS, LEAST_REPETITIONS = 7, 3
LONGEST_S = 0.5
"""After which a slow measurement makes do with the least repetitions."""
SAMPLE_S = 0.04
"""Least length of a repetition: far above the clock's own errors."""
PRODUCTS = ((1024, 512, 128), (512, 512, 512), (1024, 1024, 1024))
"""M, N, K: a feed-forward layer of the preset quick, and two squares."""
COPIED = 1 << 24
"""Numbers in a copy: 64 MiB, more than caches hold."""
MATRIX = (4096, 4096)
FLOAT_BYTES = 4
OPERATIONS = 100
_INT = torch.int64

Work = Callable[[], object]


def examine(
    device: Device, *, is_measuring: bool = True, is_stopping: Callable[[], bool] = lambda: False
) -> Generator[SetupProgressed, None, Machine]:
    """Tell what the machine is, and time it for about three seconds."""
    speeds: list[Speed] = []
    told = ""
    for stage, measure in _stages(device) if is_measuring else ():
        if is_stopping():
            break
        if stage != told:
            yield SetupProgressed(stage=stage)
        told = stage
        speeds.append(measure())
    memory, free = memory_bytes()
    return Machine(
        devices=tuple(available_devices()),
        environment=environment(device),
        memory_bytes=memory,
        free_bytes=free,
        speeds=tuple(speeds),
        paces=kept_paces(machine_key(device.type)),
    )


def memory_bytes() -> tuple[int | None, int | None]:
    """`(all, free)` of the machine; free counts what the system would give up for a program."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        facts = {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}
        return 1024 * int(facts["MemTotal"][0]), 1024 * int(facts["MemAvailable"][0])
    except (OSError, KeyError, IndexError, ValueError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), None
    except (AttributeError, OSError, ValueError):
        return None, None


def _stages(device: Device) -> list[tuple[str, Callable[[], Speed]]]:
    products = [
        (f"timing products in {dtype}", partial(_product, device, dtype, *sides))
        for dtype, shapes in (("float32", PRODUCTS), ("bfloat16", PRODUCTS[:2]))
        for sides in shapes
    ]
    return [
        *products,
        ("timing memory", partial(_copy, device)),
        ("timing memory", partial(_matrix_vector, device)),
        ("timing calls", partial(_call, device)),
    ]


def _product(device: Device, dtype: str, m: int, n: int, k: int) -> Speed:
    rates = [rate / 1e9 for rate in product_rates(device, dtype, m, n, k)]
    return _speed(f"product {m} × {k} × {n}", dtype, "GFLOP/s", rates)


@torch.inference_mode()
def product_rates(device: Device, dtype: str, m: int, n: int, k: int) -> list[float]:
    """Samples of FLOP/s in a product of m × k by k × n."""
    kind = getattr(torch, dtype)
    left_MK = torch.ones(m, k, dtype=kind, device=device.type)
    right_KN = torch.ones(k, n, dtype=kind, device=device.type)
    out_MN = torch.empty(m, n, dtype=kind, device=device.type)
    seconds = seconds_of(lambda: torch.mm(left_MK, right_KN, out=out_MN), device)
    return [2 * m * n * k / s for s in seconds]


@torch.inference_mode()
def _copy(device: Device) -> Speed:
    source = torch.ones(COPIED, device=device.type)
    target = torch.empty_like(source)
    seconds = seconds_of(lambda: target.copy_(source), device)
    rates = [2 * FLOAT_BYTES * COPIED / s / 1e9 for s in seconds]
    return _speed("copy of 64 MiB, read and written", "float32", "GB/s", rates)


@torch.inference_mode()
def _matrix_vector(device: Device) -> Speed:
    rows, columns = MATRIX
    matrix_MK = torch.ones(rows, columns, device=device.type)
    vector_K, out_M = (torch.ones(n, device=device.type) for n in (columns, rows))
    seconds = seconds_of(lambda: torch.mv(matrix_MK, vector_K, out=out_M), device)
    rates = [FLOAT_BYTES * rows * columns / s / 1e9 for s in seconds]
    return _speed("matrix × vector, 64 MiB read", "float32", "GB/s", rates)


def _call(device: Device) -> Speed:
    costs = [1e6 * s for s in call_seconds(device)]
    return _speed("call of one small operation", "int64", "µs", costs)


@torch.inference_mode()
def call_seconds(device: Device) -> list[float]:
    """Samples of what one small operation costs."""
    one = torch.ones(1, dtype=_INT, device=device.type)

    def calls() -> None:
        for _ in range(OPERATIONS):
            one.add_(1)

    return [s / OPERATIONS for s in seconds_of(calls, device)]


def seconds_of(work: Work, device: Device) -> list[float]:
    """Time of one call in each repetition, warm."""
    calls = 1
    while (spent := _time(work, calls, device)) < SAMPLE_S / 2:
        calls *= 2
    calls = max(1, round(calls * SAMPLE_S / spent))
    samples = [_time(work, calls, device) / calls for _ in range(LEAST_REPETITIONS)]
    while len(samples) < REPETITIONS and calls * sum(samples) < LONGEST_S:
        samples.append(_time(work, calls, device) / calls)
    return samples


def _time(work: Work, calls: int, device: Device) -> float:
    synchronize(device.type)
    began = time.perf_counter()
    for _ in range(calls):
        work()
    synchronize(device.type)
    return time.perf_counter() - began


def _speed(what: str, dtype: str, unit: str, samples: list[float]) -> Speed:
    found = summarize(samples)
    return Speed(
        what=what, dtype=dtype, unit=unit, mean=found.mean, sd=found.sd, samples=tuple(samples)
    )


def check_memory(config: RunConfig, device: Device) -> None:
    """Refuse a training that this machine could not hold, before the system ends us for it.

    Raises:
        DeviceError: it would take more than there is.
    """
    train, (held, _) = config.train, memory_bytes()
    needed = training_bytes(config.model, train.batch_size, train.context, train.optimizer)
    if device.type == "cpu" and held is not None and needed > held:
        raise DeviceError(
            f"Training would take about {needed >> 30} GiB of memory; the machine has"
            f" {held >> 30}.",
            hint="Try a smaller model, batch_size, context or vocab_size.",
        )
