"""What every transformer of ours obeys, whatever its switches.

A later token cannot change an earlier output, and a cache changes nothing but the speed.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.infer.decoder import Decoder, window_start
from core.infer.engines.torch_engine import TorchEngine
from core.model.kv_cache import KVCache
from core.model.transformer import Transformer
from core.testing import CPU, MODEL_SWITCHES, tiny_model

every_switch = pytest.mark.parametrize("switches", MODEL_SWITCHES.values(), ids=MODEL_SWITCHES)

any_switches = st.fixed_dictionaries(
    {
        "positions": st.sampled_from(["rope", "sinusoidal", "learned", "none"]),
        "norm": st.sampled_from(["layernorm", "rmsnorm"]),
        "norm_place": st.sampled_from(["pre", "post"]),
        "activation": st.sampled_from(["relu", "gelu", "relu2", "swiglu"]),
        "n_kv_heads": st.sampled_from([0, 2, 1]),
        "qk_norm": st.booleans(),
        "tied_head": st.booleans(),
        "bias": st.booleans(),
        "logit_softcap": st.sampled_from([0.0, 5.0]),
    }
)
N_POSITIONS = 20
any_split = st.lists(st.integers(1, N_POSITIONS - 1), unique=True).map(
    lambda cuts: [b - a for a, b in pairwise([0, *sorted(cuts), N_POSITIONS])]
)
NEAR_TIE = 1e-4


def random_ids(n: int, *, rows: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.randint(31, (rows, n), generator=torch.Generator().manual_seed(seed))


def decoder(model: Transformer, cache: str) -> Decoder:
    return Decoder(TorchEngine(model, CPU, cache=cache))


@torch.no_grad()
def in_portions(model: Transformer, ids: torch.Tensor, sizes: list[int]) -> torch.Tensor:
    cache = KVCache(model.config, batch_size=len(ids))
    return torch.cat([model(part, cache) for part in ids.split(sizes, dim=1)], dim=1)


@every_switch
@torch.no_grad()
def test_a_later_token_cannot_change_an_earlier_output(switches: dict[str, Any]) -> None:
    model = tiny_model(**switches)
    ids = random_ids(12, rows=2)
    changed = ids.clone()
    changed[:, 7] = (changed[:, 7] + 1) % 31

    before, after = model(ids), model(changed)

    torch.testing.assert_close(before[:, :7], after[:, :7], rtol=0, atol=0)
    assert ((before - after).abs().amax(2) > 1e-3)[:, 7:].all()


@torch.no_grad()
def test_every_earlier_token_can_change_the_last_output() -> None:
    model = tiny_model()
    ids = random_ids(12)
    last = model(ids)[0, -1]
    for position in range(12):
        changed = ids.clone()
        changed[0, position] = (changed[0, position] + 1) % 31
        assert (model(changed)[0, -1] - last).abs().max() > 1e-4


@every_switch
@pytest.mark.parametrize(
    "sizes",
    [[20], [1] * 20, [5] * 4, [7, 1, 1, 6, 1, 4], [1, 19]],
    ids=["prefill", "one by one", "chunks", "mixed", "late prefill"],
)
def test_cached_logits_equal_uncached_ones(switches: dict[str, Any], sizes: list[int]) -> None:
    model = tiny_model(**switches)
    ids = random_ids(20, rows=2)
    with torch.no_grad():
        expected = model(ids)
    torch.testing.assert_close(in_portions(model, ids, sizes), expected, rtol=1e-4, atol=2e-5)


@given(switches=any_switches, sizes=any_split, seed=st.integers(0, 3))
def test_any_split_of_any_model_gives_the_same_logits(
    switches: dict[str, Any], sizes: list[int], seed: int
) -> None:
    model = tiny_model(seed=seed, **switches)
    ids = random_ids(N_POSITIONS, seed=seed)
    with torch.no_grad():
        expected = model(ids)
    torch.testing.assert_close(in_portions(model, ids, sizes), expected, rtol=1e-4, atol=2e-5)


@every_switch
@torch.no_grad()
def test_last_only_is_the_last_row(switches: dict[str, Any]) -> None:
    model, ids = tiny_model(**switches), random_ids(9)
    torch.testing.assert_close(model(ids, last_only=True), model(ids)[:, -1:])


@torch.no_grad()
def test_a_rewound_cache_forgets() -> None:
    model, ids = tiny_model(), random_ids(10)
    cache = KVCache(model.config)
    model(random_ids(15, seed=9), cache)
    cache.rewind(0)
    model(ids[:, :8], cache)
    model(random_ids(3, seed=8), cache)
    cache.rewind(8)
    torch.testing.assert_close(model(ids[:, 8:], cache), model(ids)[:, 8:], rtol=1e-4, atol=2e-5)


@every_switch
def test_greedy_text_is_the_same_with_and_without_cache_past_the_end_of_the_context(
    switches: dict[str, Any],
) -> None:
    """80 tokens through a context of 24: the window moves five times. Every fourth portion
    has a random token too, for a small model left alone soon repeats itself."""
    model = tiny_model(**switches)
    stirring = iter(random_ids(20, seed=1)[0].tolist())
    cached, plain = (decoder(model, cache) for cache in ("static", "none"))
    portion = random_ids(6)[0].tolist()
    choices, near_ties = [], 0
    for i in range(60):
        one, other = cached.feed(portion), plain.feed(portion)
        torch.testing.assert_close(one, other, rtol=1e-4, atol=5e-5)
        if one.argmax() != other.argmax():
            best = other.topk(2).values
            assert best[0] - best[1] < NEAR_TIE
            near_ties += 1
        choices.append(int(one.argmax()))
        portion = choices[-1:] + ([next(stirring)] if i % 4 == 0 else [])
    assert near_ties <= 1
    assert len(set(choices)) > 5, "a model that repeats itself proves little"


@pytest.mark.slow
@given(
    switches=any_switches,
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    cache=st.sampled_from(["static", "none"]),
)
def test_a_decoder_fed_in_portions_equals_one_fed_token_by_token(
    switches: dict[str, Any], sizes: list[int], cache: str
) -> None:
    model = tiny_model(**switches)
    ids = random_ids(sum(sizes))[0].tolist()
    in_chunks, one_by_one = (decoder(model, kind) for kind in (cache, "static"))
    done = 0
    for size in sizes:
        chunked = in_chunks.feed(ids[done : done + size])
        single = [one_by_one.feed([token]) for token in ids[done : done + size]][-1]
        done += size
        assert in_chunks.window == one_by_one.window
        torch.testing.assert_close(chunked, single, rtol=1e-4, atol=5e-5)


@given(max_seq_len=st.integers(1, 40), n_tokens=st.integers(1, 300))
def test_the_window_holds_between_half_and_all_of_the_context(
    max_seq_len: int, n_tokens: int
) -> None:
    width = n_tokens - window_start(n_tokens, max_seq_len)
    if n_tokens <= max_seq_len:
        assert width == n_tokens
    else:
        assert max(1, max_seq_len // 2) <= width <= max_seq_len


@given(max_seq_len=st.integers(1, 40))
def test_the_window_moves_only_when_it_is_full(max_seq_len: int) -> None:
    starts = [window_start(n, max_seq_len) for n in range(1, 200)]
    for n, (before, after) in enumerate(pairwise(starts), start=1):
        if n - before < max_seq_len:
            assert after == before
        else:
            assert n + 1 - after == max(1, max_seq_len // 2)
