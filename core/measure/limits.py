"""What bounds decoding: the calls it makes, the bytes it reads, or the numbers it multiplies.

A token takes at least as long as the slowest of the three alone:

    dispatch    operations that are started x the cost of starting one
    bytes       weights read once, keys and values of all positions held, / bytes a second
    FLOPs       / FLOPs a second of matrix products

The longest of them names the bound, and the share of its speed that was reached says how much
is left to gain. How fast bytes come depends on how many they are: weights that fit into a
processor's caches are read from there, many times faster than from memory. So reading is timed
on as many bytes as a token needs.

Source: the roofline, Williams et al. 2009, doi:10.1145/1498765.1498785.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

from core.config import ModelConfig
from core.device import Device
from core.events import Limits, Variant, Verdict
from core.infer.engines.engine import Engine
from core.infer.quantize import TABLES
from core.measure.machine import call_seconds, product_rates
from core.measure.reading import bytes_per_second
from core.model.arithmetic import flops_per_token, kv_bytes_per_token
from core.model.transformer import Transformer

PRODUCT = (1024, 1024, 1024)
BEYOND_CACHES = 1 << 28
"""Bytes that no processor's caches hold."""
LEAST_BYTES = 1 << 18
FRESH_S = 5.0
"""Until a measurement is repeated when it is asked for again."""
INT8_CACHE_SHARE = 0.25
"""Of float32, its scales left out."""


def measure_limits(device: Device, bytes_per_token: int = BEYOND_CACHES) -> Limits:
    """The best of several tries each, in about a second. Other work on the machine only makes it
    slower: what was measured some seconds ago is measured again, and the best of all is kept.

    Args:
        bytes_per_token: what a token has to read; see `weights_read`.
    """
    n_bytes = min(max(LEAST_BYTES, bytes_per_token), BEYOND_CACHES)
    calls = _best("calls", device, 0, lambda: 1 / min(call_seconds(device)))
    flops = _best("FLOPs", device, 0, lambda: max(product_rates(device, device.dtype, *PRODUCT)))
    read = _best("bytes", device, n_bytes, lambda: bytes_per_second(device, n_bytes))
    return Limits(dispatch_us=1e6 / calls, bytes_per_s=read, flops_per_s=flops)


_seen: dict[tuple[str, Device, int], tuple[float, float]] = {}
"""The best rate of this process, and when it was last looked at."""


def _best(what: str, device: Device, n_bytes: int, measure: Callable[[], float]) -> float:
    key = what, device, n_bytes
    rate, looked_at = _seen.get(key, (0.0, -math.inf))
    if time.monotonic() - looked_at > FRESH_S:
        rate = max(rate, measure())
        _seen[key] = rate, time.monotonic()
    return rate


def verdict(
    limits: Limits,
    config: ModelConfig,
    variant: Variant,
    depth: int,
    tokens_per_s: float,
    *,
    weight_bytes: int,
    dispatches: int,
    cache_bytes: int | None = None,
) -> Verdict:
    """What bounds a token, and how near to that bound it came.

    Args:
        depth: positions held before it.
        tokens_per_s: that was reached.
        weight_bytes: read for a token; see `weights_read`.
        dispatches: operations started for a token; see `count_dispatches`.
        cache_bytes: of keys and values that it reads, where the cache does not hold all
            positions; None counts them by the formula.
    """
    is_cached = variant.cache != "none"
    if cache_bytes is None:
        cache_bytes = _cache_bytes(config, variant, depth) if is_cached else 0
    # Without a cache every position is computed again.
    n_positions = 1 if is_cached else depth + 1
    context = 2 * depth + 1 if is_cached else depth + 1
    seconds = {
        "dispatch": 1e-6 * limits.dispatch_us * dispatches,
        "bytes": (weight_bytes + cache_bytes) / limits.bytes_per_s,
        "FLOPs": n_positions * flops_per_token(config, context) / limits.flops_per_s,
    }
    bound = max(seconds, key=seconds.__getitem__)
    limit = 1 / seconds[bound]
    return Verdict(bound=bound, limit_tokens_per_s=limit, fraction=tokens_per_s / limit)


def _cache_bytes(config: ModelConfig, variant: Variant, depth: int) -> int:
    whole = depth * kv_bytes_per_token(config)
    if variant.cache == "int8":
        return round(INT8_CACHE_SHARE * whole)
    return whole // 2 if variant.dtype == "bfloat16" else whole


def weights_read(model: Transformer) -> int:
    """Bytes of weights that one token's pass reads, packed ones as they are packed: all but
    the embeddings, of which it takes one row, unless that is the head too."""
    packed = getattr(model, "packed", {})
    total = 0
    for name, weight in model.named_parameters():
        n_bytes = packed[name].nbytes if name in packed else weight.numel() * weight.element_size()
        is_table = name in TABLES[model.config.tied_head :]
        total += n_bytes // len(weight) if is_table else n_bytes
    return total


def count_dispatches(engine: Engine) -> int:
    """Operations that an engine starts for one token. A fast engine walks its program inside a
    single call; of torch they are counted while it reads one, which is forgotten again. It holds
    a prompt already."""
    if engine.name != "torch":
        return 1
    with _Counter() as counter:
        engine.feed([[0]])
    engine.rewind(engine.length - 1)
    return counter.n


class _Counter(TorchDispatchMode):
    """Counts operations, each of which torch dispatches apart."""

    def __init__(self) -> None:
        super().__init__()
        self.n = 0

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        self.n += 1
        return func(*args, **(kwargs or {}))
