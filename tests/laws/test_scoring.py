"""Every token of a text is scored once, and the units agree with each other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from core.config import CacheConfig
from core.events import Evaluation, EvaluationProgressed
from core.infer.engines.torch_engine import TorchEngine
from core.measure import evaluate as evaluate_module
from core.measure.evaluate import evaluate, windows
from core.model.transformer import Transformer
from core.testing import CPU, byte_tokenizer, tiny_model
from core.text.tokenizer import CharTokenizer, Tokenizer


def score(model: Transformer, tokenizer: Tokenizer, ids: Any, **protocol: Any) -> Evaluation:
    scoring = evaluate(model, tokenizer, np.asarray(ids), device=CPU, **protocol)
    while True:
        try:
            next(scoring)
        except StopIteration as end:
            return end.value


@given(n=st.integers(0, 200), context=st.integers(1, 40), data=st.data())
def test_each_token_is_scored_exactly_once(n: int, context: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(1, context))
    scored: list[int] = []
    for window in windows(n, context, stride):
        assert window.begin <= window.score_from < window.end <= n - 1
        assert window.end - window.begin <= context
        scored += range(window.score_from, window.end)
    assert scored == list(range(n - 1))


@given(n=st.integers(2, 200), context=st.integers(2, 40), data=st.data())
def test_a_smaller_stride_gives_every_later_token_more_to_look_back_at(
    n: int, context: int, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(1, context - 1))
    for window in list(windows(n, context, stride))[1:]:
        assert window.score_from - window.begin >= context - stride


def test_without_overlap_windows_stand_side_by_side() -> None:
    found = [(w.begin, w.score_from, w.end) for w in windows(23, 8, 8)]
    assert found == [(0, 0, 8), (8, 8, 16), (16, 16, 22)]


@pytest.mark.parametrize("stride", [1, 3, 8])
@pytest.mark.parametrize("n", [2, 9, 16, 17, 50])
def test_the_loss_is_the_mean_over_tokens_and_not_over_windows(n: int, stride: int) -> None:
    """Against one forward pass a token, each over its own window."""
    model = tiny_model(vocab_size=256)
    ids = np.random.default_rng(n).integers(0, 256, n)
    losses, ranks = [], []
    with torch.no_grad():
        for window in windows(n, 8, stride):
            for target in range(window.score_from + 1, window.end + 1):
                logits_V = model(torch.from_numpy(ids[None, window.begin : target]))[0, -1]
                losses.append(F.cross_entropy(logits_V, torch.tensor(ids[target])).item())
                ranks.append(int((logits_V > logits_V[ids[target]]).sum()))

    found = score(model, byte_tokenizer(), ids, context=8, stride=stride)

    assert found.tokens == found.bytes == n - 1 == len(losses)
    assert found.loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert found.top1 == pytest.approx(np.mean(np.array(ranks) < 1))
    assert found.top5 == pytest.approx(np.mean(np.array(ranks) < 5))
    assert (found.context, found.stride) == (8, stride)


def test_within_one_window_the_loss_is_pytorchs_own() -> None:
    model, ids = tiny_model(vocab_size=256), np.arange(20) * 11
    with torch.no_grad():
        logits = model(torch.from_numpy(ids[None, :-1]))[0]
    expected = F.cross_entropy(logits, torch.from_numpy(ids[1:])).item()
    found = score(model, byte_tokenizer(), ids, context=24, stride=24)
    assert found.loss == pytest.approx(expected, rel=1e-6)


@given(text=st.text(min_size=3, max_size=80).filter(lambda t: t.isprintable()))
def test_two_to_the_bits_per_byte_is_the_perplexity_of_bytes(text: str) -> None:
    ids = byte_tokenizer().encode(text)
    found = score(tiny_model(vocab_size=256), byte_tokenizer(), ids, context=16, stride=16)
    assert 2**found.bits_per_byte == pytest.approx(found.perplexity, rel=1e-9)
    assert found.perplexity == pytest.approx(math.exp(found.loss), rel=1e-12)


def test_bits_per_byte_counts_the_bytes_of_the_scored_tokens() -> None:
    text = "aé日aé日aé日"
    tokenizer = CharTokenizer(text)
    ids = tokenizer.encode(text)
    found = score(tiny_model(vocab_size=3), tokenizer, ids, context=16, stride=16)
    assert found.tokens == 8
    assert found.bytes == len(text.encode()) - 1
    assert found.bits_per_byte == pytest.approx(found.loss / math.log(2) * 8 / found.bytes)


def test_a_model_that_knows_nothing_needs_the_log_of_the_vocabulary() -> None:
    model = tiny_model(vocab_size=256)
    with torch.no_grad():
        model.head.weight.zero_()
    found = score(model, byte_tokenizer(), np.arange(256), context=16, stride=16)
    assert found.loss == pytest.approx(math.log(256), rel=1e-6)
    assert found.bits_per_byte == pytest.approx(8, rel=1e-6)
    # All logits tie: as argmax does, the lowest id comes first.
    assert found.top1 == 0.0
    assert found.top5 == pytest.approx(4 / 255)


def test_the_size_of_a_batch_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model, ids = tiny_model(vocab_size=256), np.random.default_rng(0).integers(0, 256, 200)
    together = score(model, byte_tokenizer(), ids, context=16, stride=5)
    monkeypatch.setattr(evaluate_module, "LOGITS_PER_BATCH", 1)
    alone = score(model, byte_tokenizer(), ids, context=16, stride=5)
    assert alone.loss == pytest.approx(together.loss, rel=1e-6)
    assert (alone.top1, alone.top5) == (together.top1, together.top5)
    assert alone.loss_ci95 == pytest.approx(together.loss_ci95, rel=1e-4)


def test_progress_counts_up_to_all_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate_module, "LOGITS_PER_BATCH", 1)
    scoring = evaluate(
        tiny_model(vocab_size=256), byte_tokenizer(), np.arange(30), context=8, stride=8, device=CPU
    )
    events = list(scoring)
    assert all(isinstance(e, EvaluationProgressed) for e in events)
    assert [e.tokens for e in events] == [8, 16, 24, 29]
    assert {e.of for e in events} == {29}


def test_the_interval_holds_the_loss_and_dropout_is_off() -> None:
    model = tiny_model(vocab_size=256, dropout=0.5).train()
    ids = np.random.default_rng(0).integers(0, 256, 300)
    first, second = (score(model, byte_tokenizer(), ids, context=16, stride=16) for _ in "ab")
    assert first == second
    low, high = first.loss_ci95
    assert low < first.loss < high


@pytest.mark.parametrize("kind", ["window", "sinks", "int8"])
@pytest.mark.parametrize("stride", [16, 5])
def test_what_a_cache_costs_is_what_decoding_through_it_costs(kind: str, stride: int) -> None:
    """Against engines that are fed one token after another."""
    model, ids = tiny_model(vocab_size=256), np.random.default_rng(0).integers(0, 256, 60)
    losses: dict[str, list[float]] = {"none": [], kind: []}
    for window in windows(len(ids), 16, stride):
        for cache, told in losses.items():
            engine = TorchEngine(model, CPU, cache=cache, window=5, sinks=2)
            for i in range(window.begin, window.end):
                logprobs_V = engine.feed([[int(ids[i])]])[0].log_softmax(0)
                if i >= window.score_from:
                    told.append(-logprobs_V[ids[i + 1]].item())
    costs = np.array(losses[kind]) - np.array(losses["none"])

    through = CacheConfig(cache=kind, window=5, sinks=2)
    found = score(model, byte_tokenizer(), ids, context=16, stride=stride, cache=through)

    label = {"window": "window 5", "sinks": "sinks 2 + 5", "int8": "int8"}[kind]
    assert (found.cache, found.tokens) == (label, 59)
    assert found.loss == pytest.approx(np.mean(losses[kind]), rel=1e-5)
    assert found.cache_cost == pytest.approx(costs.mean(), abs=1e-6)
    assert np.abs(costs).max() > 1e-4, "or the test says nothing"
    assert found.cache_cost_ci95 is not None
    low, high = found.cache_cost_ci95
    assert low < costs.mean() < high
    assert high - low < found.loss_ci95[1] - found.loss_ci95[0], "pairs are what they are for"


def test_an_exact_cache_costs_nothing_and_no_cache_has_no_cost() -> None:
    model, ids = tiny_model(vocab_size=256), np.random.default_rng(0).integers(0, 256, 60)
    how: dict[str, Any] = {"context": 16, "stride": 16}
    plain = score(model, byte_tokenizer(), ids, **how)
    exact = score(model, byte_tokenizer(), ids, **how, cache=CacheConfig(cache="static"))
    assert (plain.cache, plain.cache_cost, plain.cache_cost_ci95) == ("none", None, None)
    assert exact.cache_cost == 0
    assert exact.loss == plain.loss
