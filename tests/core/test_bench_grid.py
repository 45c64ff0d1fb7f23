"""The grid of a benchmark: its variants, why some are not possible, and which are compared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from core.config import BenchConfig, ModelConfig
from core.events import Variant
from core.measure.grid import comparable, reason_against, variants_of
from core.testing import CPU

QUICK = BenchConfig(n=4, prompt_tokens=4, engines="torch", caches="static")


def variant(**given: Any) -> Variant:
    return replace(variants_of(QUICK, CPU)[0], **given)


def test_every_combination_is_a_variant_in_the_order_of_the_lists() -> None:
    config = BenchConfig(
        engines=("torch", "fast"), caches=("none", "int8"), bits=(0, 4), threads=(0, 3)
    )
    found = variants_of(config, CPU)
    assert len(found) == 16
    assert [(v.engine, v.cache) for v in found[:4]] == [
        ("torch", "none"),
        ("torch", "int8"),
        ("fast", "none"),
        ("fast", "int8"),
    ]
    assert [v.bits for v in found[:8]] == [0] * 4 + [4] * 4
    assert {v.threads for v in found} == {CPU.threads, 3}
    assert {(v.dtype, v.depth, v.prompt_tokens) for v in found} == {("float32", 16, 16)}


def test_a_depth_of_zero_is_the_prompt() -> None:
    config = BenchConfig(prompt_tokens=(4, 8), depths=(0, 20))
    found = variants_of(config, CPU)
    works = list(dict.fromkeys((v.prompt_tokens, v.depth) for v in found))
    assert works == [(4, 4), (8, 8), (4, 20), (8, 20)]


@pytest.mark.parametrize(
    ("changes", "config", "reason"),
    [
        ({}, {}, ""),
        ({"depth": 20}, {"depths": 20}, ""),
        (
            {"depth": 3},
            {"depths": 3},
            "depth=3 is below prompt_tokens=4: decoding begins after the prompt.",
        ),
        (
            {"depth": 22},
            {"depths": 22},
            "depth=22 and n=4 need 26 positions, and the model has max_seq_len=24.",
        ),
        (
            {"bits": 8},
            {},
            "The torch engine decodes 8-bit weights as float32: no bytes are saved.",
        ),
        (
            {"engine": "graph", "bits": 4},
            {},
            "The graph engine decodes 4-bit weights as float32: no bytes are saved.",
        ),
        (
            {"engine": "graph", "cache": "sinks"},
            {},
            "The graph engine has the static cache only, not 'sinks'.",
        ),
        (
            {"engine": "fast", "cache": "int8"},
            {},
            "The fast engine has the static cache only, not 'int8'.",
        ),
        (
            {"engine": "fast", "dtype": "bfloat16"},
            {},
            "The fast engine computes in float32, not in bfloat16.",
        ),
    ],
)
def test_what_is_not_possible_has_a_sentence(
    changes: dict[str, Any], config: dict[str, Any], reason: str
) -> None:
    model = ModelConfig(vocab_size=30, max_seq_len=24)
    assert reason_against(variant(**changes), replace(QUICK, **config), model) == reason


def test_what_a_ratio_is_made_of() -> None:
    none, static = variant(cache="none"), variant()
    fast, packed = variant(engine="fast"), variant(engine="fast", bits=8)
    deep, rival = variant(depth=20), variant(rival="llama.cpp", engine="llama.cpp")
    places = comparable([none, static, fast, packed, deep, rival])
    assert places == [(0, 1), (0, 5), (1, 2), (1, 5), (2, 3), (2, 5)]
    assert comparable([static, static]) == [(0, 1)], "A against A"
