"""What runs write: generations and conversations, and when they stop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from core import recipes
from core.config import RunConfig, SamplingConfig
from core.errors import RunError
from core.events import GenerationFinished, SetupProgressed, TokenGenerated
from tests.core.driven_runs import config as config
from tests.core.driven_runs import drive, train


def _after_setup(session: Any) -> list[Any]:
    return [event for event in drive(session) if not isinstance(event, SetupProgressed)]


def test_generation_continues_a_prompt_or_held_out_text(config: RunConfig) -> None:
    train(config)
    sampling = SamplingConfig(prompt="日 river", max_new_tokens=5)
    # The first engine of a machine is compiled, and tells so.
    read, *written, last = _after_setup(recipes.generation("tiny", sampling))
    assert (read.prompt, read.prompt_tokens) == ("日 river", 9)
    assert all(isinstance(e, TokenGenerated) for e in written)
    assert len(written) == 5
    assert isinstance(last, GenerationFinished)
    read, *_ = _after_setup(recipes.generation("tiny", replace(sampling, prompt="")))
    assert read.prompt == "The river number"


def test_a_way_to_write_is_proved_on_its_prompt(config: RunConfig) -> None:
    train(config)
    sampling = SamplingConfig(prompt="river", max_new_tokens=5)
    *_, exact = drive(recipes.proving("tiny", sampling))
    assert (exact.proof.identical_tokens, exact.proof.of) == (5, 5)
    assert exact.proof.passes
    assert exact.proof.is_exact
    *_, rounded = drive(recipes.proving("tiny", replace(sampling, bits="8")))
    assert not rounded.proof.is_exact
    assert rounded.proof.mean_kld > exact.proof.mean_kld


def test_a_prompt_may_be_any_bytes(config: RunConfig) -> None:
    """As the command line hands them over."""
    train(config)
    prompt = b"a\xff\xfeb".decode("utf-8", "surrogateescape")
    sampling = SamplingConfig(prompt=prompt, max_new_tokens=2)
    read = drive(recipes.generation("tiny", sampling))[1]
    assert read.prompt_tokens == 4


def test_generation_stops_when_asked(config: RunConfig) -> None:
    train(config)
    session = recipes.generation("tiny", SamplingConfig(max_new_tokens=10_000))
    events = []
    for event in session.run():
        events.append(event)
        if len(events) == 6:
            session.stop()
    assert events[-1].result.stop == "stopped"
    assert len(events) < 10


def test_a_conversation_is_held_with_a_run(config: RunConfig) -> None:
    train(config)
    conversation = recipes.conversing("tiny", SamplingConfig(max_new_tokens=5))
    assert (conversation.text, conversation.n_tokens, conversation.undo()) == ("", 0, False)
    conversation.reset()
    assert [e.stage for e in conversation.open()] == ["loading the run"]
    assert list(conversation.open()) == []
    *_, first = conversation.say("The river")
    assert conversation.text == "The river" + first.continuations[0].text
    conversation.sampling = replace(conversation.sampling, max_new_tokens=3)
    *_, second = conversation.say("and")
    assert len(second.continuations[0].tokens) == 3
    assert conversation.n_tokens == 9 + 5 + 4 + 3
    assert conversation.undo()
    assert conversation.n_tokens == 14
    conversation.reset()
    conversation.reseed(0)
    assert conversation.text == ""


def test_a_turn_stops_when_asked_and_the_next_one_goes_on(config: RunConfig) -> None:
    train(config)
    conversation = recipes.conversing("tiny", SamplingConfig(max_new_tokens=10_000))
    for event in conversation.say("The"):  # loads the run by itself
        if isinstance(event, TokenGenerated) and event.index == 4:
            conversation.stop()
    assert isinstance(event, GenerationFinished)
    assert event.continuations[0].stop == "stopped"
    assert conversation.n_tokens == 7
    conversation.sampling = SamplingConfig(max_new_tokens=2)
    *_, last = conversation.say("")
    assert len(last.continuations[0].tokens) == 2


def test_what_is_set_before_the_run_is_loaded_counts(config: RunConfig) -> None:
    train(config)
    one, other = (recipes.conversing("tiny", SamplingConfig(max_new_tokens=9)) for _ in range(2))
    one.reseed(5)
    *_, left = one.say("The")
    other.sampling = SamplingConfig(max_new_tokens=9, seed=5)
    *_, right = other.say("The")
    assert left.result.text == right.result.text


def test_a_conversation_with_no_run_is_refused_when_it_is_opened() -> None:
    conversation = recipes.conversing("nothing")
    with pytest.raises(RunError, match="There is no run 'nothing'"):
        list(conversation.open())


def test_a_generation_reads_only_what_the_one_before_did_not(config: RunConfig) -> None:
    train(config)
    kept = recipes.KeptRun()

    def write(
        prompt: str, kept: recipes.KeptRun | None = kept, run: str = "tiny", **how: Any
    ) -> Any:
        sampling = SamplingConfig(prompt=prompt, max_new_tokens=5, **how)
        _, read, *_, last = drive(recipes.generation(run, sampling, kept=kept))
        return read.shared_tokens, last.continuations[-1].text

    assert write("the old")[0] == 0
    assert write("the older")[0] == 7
    assert write("the o")[0] == 4, "the last token is fed again"
    assert write("the o", count=2)[0] == 4
    assert write("the o", count=2) == (4, write("the o", None, count=2)[1])
    for prompt in ("the older one", "the x", "a", "the older one"):
        assert write(prompt)[1] == write(prompt, None)[1]
    assert write("the o", cache="none")[0] == 0, "another decoder"
    assert write("the o", cache="none")[0] == 4
    assert write("the o", cache="none", bits="8")[0] == 0, "other weights"
    assert write("the o", cache="none", bits="8", run="tiny@2")[0] == 0, "another checkpoint"


def test_a_generation_that_broke_leaves_no_decoder(config: RunConfig) -> None:
    train(config)
    kept, sampling = recipes.KeptRun(), SamplingConfig(prompt="the", max_new_tokens=9)
    drive(recipes.generation("tiny", sampling, kept=kept))
    work = recipes.generation("tiny", sampling, kept=kept).run()
    for _ in range(4):
        next(work)
    work.close()
    _, read, *_ = drive(recipes.generation("tiny", sampling, kept=kept))
    assert read.shared_tokens == 0
