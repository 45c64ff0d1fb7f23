"""Sequences that are fed: rewound, multiplied, cut down; cached as uncached."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.infer.decoder import Decoder
from core.infer.engines.torch_engine import TorchEngine
from core.testing import CPU, tiny_model

MODEL = tiny_model(vocab_size=31, max_seq_len=16)
TOKEN = st.integers(0, 30)


def decoder_of(cache: str) -> Decoder:
    return Decoder(TorchEngine(MODEL, CPU, cache=cache))


def fresh(ids: Sequence[int]) -> torch.Tensor:
    """Logits after `ids`, by a decoder that saw nothing else."""
    return decoder_of("none").feed(ids)


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 100), st.lists(TOKEN, min_size=1, max_size=12)),
        min_size=1,
        max_size=6,
    ),
    cache=st.sampled_from(["static", "none"]),
)
@settings(max_examples=60)
def test_what_was_rewound_leaves_no_trace(steps: list[tuple[int, list[int]]], cache: str) -> None:
    """Also where the window has moved in between."""
    decoder, ids = decoder_of(cache), []
    for share, portion in steps:
        length = share * len(ids) // 100
        decoder.rewind(length)
        ids = ids[:length] + portion
        torch.testing.assert_close(decoder.feed(portion), fresh(ids), rtol=1e-4, atol=1e-4)
        assert list(decoder.rows[0]) == ids
        assert decoder.length == len(ids)


def test_a_window_that_is_left_and_entered_again_is_read_anew() -> None:
    """The first token of the window is 9 with 18 tokens and with 20, and 0 with 15."""
    decoder = decoder_of("static")
    decoder.feed(range(20))
    decoder.rewind(15)
    ids = [*range(15), 30, 29, 28]
    torch.testing.assert_close(decoder.feed(ids[15:]), fresh(ids), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("cache", ["static", "none"])
def test_rows_that_share_a_beginning_go_their_own_ways(cache: str) -> None:
    decoder = decoder_of(cache)
    decoder.feed([1, 2, 3])
    decoder.select([0, 0, 0])
    rows = [[1, 2, 3] for _ in range(3)]
    for step in range(20):  # past the end of the context
        new = [(7 * row + step) % 31 for row in range(len(rows))]
        logits_BV = decoder.feed_rows([[token] for token in new])
        for row, token in zip(rows, new, strict=True):
            row.append(token)
        for row, logits_V in zip(rows, logits_BV, strict=True):
            torch.testing.assert_close(logits_V, fresh(row), rtol=1e-4, atol=1e-4)
        if step == 4:
            decoder.select([2, 0])
            rows = [rows[2], rows[0]]
    assert [list(row) for row in decoder.rows] == rows


def test_earlier_tokens_are_not_read_again() -> None:
    decoder = decoder_of("static")
    read: list[int] = []
    hook = MODEL.embedding.register_forward_hook(
        lambda _module, inputs, _out: read.append(inputs[0].size(1))
    )
    try:
        decoder.feed([1, 2, 3])
        decoder.rewind(2)
        decoder.feed([4])
        decoder.feed([5, 6])
    finally:
        hook.remove()
    assert read == [3, 1, 2]


def test_the_cache_grows_with_its_rows() -> None:
    decoder = decoder_of("static")
    decoder.feed([1, 2])
    alone = decoder.cache_bytes
    decoder.select([0, 0, 0])
    assert decoder.cache_bytes == 3 * alone
    decoder.select([1])
    assert decoder.cache_bytes == alone
