"""One repetition: where it begins, when it ends, and what it leaves as it was."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from core.config import BenchConfig
from core.events import Variant
from core.infer.decoder import Decoder
from core.infer.engines.torch_engine import TorchEngine
from core.measure.grid import variants_of
from core.measure.repetition import Own
from core.testing import CPU, tiny_model

TEXT = list(range(30))
STATIC = BenchConfig(n=4, prompt_tokens=4, engines="torch", caches="static")


def variant(**given: Any) -> Variant:
    return replace(variants_of(STATIC, CPU)[0], **given)


def own(depth: int = 4, n: int = 4, cache: str = "static", **how: Any) -> tuple[Own, Decoder]:
    decoder = Decoder(TorchEngine(tiny_model(), CPU, cache=cache, window=6, sinks=2))
    return Own(variant(depth=depth, cache=cache), decoder, CPU, TEXT[:9], n, **how), decoder


@pytest.mark.parametrize("cache", ["none", "static", "window", "sinks", "int8"])
@pytest.mark.parametrize("depth", [4, 5, 20])
def test_decoding_begins_at_its_depth_each_time(cache: str, depth: int) -> None:
    """The text of 9 tokens is repeated where the depth is larger."""
    contestant, decoder = own(depth, cache=cache)
    fresh = Decoder(TorchEngine(tiny_model(), CPU, cache=cache, window=6, sinks=2))
    context = (TEXT[:9] * 3)[:depth]
    fresh.feed(context)
    for _ in range(3):
        done = contestant.repeat(lambda: False)
        assert decoder.rows[0][:depth] == context
        assert decoder.length == depth + 4
        assert done.tokens == 4
    assert done.prefill_bytes == fresh.cache_bytes


def test_what_takes_too_long_makes_do_with_fewer_tokens() -> None:
    contestant, _ = own(n=12, limit_s=0.0)
    assert [contestant.repeat(lambda: False).tokens for _ in range(2)] == [2, 2]
    patient, _ = own(n=12)
    assert patient.repeat(lambda: False).tokens == 12


def test_a_stop_is_heard_between_two_tokens() -> None:
    contestant, _ = own(n=12)
    asked = itertools.count()
    assert contestant.repeat(lambda: next(asked) >= 3).tokens == 3


def test_the_garbage_collector_is_as_it_was() -> None:
    import gc

    contestant, _ = own()
    contestant.repeat(lambda: False)
    assert gc.isenabled()
    gc.disable()
    try:
        contestant.repeat(lambda: False)
        assert not gc.isenabled()
    finally:
        gc.enable()
