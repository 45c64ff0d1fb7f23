"""What every kind of cache takes: bytes by a stated formula, in every dtype."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.device import Device
from core.infer.engines.torch_engine import TorchEngine
from core.model import arithmetic
from core.model.kv_cache import KINDS, KVCache
from core.testing import CPU, tiny_model, tiny_model_config

CONTEXT = 24
BFLOAT16 = Device("cpu", "bfloat16", 1)
any_split = st.lists(st.integers(1, CONTEXT - 1), unique=True).map(
    lambda cuts: [b - a for a, b in pairwise([0, *sorted(cuts), CONTEXT])]
)
each_kind = pytest.mark.parametrize("kind", KINDS)


@each_kind
@given(
    sizes=any_split,
    n_kv_heads=st.sampled_from([0, 2, 1]),
    window=st.integers(1, CONTEXT + 2),
    sinks=st.integers(0, 7),
    rows=st.integers(1, 3),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
@settings(max_examples=25)
def test_a_cache_holds_the_bytes_of_the_formula(
    kind: str,
    sizes: list[int],
    n_kv_heads: int,
    window: int,
    sinks: int,
    rows: int,
    dtype: torch.dtype,
) -> None:
    config = tiny_model_config(max_seq_len=CONTEXT, n_kv_heads=n_kv_heads)
    cache = KVCache(config, kind=kind, window=window, sinks=sinks, batch_size=rows, dtype=dtype)
    how = {"window": window, "sinks": sinks, "bytes_per_number": dtype.itemsize}
    assert cache.allocated_bytes == rows * arithmetic.cache_bytes(config, CONTEXT, kind, **how)
    assert cache.held_bytes == 0
    for size in sizes:
        for layer in cache.layers:
            part = torch.randn(rows, config.kv_heads, size, config.head_dim, dtype=dtype)
            layer.extend(part, part)
        computed = arithmetic.cache_bytes(config, cache.length, kind, **how)
        assert cache.held_bytes == rows * computed
    cache.select([0])
    assert cache.held_bytes == computed


def test_the_formula_in_numbers() -> None:
    """2 layers, 4 heads of 8: keys and values of a position are 2 x 2 x 4 x 8 numbers."""
    config = tiny_model_config()
    assert config.n_layers * config.kv_heads * config.head_dim == 64
    assert arithmetic.cache_bytes(config, 10) == 10 * 128 * 4
    assert arithmetic.cache_bytes(config, 10, "none") == 0
    assert arithmetic.cache_bytes(config, 10, "int8") == 10 * (128 + 16 * 4)
    assert arithmetic.cache_bytes(config, 10, "window", window=6, sinks=3) == 6 * 128 * 4
    assert arithmetic.cache_bytes(config, 10, "sinks", window=6, sinks=3) == 9 * 128 * 4
    assert arithmetic.cache_bytes(config, 10, "sinks", window=60, sinks=3) == 10 * 128 * 4


@each_kind
def test_half_precision_runs_with_every_cache(kind: str) -> None:
    model, ids = tiny_model(max_seq_len=CONTEXT, qk_norm=True), list(range(CONTEXT))
    half, full = (
        TorchEngine(model, device, cache=kind, window=5, sinks=2) for device in (BFLOAT16, CPU)
    )
    for part in (ids[:9], ids[9:10], ids[10:17], ids[17:]):
        found, expected = half.feed([part]), full.feed([part])
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, rtol=0, atol=0.05)
    assert half.cache_bytes == (full.cache_bytes if kind == "int8" else full.cache_bytes // 2)
