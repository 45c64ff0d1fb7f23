"""Writing text: what is streamed, what is told of each token, when it ends."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.config import SamplingConfig
from core.errors import TokenizerError
from core.events import GenerationFinished, PromptRead, TokenGenerated
from core.infer import generate as generate_module
from core.infer.decoder import Decoder
from core.infer.generate import generate
from core.model.transformer import Transformer
from core.testing import CPU, ScriptedModel, byte_tokenizer, tiny_model
from core.text.tokenizer import CharTokenizer

BYTES = byte_tokenizer()


def write(model: Transformer, prompt: Sequence[int], **sampling: Any) -> list[Any]:
    return list(generate(model, BYTES, prompt, SamplingConfig(**sampling), CPU))


def scripted(text: bytes, prompt: bytes = b">") -> ScriptedModel:
    """A model that writes `text` after `prompt`."""
    return ScriptedModel([*prompt, *text], vocab_size=256)


def test_events_come_in_order() -> None:
    read, *written, finished = write(scripted(b"hello"), b">", max_new_tokens=5, temperature=0)
    assert isinstance(read, PromptRead)
    assert (read.prompt, read.prompt_tokens, read.context) == (">", 1, 256)
    assert all(isinstance(e, TokenGenerated) for e in written)
    assert [e.index for e in written] == [1, 2, 3, 4, 5]
    assert isinstance(finished, GenerationFinished)
    result = finished.result
    assert (result.text, result.prompt_tokens, result.stop) == ("hello", 1, "length")
    assert result.tokens == tuple(e.token for e in written)
    assert result.ttft_ms == read.prefill_ms > 0
    assert result.tokens_per_s == written[-1].tokens_per_s > 0
    assert written[0].tokens_per_s == 0


@pytest.mark.parametrize("cache", [True, False])
def test_a_character_of_several_tokens_appears_with_its_last(cache: bool) -> None:
    text = "aé日😀b"
    model = scripted(text.encode())
    _, *written, finished = write(model, b">", max_new_tokens=11, temperature=0, cache=cache)
    shown = [e.token.text for e in written]
    assert shown == ["a", "", "é", "", "", "日", "", "", "", "😀", "b"]
    assert finished.result.text == text


def test_bytes_that_are_no_text_are_shown_as_such() -> None:
    _, *written, finished = write(scripted(b"a\xff\xe6b"), b">", max_new_tokens=4, temperature=0)
    assert [e.token.text for e in written] == ["a", "�", "", "�b"]
    assert finished.result.text == "a��b"


def test_a_text_that_ends_inside_a_character_says_so() -> None:
    _, *written, finished = write(scripted("a日".encode()), b">", max_new_tokens=3, temperature=0)
    assert finished.result.text == "a�"
    assert "".join(e.token.text for e in written) == finished.result.text


@given(data=st.binary(min_size=1, max_size=20))
def test_the_stream_is_the_decoded_whole(data: bytes) -> None:
    *_, finished = write(scripted(data), b">", max_new_tokens=len(data), temperature=0)
    assert finished.result.text == data.decode("utf-8", "replace")
    assert bytes(t.id for t in finished.result.tokens) == data


def test_stopping_ends_after_the_token_at_hand_and_keeps_the_text() -> None:
    told = itertools.count(1)
    events = list(
        generate(
            scripted("héllo".encode()),
            BYTES,
            b">",
            SamplingConfig(temperature=0),
            CPU,
            is_stopping=lambda: next(told) >= 2,
        )
    )
    assert events[-1].result.stop == "stopped"
    assert [t.text for t in events[-1].result.tokens] == ["h", ""]
    assert events[-1].result.text == "h�"


def test_probabilities_are_the_models_own_whatever_the_sampler_does() -> None:
    model = tiny_model(vocab_size=256)
    *_, finished = write(model, [1, 2, 3], max_new_tokens=6, temperature=3.0, top_k=40, seed=4)
    decoder, portion = Decoder(model, CPU, use_cache=False), [1, 2, 3]
    for token in finished.result.tokens:
        logprob_V = decoder.feed(portion).log_softmax(0)
        assert token.logprob == pytest.approx(logprob_V[token.id].item(), abs=1e-4)
        best = sorted(range(256), key=lambda i: -logprob_V[i].item())[:5]
        assert [t.id for t in token.top] == best
        assert [t.logprob for t in token.top] == pytest.approx(logprob_V[best].tolist(), abs=1e-4)
        assert [t.text for t in token.top] == [BYTES.decode([i]) for i in best]
        portion = [token.id]


def test_a_small_vocabulary_has_fewer_alternatives() -> None:
    tokenizer = CharTokenizer("abc")
    config = SamplingConfig(max_new_tokens=3)
    *_, finished = generate(tiny_model(vocab_size=3), tokenizer, [0], config, CPU)
    for token in finished.result.tokens:
        assert len(token.top) == 3
        assert sum(torch.tensor(t.logprob).exp() for t in token.top) == pytest.approx(1)


@pytest.mark.parametrize("cache", [True, False])
def test_the_seed_decides_the_text(cache: bool) -> None:
    model = tiny_model(vocab_size=256)

    def text(seed: int) -> str:
        *_, end = write(model, b"ab", max_new_tokens=40, temperature=1, seed=seed, cache=cache)
        return end.result.text

    assert text(1) == text(1) != text(2)


def test_the_cache_does_not_change_the_text_past_the_end_of_the_context() -> None:
    model = tiny_model(vocab_size=256, max_seq_len=16)
    with_cache, without = (
        write(model, b"abcdef", max_new_tokens=60, temperature=0.8, seed=3, cache=cache)[-1].result
        for cache in (True, False)
    )
    assert [t.id for t in with_cache.tokens] == [t.id for t in without.tokens]


def test_a_prompt_longer_than_the_context_is_seen_through_its_end() -> None:
    model = tiny_model(vocab_size=256, max_seq_len=16)
    long, short = (write(model, p, max_new_tokens=1)[-1] for p in (bytes(40), bytes(8)))
    read, *_ = write(model, bytes(40), max_new_tokens=1)
    assert read.prompt_tokens == 40
    assert len(long.result.tokens) == len(short.result.tokens) == 1


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(TokenizerError, match="The prompt has no tokens") as caught:
        write(tiny_model(vocab_size=256), [])
    assert caught.value.hint == "Give at least one character."


def test_the_listeners_time_is_not_the_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the clock takes a second; a listener that takes 1000 s counts nothing."""
    now = [0.0]

    def tick() -> float:
        now[0] += 1
        return now[0]

    monkeypatch.setattr(generate_module.time, "perf_counter", tick)
    config = SamplingConfig(max_new_tokens=4, temperature=0)
    events = []
    for event in generate(scripted(b"hello"), BYTES, b">", config, CPU):
        events.append(event)
        now[0] += 1000
    assert events[-1].result.ttft_ms == 1000
    assert events[-1].result.tokens_per_s == 1


def test_no_mode_leaks_to_the_listener() -> None:
    events = generate(tiny_model(vocab_size=256), BYTES, b"a", SamplingConfig(), CPU)
    for _ in itertools.islice(events, 3):
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
    events.close()


def test_the_scripted_model_says_its_script_with_and_without_cache() -> None:
    for cache in (True, False):
        *_, finished = write(scripted(b"abc"), b">", max_new_tokens=5, temperature=0, cache=cache)
        assert finished.result.text == "abccc"
