"""The proof of the benchmark counts what it says, and can fail."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from core.config import BenchConfig
from core.events import Proof
from core.infer.decoder import Decoder
from core.infer.engines.torch_engine import TorchEngine
from core.measure.benchmark import benchmark
from core.measure.proof import ROUNDING, Plain, prove
from core.model.kv_cache import KVCache
from core.model.layer_cache import StaticLayer
from core.model.transformer import Transformer
from core.testing import CPU, byte_tokenizer, tiny_model

BENCH = BenchConfig(n=10, reps=2, warmup=0, seconds=0, prompt_tokens=4)
TEXT = list(range(30))
TOKENIZER = byte_tokenizer()
NEAR_TIE = ROUNDING["float32"].near_tie


class TwoFaced(Transformer):
    """Prefers token 1 with a cache and token 2 without, by `margin`."""

    margin = 0.0

    def forward(
        self, ids_BT: torch.Tensor, cache: KVCache | None = None, *, last_only: bool = False
    ) -> torch.Tensor:
        logits = torch.zeros_like(super().forward(ids_BT, cache, last_only=last_only))
        logits[..., 1 if cache is not None else 2] = self.margin
        return logits


def two_faced(margin: float) -> TwoFaced:
    model = TwoFaced(tiny_model().config)
    model.margin = margin
    return model


def proved(model: Transformer, n: int = 10) -> Proof:
    decoder = Decoder(TorchEngine(model, CPU))
    return prove(Plain(model, CPU), decoder, TEXT[:4], n, TEXT)


def test_an_honest_model_is_proved() -> None:
    proof = proved(tiny_model())
    assert (proof.identical_tokens, proof.of, proof.near_ties) == (10, 10, 0)
    assert proof.max_logit_diff < 1e-5
    assert proof.held_out_tokens == 24


def test_a_choice_that_differs_by_a_hair_is_a_near_tie() -> None:
    proof = proved(two_faced(NEAR_TIE / 2))
    assert (proof.identical_tokens, proof.near_ties) == (0, 10)
    assert proof.max_logit_diff == pytest.approx(NEAR_TIE / 2)


def test_a_choice_that_differs_by_more_is_not() -> None:
    proof = proved(two_faced(NEAR_TIE * 2))
    assert (proof.identical_tokens, proof.near_ties) == (0, 0)


def test_held_out_text_is_compared_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that goes wrong after the generated part is found on the text."""
    extend = StaticLayer.extend

    def lie_late(self: Any, k: torch.Tensor, v: torch.Tensor) -> Any:
        return extend(self, k, v + (self.length >= 20))

    monkeypatch.setattr(StaticLayer, "extend", lie_late)
    assert proved(tiny_model(), n=2).max_logit_diff > 1e-3


def test_a_benchmark_that_is_stopped_ends_soon() -> None:
    asked = [0]

    def is_stopping() -> bool:
        asked[0] += 1
        return True

    list(benchmark(tiny_model(), TOKENIZER, TEXT, BENCH, CPU, is_stopping=is_stopping))
    assert asked[0] < 2 * BENCH.n, "not even one repetition is made to its end"
