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
from core.events import Generation, GenerationBatch, GenerationFinished, PromptRead, TokenGenerated
from core.infer import generate as generate_module
from core.infer.decoder import Decoder
from core.infer.engines.torch_engine import TorchEngine
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


@pytest.mark.parametrize("cache", ["static", "none"])
def test_a_character_of_several_tokens_appears_with_its_last(cache: str) -> None:
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
    decoder, portion = Decoder(TorchEngine(model, CPU, cache="none")), [1, 2, 3]
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


@pytest.mark.parametrize("cache", ["static", "none"])
def test_the_seed_decides_the_text(cache: str) -> None:
    model = tiny_model(vocab_size=256)

    def text(seed: int) -> str:
        *_, end = write(model, b"ab", max_new_tokens=40, temperature=1, seed=seed, cache=cache)
        return end.result.text

    assert text(1) == text(1) != text(2)


def test_the_cache_does_not_change_the_text_past_the_end_of_the_context() -> None:
    model = tiny_model(vocab_size=256, max_seq_len=16)
    with_cache, without = (
        write(model, b"abcdef", max_new_tokens=60, temperature=0.8, seed=3, cache=cache)[-1].result
        for cache in ("static", "none")
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
    for cache in ("static", "none"):
        *_, finished = write(scripted(b"abc"), b">", max_new_tokens=5, temperature=0, cache=cache)
        assert finished.result.text == "abccc"


# Stop strings.


@pytest.mark.parametrize("cache", ["static", "none"])
def test_a_stop_string_ends_the_text_before_itself(cache: str) -> None:
    model = scripted(b"one\ntwo END three")
    stop = ("END", "three")
    _, *written, finished = write(model, b">", temperature=0, stop=stop, cache=cache)
    result = finished.result
    assert (result.text, result.stop, result.stop_string) == ("one\ntwo ", "stop string", "END")
    assert "".join(e.token.text for e in written) == result.text
    assert bytes(t.id for t in result.tokens) == b"one\ntwo END"


def test_what_only_began_like_a_stop_string_is_shown_at_the_end() -> None:
    _, *written, finished = write(
        scripted(b"a END"), b">", max_new_tokens=4, temperature=0, stop=(" ENDE",)
    )
    assert [e.token.text for e in written] == ["a", "", "", " EN"]
    result = finished.result
    assert (result.text, result.stop, result.stop_string) == ("a EN", "length", "")


def test_a_stopped_text_keeps_what_was_held_back() -> None:
    told = itertools.count(1)
    *_, last = generate(
        scripted(b"a END"),
        BYTES,
        b">",
        SamplingConfig(temperature=0, stop=("ENDE",)),
        CPU,
        is_stopping=lambda: next(told) >= 4,
    )
    assert (last.result.text, last.result.stop) == ("a EN", "stopped")
    assert [t.text for t in last.result.tokens] == ["a", " ", "", ""]


def test_a_stop_string_in_the_prompt_is_no_reason_to_stop() -> None:
    *_, finished = write(scripted(b"b\n", b"a\n"), b"a\n", temperature=0, stop=("\n",))
    assert (finished.result.text, finished.result.stop_string) == ("b", "\n")


def test_the_last_token_may_bring_the_stop_string() -> None:
    *_, finished = write(scripted(b"ab"), b">", max_new_tokens=2, temperature=0, stop=("b",))
    assert (finished.result.text, finished.result.stop) == ("a", "stop string")


# Penalties.


def test_penalties_see_the_prompt_and_the_text() -> None:
    """Without them the script is repeated; with them no token comes twice."""
    model, prompt = tiny_model(vocab_size=256), b"abc"
    config = {"max_new_tokens": 40, "temperature": 0.0, "presence_penalty": 100.0}
    *_, finished = write(model, prompt, **config)
    ids = [*prompt, *(t.id for t in finished.result.tokens)]
    assert len(set(ids)) == len(ids) == 43
    *_, windowed = write(model, prompt, **config, penalty_window=1)
    ids = [*prompt, *(t.id for t in windowed.result.tokens)]
    assert all(a != b for a, b in itertools.pairwise(ids[2:]))
    assert len(set(ids)) < 43


# Several continuations.


def alone(model: Transformer, prompt: Sequence[int], seed: int, **sampling: Any) -> Generation:
    return write(model, prompt, seed=seed, **sampling)[-1].result


BATCHES: dict[str, dict[str, Any]] = {
    "plain": {},
    "past the end of the context": {"max_new_tokens": 45},
    "a stop string": {"stop": ("e", "Q"), "max_new_tokens": 60},
    "penalties": {"repetition_penalty": 1.3, "frequency_penalty": 0.4, "penalty_window": 9},
    "greedy": {"temperature": 0.0},
    "truncated": {"top_k": 9, "top_p": 0.9, "min_p": 0.01, "temperature": 1.4},
}


@pytest.mark.parametrize("cache", ["static", "none"])
@pytest.mark.parametrize("name", BATCHES)
def test_each_continuation_is_the_text_of_its_own_seed(name: str, cache: str) -> None:
    model = tiny_model(vocab_size=128, max_seq_len=24)
    sampling = {"max_new_tokens": 12, "temperature": 1.0, "cache": cache} | BATCHES[name]
    *events, last = write(model, b"abcd", seed=7, count=4, **sampling)
    assert isinstance(last.result, GenerationBatch)
    for row, found in enumerate(last.continuations):
        wanted = alone(model, b"abcd", seed=7 + row, **sampling)
        assert [t.id for t in found.tokens] == [t.id for t in wanted.tokens]
        assert (found.text, found.stop, found.stop_string) == (
            wanted.text,
            wanted.stop,
            wanted.stop_string,
        )
        told = [e for e in events if isinstance(e, TokenGenerated) and e.row == row]
        assert tuple(e.token for e in told) == found.tokens
        assert [e.index for e in told] == list(range(1, len(told) + 1))
    if "stop" in sampling:
        assert len({len(one.tokens) for one in last.continuations}) > 1


def test_several_continuations_share_one_prefill_and_one_step() -> None:
    model, read = tiny_model(vocab_size=256), []
    model.embedding.register_forward_hook(
        lambda _module, inputs, _out: read.append(tuple(inputs[0].shape))
    )
    write(model, b"abcdef", count=3, max_new_tokens=4)
    assert read == [(1, 6), (3, 1), (3, 1), (3, 1)]


def test_a_continuation_that_has_ended_is_not_computed_any_more() -> None:
    model, read = tiny_model(vocab_size=128), []
    model.embedding.register_forward_hook(lambda _m, inputs, _o: read.append(len(inputs[0])))
    *_, last = write(model, b"ab", count=4, seed=7, temperature=1.0, stop=("e", "Q"))
    lengths = [len(one.tokens) for one in last.continuations]
    assert read[1:] == [sum(n > step for n in lengths) for step in range(1, max(lengths))]


def test_the_speed_of_a_batch_is_that_of_all_its_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step takes a second by this clock, and gives three tokens."""
    now = itertools.count()
    monkeypatch.setattr(generate_module.time, "perf_counter", lambda: float(next(now)))
    *written, last = write(scripted(b"hello"), b">", count=3, max_new_tokens=5, temperature=0)
    assert (last.result.tokens_per_s, last.result.ttft_ms) == (3, 1000)
    assert [one.tokens_per_s for one in last.continuations] == [1, 1, 1]
    assert written[-1].tokens_per_s == 3
    assert last.result.prompt_tokens == 1


def test_stopping_ends_all_of_them() -> None:
    told = itertools.count(1)
    *_, last = generate(
        scripted(b"hello"),
        BYTES,
        b">",
        SamplingConfig(temperature=0, count=2),
        CPU,
        is_stopping=lambda: next(told) >= 2,
    )
    assert [(one.text, one.stop) for one in last.continuations] == [("he", "stopped")] * 2


@pytest.mark.parametrize("stop", [(), ("ab#",)])
def test_a_text_ends_where_the_model_has_said_all(stop: tuple[str, ...]) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.end_ids = (ord("#"),)
    sampling = SamplingConfig(max_new_tokens=9, temperature=0, stop=stop)
    *_, last = generate(scripted(b"say ab#more"), tokenizer, b">", sampling, CPU)
    assert isinstance(last, GenerationFinished)
    result = last.continuations[0]
    assert (result.text, result.stop, result.stop_string) == ("say ab", "end of text", "")
    assert [token.text for token in result.tokens][-1] == ("" if not stop else "ab")
    assert result.tokens[-1].id == ord("#")
