"""The reference engine, and what decodes through it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.infer.decoder import Decoder
from core.infer.engines.choose import make_engine
from core.infer.engines.engine import Engine
from core.infer.engines.torch_engine import TorchEngine
from core.testing import CPU, tiny_model

MODEL = tiny_model(vocab_size=31, max_seq_len=16)
KINDS = ("static", "none")
each_cache = pytest.mark.parametrize("cache", KINDS)


def engine(cache: str) -> TorchEngine:
    return TorchEngine(MODEL, CPU, cache=cache)


def resumed(decoder: Decoder, ids: list[int]) -> torch.Tensor:
    """Logits after `ids`, of which the decoder may have read a beginning."""
    return decoder.feed(ids[decoder.go_back_to(ids) :])


def greedy(ids: list[int], n: int) -> list[int]:
    """One token after another, each from a decoder that saw nothing else."""
    written: list[int] = []
    for _ in range(n):
        logits_V = Decoder(engine("none")).feed([*ids, *written])
        written.append(int(logits_V.argmax()))
    return written


def test_the_reference_is_an_engine() -> None:
    found: Engine = engine("static")
    assert (found.name, found.cache, found.max_seq_len, found.note) == ("torch", "static", 16, "")


def test_a_wish_that_cannot_be_met_is_told() -> None:
    assert make_engine(MODEL, CPU, engine="torch").note == ""


@each_cache
def test_an_engine_writes_what_feeding_its_choices_gives(cache: str) -> None:
    one = engine(cache)
    first = int(one.feed([[1, 2, 3]]).argmax())
    assert one.write(first, 6) == greedy([1, 2, 3, first], 6)
    assert one.length == 9, "the last token is not fed"


@each_cache
@given(n=st.integers(1, 40), portions=st.lists(st.integers(1, 9), max_size=4))
@settings(max_examples=15)
def test_a_decoder_writes_past_the_end_of_the_context(
    cache: str, n: int, portions: list[int]
) -> None:
    decoder = Decoder(engine(cache))
    decoder.feed([1, 2, 3])
    token, written = 4, []
    for size in [*portions, n]:
        written += decoder.write(token, size)
        token = written[-1]
    assert written == greedy([1, 2, 3, 4], len(written))
    assert list(decoder.rows[0]) == [1, 2, 3, 4, *written[:-1]]


@each_cache
def test_an_engine_held_back_reads_what_is_missing(cache: str) -> None:
    """As a cache does that has let go of what it should go back to."""
    decoder = Decoder(engine(cache))
    decoder.feed([1, 2, 3])
    decoder.engine.rewind(0)
    assert decoder.write(4, 3) == greedy([1, 2, 3, 4], 3)


def test_a_prompt_is_resumed_where_it_differs() -> None:
    decoder = Decoder(engine("static"))
    read: list[int] = []
    hook = MODEL.embedding.register_forward_hook(
        lambda _module, inputs, _out: read.append(inputs[0].size(1))
    )
    try:
        for ids in ([1, 2, 3, 4], [1, 2, 3, 9, 8], [1, 2, 3, 9, 8], [1, 2], [5], list(range(20))):
            logits_V = resumed(decoder, ids)
            assert list(decoder.rows[0]) == ids
            n_read = read.copy()
            expected = Decoder(engine("none")).feed(ids)
            torch.testing.assert_close(logits_V, expected, rtol=1e-4, atol=1e-4)
            read[:] = n_read
    finally:
        hook.remove()
    assert read == [4, 2, 1, 1, 1, 11]


def test_a_prompt_is_resumed_from_the_row_that_shares_most() -> None:
    decoder = Decoder(engine("static"))
    decoder.feed([1, 2])
    decoder.select([0, 0])
    decoder.feed_rows([[3, 4], [5, 6]])
    assert decoder.go_back_to([1, 2, 5, 6, 7]) == 4
    logits_V = decoder.feed([7])
    expected = Decoder(engine("none")).feed([1, 2, 5, 6, 7])
    torch.testing.assert_close(logits_V, expected, rtol=1e-4, atol=1e-4)
    assert list(decoder.rows) == [[1, 2, 5, 6, 7]]
