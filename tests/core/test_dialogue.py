"""A text in turns: what it holds, what is read again, what is taken back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config import SamplingConfig
from core.errors import MinitfError, TokenizerError
from core.events import Generation, GenerationFinished, TokenGenerated
from core.infer.dialogue import Dialogue
from core.infer.generate import generate
from core.model.transformer import Transformer
from core.testing import CPU, ScriptedModel, byte_tokenizer, tiny_model
from core.text.tokenizer import BpeTokenizer, CharTokenizer, Tokenizer

BYTES = byte_tokenizer()


def dialogue(
    model: Transformer, tokenizer: Tokenizer = BYTES, **sampling: Any
) -> tuple[Dialogue, Callable[[str], Generation]]:
    found = Dialogue(model, tokenizer, CPU, SamplingConfig(**sampling))

    def say(line: str) -> Generation:
        *_, last = found.say(line)
        assert isinstance(last, GenerationFinished)
        return last.continuations[0]

    return found, say


def scripted(text: bytes) -> ScriptedModel:
    return ScriptedModel(text, vocab_size=256)


def test_turns_follow_one_another_on_lines_of_their_own() -> None:
    talk, say = dialogue(scripted(b"Hi there.\nAnd you?\n"), temperature=0, stop=("\n",))
    assert say("Hi").text == " there."
    assert talk.text == "Hi there."
    assert say("And").text == " you?"
    assert talk.text == "Hi there.\nAnd you?"


def test_an_empty_line_goes_on_after_a_full_one_and_inside_a_cut_one() -> None:
    talk, say = dialogue(
        scripted(b"Hi all\nand you\n"), temperature=0, stop=("\n",), max_new_tokens=5
    )
    assert say("Hi").stop_string == "\n"
    assert say("").text == "and y"
    assert say("").text == "ou"
    assert talk.text == "Hi all\nand you"


def test_a_stop_string_of_several_tokens_is_taken_out_of_the_context() -> None:
    script = b"Hi END of it, END"
    talk, say = dialogue(scripted(script), temperature=0, stop=("END",))
    assert say("Hi").text == " "
    assert bytes(talk.ids) == b"Hi "
    # The script goes by positions: had END been left in the context, it would be elsewhere.
    assert say("").text == " of it, "
    assert bytes(talk.ids) == b"Hi END of it, "


def test_what_a_token_holds_after_the_stop_string_is_left_out() -> None:
    tokenizer = BpeTokenizer([(".", "Ċ"), (".Ċ", "Ċ")])
    token = 257
    assert tokenizer.decode([token]) == ".\n\n"
    model = ScriptedModel([97, token, token], vocab_size=tokenizer.vocab_size)
    talk, say = dialogue(model, tokenizer, temperature=0, stop=("\n",))
    assert say("a").text == "."
    assert talk.text == "a."
    assert talk.ids == [97, ord(".")]


def test_nothing_that_was_read_is_read_again() -> None:
    model, read = tiny_model(vocab_size=256, max_seq_len=64), []
    _, say = dialogue(model, max_new_tokens=3, engine="torch")
    model.embedding.register_forward_hook(lambda _m, ids, _o: read.append(ids[0].size(1)))
    say("abcde")
    assert read == [5, 1, 1]
    read.clear()
    say("xyz")  # the reply's last token, the line break and the line
    assert read == [1 + 1 + 3, 1, 1]


@given(
    lines=st.lists(st.text("ab\n", max_size=5), min_size=1, max_size=5),
    undone=st.lists(st.booleans(), min_size=5, max_size=5),
    cache=st.sampled_from(["static", "none"]),
    stop=st.sampled_from([(), ("a",), ("ab", "zz")]),
)
@settings(max_examples=40, deadline=None)
def test_a_turn_is_what_one_generation_makes_of_the_whole_text(
    lines: list[str], undone: list[bool], cache: str, stop: tuple[str, ...]
) -> None:
    """Whatever was said, cut and taken back before, past the end of the context too."""
    model = tiny_model(vocab_size=256, max_seq_len=16)
    sampling: dict[str, Any] = {"temperature": 0.0, "max_new_tokens": 4, "stop": stop}
    talk, say = dialogue(model, cache=cache, **sampling)
    endings = [""]
    for line, is_undone in zip(lines, undone, strict=False):
        before = talk.text
        prompt = line if not before else before + (f"\n{line}" if line else endings[-1])
        if not prompt:
            continue
        reply = say(line)
        *_, last = generate(model, BYTES, prompt.encode(), SamplingConfig(**sampling), CPU)
        if all(ord(c) < 128 for c in prompt):  # else a reply has ended inside a character
            assert reply.text == last.continuations[0].text
        if is_undone:
            assert talk.undo()
            assert talk.text == before
        else:
            endings.append(reply.stop_string)


def test_undo_takes_back_one_turn_after_another() -> None:
    talk, say = dialogue(tiny_model(vocab_size=256), max_new_tokens=3)
    say("one")
    first = talk.text
    say("two")
    assert talk.undo()
    assert talk.text == first
    assert talk.undo()
    assert (talk.text, talk.undo()) == ("", False)


def test_the_dice_roll_on_and_a_seed_throws_them_anew() -> None:
    talk, say = dialogue(tiny_model(vocab_size=256), temperature=1.0, max_new_tokens=8, seed=3)

    def again() -> str:
        talk.undo()
        return say("ab").text

    first = say("ab").text
    assert first != again(), "to take back and to say it again must not bring the same"
    talk.reseed(3)
    assert again() == first
    talk.reset()
    assert say("ab").text == first
    talk.sampling = SamplingConfig(temperature=1.0, max_new_tokens=8, seed=4)
    assert again() != first


def test_settings_change_between_turns() -> None:
    talk, say = dialogue(tiny_model(vocab_size=256), max_new_tokens=3)
    first = say("ab")
    talk.sampling = SamplingConfig(max_new_tokens=5, count=3, cache="none")
    assert talk.sampling.count == 1
    assert (len(first.tokens), len(say("cd").tokens)) == (3, 5)


def test_a_line_longer_than_the_context_is_seen_through_its_end() -> None:
    talk, say = dialogue(tiny_model(vocab_size=256, max_seq_len=16), max_new_tokens=30)
    assert len(say("x" * 100).tokens) == 30
    assert len(say("y" * 100).tokens) == 30
    assert len(talk.ids) == 100 + 30 + 101 + 30


def test_a_turn_that_is_closed_early_keeps_what_was_told() -> None:
    talk, say = dialogue(scripted(b"Hi there.\nAnd you?\n"), temperature=0, stop=("\n",))
    events = talk.say("Hi")
    for event in events:
        if isinstance(event, TokenGenerated) and event.index == 3:
            break
    events.close()
    assert talk.text == "Hi th"
    assert say("").text == "ere."


def test_nothing_cannot_be_continued() -> None:
    talk, say = dialogue(tiny_model(vocab_size=256), max_new_tokens=3)
    with pytest.raises(TokenizerError, match="The prompt has no tokens") as caught:
        say("")
    assert caught.value.hint == "Give at least one character."
    assert not talk.undo()


def test_a_line_that_cannot_be_read_changes_nothing() -> None:
    talk, say = dialogue(tiny_model(vocab_size=3), CharTokenizer("abc"), max_new_tokens=3)
    say("abc")
    before = talk.text
    with pytest.raises(TokenizerError, match="The character 'x'"):
        say("abx")
    assert talk.text == before
    say("a")  # and a tokenizer without a line break has none between the turns
    assert talk.text.startswith(f"{before}a")


def test_after_a_failure_the_context_is_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass that broke off may have left one layer ahead of another."""
    model = tiny_model(vocab_size=256)
    talk, say = dialogue(model, temperature=0, max_new_tokens=3, engine="torch")
    with monkeypatch.context() as broken:
        broken.setattr(model.blocks[1].attention, "forward", _fail)
        with pytest.raises(MinitfError, match="broken"):
            say("ab")
    assert talk.undo()
    fresh, say_fresh = dialogue(model, temperature=0, max_new_tokens=3)
    assert say("ab").text == say_fresh("ab").text
    assert talk.text == fresh.text


def _fail(*_: Any) -> None:
    raise MinitfError("broken")


def test_what_ends_a_text_is_no_part_of_it() -> None:
    tokenizer = byte_tokenizer()
    tokenizer.end_ids = (ord("#"),)
    talk, say = dialogue(scripted(b"Hi there#\nYou too"), tokenizer, temperature=0)
    assert say("Hi").stop == "end of text"
    assert talk.text == "Hi there"


def test_a_begin_is_read_once_and_not_shown() -> None:
    tokenizer = byte_tokenizer()
    tokenizer.begin_ids = (1,)
    talk, say = dialogue(tiny_model(vocab_size=256), tokenizer, max_new_tokens=1, temperature=0)
    say("a")
    say("b")
    assert list(talk.ids)[:2] == [1, ord("a")]
    assert talk.ids.count(1) == 1
    assert talk.text.startswith("a")
