"""The fast engine against the model as PyTorch computes it, over whatever a config can say."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config import ModelConfig
from core.device import Device
from core.errors import ConfigError
from core.infer.decoder import Decoder
from core.infer.engines.buffers import ROWS
from core.infer.engines.engine import Engine
from core.infer.engines.fast import FastEngine
from core.infer.engines.pages import PAGE_BYTES, want_large_pages
from core.infer.engines.program import laid_out
from core.infer.engines.torch_engine import TorchEngine
from core.model.packed import pack_nearest
from tests.core.fast_models import TINY, assert_near, noisy

CPU = Device("cpu", "float32", 1)
FAST = ["fast 1", "fast 2"]


@st.composite
def configs(draw: st.DrawFn) -> ModelConfig:
    kv_heads = draw(st.sampled_from([1, 2, 3, 4]))
    place = draw(st.sampled_from(["pre", "post"]))
    positions = draw(st.sampled_from(["rope", "sinusoidal", "learned", "none"]))
    return ModelConfig(
        vocab_size=draw(st.sampled_from([1, 5, 33, 130])),
        max_seq_len=draw(st.sampled_from([9, 40, 64])),
        d_model=draw(st.sampled_from([6, 20, 32, 50])),
        n_layers=draw(st.integers(1, 3)),
        n_heads=kv_heads * draw(st.integers(1, 3)),
        n_kv_heads=kv_heads,
        d_head=draw(st.sampled_from([2, 6, 8, 12, 36, 40])),
        d_ff=draw(st.sampled_from([3, 24, 50])),
        positions=positions,
        rope_dims=draw(st.sampled_from([0, 2])),
        norm=draw(st.sampled_from(["layernorm", "rmsnorm"])),
        norm_place=place,
        parallel=place == "pre" and draw(st.booleans()),
        activation=draw(st.sampled_from(["relu", "gelu", "gelu_tanh", "relu2", "swiglu"])),
        qk_norm=draw(st.booleans()),
        tied_head=draw(st.booleans()),
        bias=draw(st.booleans()),
        logit_softcap=draw(st.sampled_from([0.0, 3.0])),
        ngram_buckets=draw(st.sampled_from([0, 0, 7])),
    )


@given(configs(), st.integers(1, 3), st.data())
@settings(max_examples=60)
def test_any_config_in_any_portions_gives_the_logits_of_the_model(
    config: ModelConfig, n_threads: int, data: st.DataObject
) -> None:
    model = noisy(config)
    plain, fast = TorchEngine(model, CPU), FastEngine(model, n_threads=n_threads)
    ids = st.integers(0, config.vocab_size - 1)
    for _ in range(4):
        room = config.max_seq_len - plain.length
        if room == 0:
            break
        n = data.draw(st.integers(1, min(room, ROWS + 8)))
        portion = [data.draw(st.lists(ids, min_size=n, max_size=n))]
        assert_near(fast.feed(portion), plain.feed(portion))
        length = data.draw(st.integers(0, plain.length))
        plain.rewind(length)
        fast.rewind(length)
        assert fast.length == length
        assert fast.cache_bytes == plain.cache_bytes


@pytest.mark.parametrize("ngram_buckets", [0, 11])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_writes_the_tokens_of_the_model(n_threads: int, ngram_buckets: int) -> None:
    model = noisy(replace(TINY, ngram_buckets=ngram_buckets))
    plain, fast = TorchEngine(model, CPU), FastEngine(model, n_threads=n_threads)
    for engine in (plain, fast):
        engine.feed([[3, 1, 4, 1, 5]])
    assert fast.write(9, 20) == plain.write(9, 20)
    assert fast.length == plain.length == 25
    assert fast.write(2, 0) == []


@pytest.mark.parametrize("ngram_buckets", [0, 11])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_many_rows_go_on_from_one(n_threads: int, ngram_buckets: int) -> None:
    model = noisy(replace(TINY, ngram_buckets=ngram_buckets))
    plain, fast = TorchEngine(model, CPU), FastEngine(model, n_threads=n_threads)
    n_rows = ROWS + 3
    for engine in (plain, fast):
        engine.feed([[3, 1, 4]])
        engine.select([0] * n_rows)
    first = [[row % 50] for row in range(n_rows)]
    assert_near(fast.feed(first), plain.feed(first))
    kept = [5, 0, ROWS + 2]
    for engine in (plain, fast):
        engine.select(kept)
    two = [[1, 2], [3, 4], [5, 6]]
    assert_near(fast.feed(two), plain.feed(two))
    assert fast.cache_bytes == plain.cache_bytes


def test_a_decoder_moves_its_window() -> None:
    model = noisy(replace(TINY, max_seq_len=12))
    plain, fast = (Decoder(engine) for engine in (TorchEngine(model, CPU), FastEngine(model)))
    assert fast.write(7, 40) == plain.write(7, 40)


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize(("bits", "group"), [(8, 0), (8, 32), (4, 32), (4, 64)])
def test_decodes_from_packed_weights(bits: int, group: int, n_threads: int) -> None:
    config = replace(TINY, d_model=64, d_ff=128, n_heads=2, bias=True, activation="swiglu")
    model = noisy(config)
    for name, weight in model.named_parameters():
        if name.endswith("proj.weight") or name == "head.weight":
            model.packed[name] = pack_nearest(weight, bits, group)
            weight.data = model.packed[name].dequantize()
    plain, fast = TorchEngine(model, CPU), FastEngine(model, n_threads=n_threads)
    portion = [[3, 1, 4, 1, 5, 9, 2]]
    tolerance = 1e-3 if bits == 8 else 6e-2  # activations are rounded, too
    assert_near(fast.feed(portion), plain.feed(portion), tolerance)
    assert_near(fast.feed([[6]]), plain.feed([[6]]), tolerance)
    for weight in model.parameters():  # it reads the packed ones
        if weight.dim() == 2 and weight is not model.embedding.weight:
            weight.data.zero_()
    fast.rewind(7)
    assert_near(FastEngine(model).feed([[*portion[0], 6]]), fast.feed([[6]]), tolerance)


def test_weights_are_read_where_they_are() -> None:
    model = noisy(TINY)
    fast = FastEngine(model)
    before = fast.feed([[1, 2]])
    with torch.no_grad():
        model.head.weight.mul_(2)
    fast.rewind(0)
    assert_near(fast.feed([[1, 2]]), 2 * before)


def test_what_does_not_fit_or_is_no_token_is_refused() -> None:
    fast = FastEngine(noisy(TINY))
    with pytest.raises(ConfigError, match=re.escape("41 tokens do not fit into max_seq_len=40.")):
        fast.feed([[1] * 41])
    with pytest.raises(ConfigError, match=re.escape("41 tokens do not fit into max_seq_len=40.")):
        fast.write(1, 41)
    for token in (-1, 50):
        with pytest.raises(IndexError):
            fast.feed([[token]])
    assert fast.length == 0
    with pytest.raises(ConfigError, match=re.escape("Cannot rewind to 1: the cache holds 0.")):
        fast.rewind(1)


def test_as_many_tokens_for_each_sequence_and_no_others() -> None:
    fast = FastEngine(noisy(TINY))
    for ids in ([], [[]], [[1], [2]]):
        said = (
            f"{[len(i) for i in ids]} tokens are not as many, one or more, for each of 1 sequences"
        )
        with pytest.raises(ValueError, match=re.escape(said)):
            fast.feed(ids)
    fast.feed([[1]])
    fast.select([0, 0])
    for ids in ([[1]], [[1, 2], [3]], [[1], [2], [3]]):
        said = (
            f"{[len(i) for i in ids]} tokens are not as many, one or more, for each of 2 sequences"
        )
        with pytest.raises(ValueError, match=re.escape(said)):
            fast.feed(ids)
    with pytest.raises(ValueError, match=re.escape("for each of 2 sequences")):
        fast.write(1, 3)
    assert fast.length == 1


def test_only_what_is_multiplied_is_laid_out() -> None:
    for tied, names in ((False, {"head.weight"}), (True, {"embedding.weight"})):
        model = noisy(replace(TINY, tied_head=tied))
        for name in ("embedding.weight", "head.weight"):
            if not tied or name == "embedding.weight":
                model.packed[name] = pack_nearest(model.get_parameter(name), 8, 0)
        assert set(laid_out(model)) == {id(model.get_parameter(name)) for name in names}


def test_large_pages_leave_the_numbers_where_they_are() -> None:
    weight = torch.randn(3 * PAGE_BYTES // 4, generator=torch.Generator().manual_seed(0))
    before, address = weight.clone(), weight.data_ptr()
    assert 0 <= want_large_pages([weight]) <= 4
    assert torch.equal(weight, before)
    assert weight.data_ptr() == address


NANS = [
    "embedding.weight",
    "blocks.0.feed_forward.up_proj.weight",
    *(f"blocks.1.attention.{part}_proj.weight" for part in "qkv"),
]


@pytest.mark.parametrize("activation", ["relu", "relu2", "gelu", "gelu_tanh", "swiglu"])
@pytest.mark.parametrize("name", NANS)
def test_not_a_number_stays_one(name: str, activation: str) -> None:
    model = noisy(replace(TINY, activation=activation, logit_softcap=3.0))
    with torch.no_grad():
        model.get_parameter(name)[3] = np.nan
    engines: list[Engine] = [FastEngine(model)]
    if "q_proj" not in name and "k_proj" not in name:  # PyTorch's attention may hide some scores
        engines.append(TorchEngine(model, CPU))
    for engine in engines:
        assert not bool(torch.isfinite(engine.feed([[3, 1]])).any())


def test_an_odd_not_a_number_in_a_key_of_the_past_is_seen() -> None:
    model = noisy(TINY)
    with torch.no_grad():
        row = model.embedding.weight[3].view(torch.int32)
        row.fill_(0x7FC001FF)  # in the bits that exp shifts into the exponent
    fast = FastEngine(model)
    fast.feed([[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]])
    assert bool(torch.isnan(fast.feed([[4]])).all())
