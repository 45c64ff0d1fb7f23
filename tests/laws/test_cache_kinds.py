"""What every kind of cache obeys: a mask or a rounding says what it computes, and neither the
split of a sequence nor what was taken back changes it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from core.errors import ConfigError
from core.infer.decoder import Decoder
from core.infer.engines.torch_engine import TorchEngine
from core.model.int8_cache import Int8Layer
from core.model.kv_cache import KINDS, KVCache
from core.model.layer_cache import LayerCache
from core.model.transformer import Transformer
from core.model.windowed_cache import WindowedLayer
from core.testing import CPU, tiny_model, tiny_model_config

CONTEXT = 24
any_switches = st.fixed_dictionaries(
    {
        "positions": st.sampled_from(["rope", "sinusoidal", "learned", "none"]),
        "norm_place": st.sampled_from(["pre", "post"]),
        "n_kv_heads": st.sampled_from([0, 2, 1]),
        "qk_norm": st.booleans(),
        "n_layers": st.sampled_from([1, 2, 3]),
    }
)
any_split = st.lists(st.integers(1, CONTEXT - 1), unique=True).map(
    lambda cuts: [b - a for a, b in pairwise([0, *sorted(cuts), CONTEXT])]
)
any_window = st.integers(1, CONTEXT + 2)
any_sinks = st.integers(0, 7)
any_steps = st.lists(
    st.tuples(st.integers(0, 100), st.integers(1, CONTEXT)), min_size=1, max_size=6
)


def random_ids(n: int, *, rows: int = 1, seed: int = 0) -> Tensor:
    return torch.randint(31, (rows, n), generator=torch.Generator().manual_seed(seed))


class InSight(LayerCache):
    """Holds nothing; lets a whole sequence, in one pass, see what the definition says."""

    def __init__(self, n: int, window: int, sinks: int) -> None:
        super().__init__([])
        self._seen = torch.tensor(
            [[key <= t and (key > t - window or key < sinks) for key in range(n)] for t in range(n)]
        )

    def mask(self, n_new: int) -> Tensor:
        return self._seen

    def extend(self, k_BKTH: Tensor, v_BKTH: Tensor) -> tuple[Tensor, Tensor]:
        return k_BKTH, v_BKTH


@torch.no_grad()
def defined(model: Transformer, ids: Tensor, window: int, sinks: int) -> Tensor:
    """One pass in which a position sees its newest `window` ones and the first `sinks`."""
    cache = KVCache(model.config)
    cache.layers = [InSight(ids.size(1), window, sinks) for _ in cache.layers]
    return model(ids, cache)


def windowed(model: Transformer, window: int, sinks: int, rows: int = 1) -> KVCache:
    kind = "sinks" if sinks else "window"
    return KVCache(model.config, kind=kind, window=window, sinks=sinks, batch_size=rows)


@given(switches=any_switches, sizes=any_split, window=any_window, sinks=any_sinks)
@torch.no_grad()
def test_any_split_gives_what_the_mask_defines(
    switches: dict[str, Any], sizes: list[int], window: int, sinks: int
) -> None:
    """In every layer, with wrap-around and eviction, prefill, chunks and single tokens."""
    model = tiny_model(max_seq_len=CONTEXT, **switches)
    ids, cache = random_ids(CONTEXT, rows=2), windowed(model, window, sinks, rows=2)
    found = torch.cat([model(part, cache) for part in ids.split(sizes, 1)], 1)
    torch.testing.assert_close(found, defined(model, ids, window, sinks), rtol=1e-4, atol=2e-5)


@given(steps=any_steps, window=any_window, sinks=any_sinks, n_kv_heads=st.sampled_from([0, 2, 1]))
@torch.no_grad()
def test_a_rewound_windowed_cache_equals_a_fresh_one(
    steps: list[tuple[int, int]], window: int, sinks: int, n_kv_heads: int
) -> None:
    """It forgets all when what it needs is gone; then what is missing is read again."""
    model = tiny_model(max_seq_len=CONTEXT, n_kv_heads=n_kv_heads)
    cache, ids = windowed(model, window, sinks), random_ids(0)
    for seed, (share, size) in enumerate(steps):
        length = share * cache.length // 100
        was = cache.length
        cache.rewind(length)
        assert cache.length in (length, 0)
        if was - length <= 1 or was <= window + sinks or length <= sinks:
            assert cache.length == length
        new = random_ids(min(size, CONTEXT - length), seed=seed)
        if not new.size(1):
            continue
        ids = torch.cat([ids[:, :length], new], 1)
        found = model(ids[:, cache.length :], cache, last_only=True)
        expected = defined(model, ids, window, sinks)[:, -1:]
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-5)


@given(n=st.integers(1, CONTEXT), window=any_window, sinks=any_sinks, back=st.integers(0, 7))
def test_what_a_windowed_cache_can_go_back_to(n: int, window: int, sinks: int, back: int) -> None:
    """One step always, as a dialogue does that feeds its last token again; to the sinks too, and
    from there on as if nothing had been."""
    part = torch.randn(1, 1, n, 4)
    cache = WindowedLayer(1, 1, CONTEXT, 4, window=window, sinks=sinks)
    cache.extend(part, part)
    cache.rewind(n - 1)
    assert cache.length == n - 1
    start = min(sinks, n - 1)
    cache.rewind(start)
    assert cache.length == start
    n_more = min(window, CONTEXT - start)
    cache.extend(*[part[:, :, :1].expand(1, 1, n_more, 4)] * 2)
    length = max(start, cache.length - back)
    cache.rewind(length)
    assert cache.length == length


def test_a_single_position_costs_neither_a_mask_nor_a_copy() -> None:
    part = torch.randn(1, 1, 9, 4)
    cache = WindowedLayer(1, 1, CONTEXT, 4, window=5, sinks=2)
    cache.extend(part, part)
    assert cache.mask(1) is None
    first, _ = cache.extend(part[:, :, :1], part[:, :, :1])
    second, _ = cache.extend(part[:, :, :1], part[:, :, :1])
    assert first.shape == (1, 1, 7, 4)
    assert first.data_ptr() == second.data_ptr()


@given(window=st.integers(1, 9), sinks=st.integers(0, 3), chosen=st.lists(st.integers(0, 2)))
@torch.no_grad()
def test_rows_of_a_windowed_cache_go_their_own_ways(
    window: int, sinks: int, chosen: list[int]
) -> None:
    model, ids = tiny_model(max_seq_len=CONTEXT), random_ids(CONTEXT, rows=3)
    cache = windowed(model, window, sinks, rows=3)
    model(ids[:, :11], cache)
    rows = chosen or [2, 0]
    cache.select(rows)
    found = torch.cat([model(part, cache) for part in ids[rows, 11:].split([1, 4, 1, 7], 1)], 1)
    expected = defined(model, ids[rows], window, sinks)[:, 11:]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-5)


@torch.no_grad()
def test_beyond_the_first_layer_a_window_is_not_the_model_run_afresh_on_its_tokens() -> None:
    """Why it is called approximate, and defined by a mask."""
    ids = random_ids(CONTEXT)
    for n_layers, is_the_same in ((1, True), (2, False)):
        model = tiny_model(max_seq_len=CONTEXT, positions="none", n_layers=n_layers)
        rolled = model(ids, windowed(model, 6, 0))[:, -1]
        afresh = model(ids[:, -6:])[:, -1]
        assert torch.allclose(rolled, afresh, atol=1e-5) == is_the_same


@given(window=st.integers(CONTEXT, 40), sinks=any_sinks, sizes=any_split)
@torch.no_grad()
def test_a_window_that_holds_the_whole_text_is_exact(
    window: int, sinks: int, sizes: list[int]
) -> None:
    model, ids = tiny_model(max_seq_len=CONTEXT), random_ids(CONTEXT)
    cache = windowed(model, window, sinks)
    found = torch.cat([model(part, cache) for part in ids.split(sizes, 1)], 1)
    torch.testing.assert_close(found, model(ids), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize(
    ("wrong", "message", "hint"),
    [
        (
            {"kind": "stati"},
            "cache='stati' is not one of static, window, sinks, int8.",
            "Did you mean static?",
        ),
        (
            {"kind": "window"},
            "A cache with window=0 and sinks=0 holds nothing to look at.",
            "Try window=256, sinks=4.",
        ),
    ],
)
def test_a_cache_that_cannot_be_is_a_sentence(
    wrong: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        KVCache(tiny_model_config(), **wrong)
    assert (str(caught.value), caught.value.hint) == (message, hint)


# In 8 bits.


@given(
    sizes=any_split,
    scale=st.sampled_from([1e-30, 1e-3, 1.0, 1e4]),
    seed=st.integers(0, 9),
    rewound=st.integers(0, CONTEXT),
)
def test_rounded_keys_do_not_depend_on_the_split_and_are_within_half_a_step(
    sizes: list[int], scale: float, seed: int, rewound: int
) -> None:
    torch.manual_seed(seed)
    k, v = (torch.randn(2, 3, CONTEXT, 8) * scale for _ in "kv")
    k[0, 1, 3] = 0
    whole, split = (Int8Layer(2, 3, CONTEXT, 8) for _ in range(2))
    expected = whole.extend(k, v)
    split.extend(v, k)
    split.rewind(rewound)
    split.rewind(0)
    for k_part, v_part in zip(k.split(sizes, 2), v.split(sizes, 2), strict=True):
        found = split.extend(k_part, v_part)
    assert all(map(torch.equal, found, expected))
    for given_, rounded in zip((k, v), found, strict=True):
        step = given_.abs().amax(-1, keepdim=True) / 127
        assert ((given_ - rounded).abs() <= step * (0.5 + 1e-4)).all()


@given(switches=any_switches, sizes=any_split)
@torch.no_grad()
def test_any_split_of_a_rounded_cache_gives_the_same_logits(
    switches: dict[str, Any], sizes: list[int]
) -> None:
    """Up to a number on the border of two codes, which rounding errors may push to either."""
    model, ids = tiny_model(max_seq_len=CONTEXT, **switches), random_ids(CONTEXT)
    expected = model(ids, KVCache(model.config, kind="int8"))
    cache = KVCache(model.config, kind="int8")
    found = torch.cat([model(part, cache) for part in ids.split(sizes, 1)], 1)
    torch.testing.assert_close(found, expected, rtol=0, atol=5e-3)
    assert 0 < (expected - model(ids)).abs().max() < 0.1, "near, and not the same"


# All of them.


def engine(model: Transformer, cache: str) -> TorchEngine:
    return TorchEngine(model, CPU, cache=cache, window=5, sinks=2)


@pytest.mark.parametrize("kind", ["none", *KINDS])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["rewind", "resume", "write"]), st.integers(0, 99)),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=25)
def test_a_decoder_that_was_led_about_equals_a_fresh_one(
    kind: str, steps: list[tuple[str, int]]
) -> None:
    """Past the end of the context of 16 too, and whatever had to be read again."""
    model = tiny_model(max_seq_len=16)
    decoder = Decoder(engine(model, kind))
    decoder.feed(random_ids(9)[0].tolist())
    for what, number in steps:
        length = number * decoder.length // 100
        ids = [*decoder.rows[0][:length], number % 31, 1 + number % 30]
        if what == "resume":
            found = decoder.feed(ids[decoder.go_back_to(ids) :])
        elif what == "write":
            decoder.write(number % 31, 1 + number % 9)
            found = decoder.feed([3])
        else:
            decoder.rewind(length)
            found = decoder.feed(ids[length:])
        expected = Decoder(engine(model, kind)).feed(decoder.rows[0])
        atol = 5e-3 if kind == "int8" else 1e-4
        torch.testing.assert_close(found, expected, rtol=0, atol=atol)
