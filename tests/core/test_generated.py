"""The corpus `generated`: its stories, and the floor of the loss on them."""

from __future__ import annotations

import hashlib
import math
import re
from functools import cache
from itertools import islice, pairwise

import numpy as np
import pytest

from core.config import TextConfig
from core.errors import ConfigError
from core.store.floor import floor_facts
from core.store.tokens import tokenize_corpus
from core.testing import result_of
from core.text import generated
from core.text.corpus import load_corpus
from core.text.generated import (
    entropy,
    floor_of,
    generated_pieces,
    is_generated,
    random_bits,
)
from core.text.grammar import Grammar, Written
from core.text.grammar_analysis import confusions
from core.text.sources import full_name
from core.text.stories import stories
from tests.core.test_grammar import cut_down, table

N = 20_000


@pytest.fixture(scope="module")
def many() -> list[Written]:
    bits = random_bits(1)
    return [stories().write(bits) for _ in range(N)]


@pytest.mark.slow
def test_the_stories_cannot_be_confused() -> None:
    assert confusions(stories()) == []


def test_a_story_is_one_line_of_ascii_of_60_to_600_characters(many: list[Written]) -> None:
    for story in many:
        assert story.text.isascii()
        assert 60 <= len(story.text) <= 600
        assert story.text.index("\n") == len(story.text) - 1
        assert not re.search(r"[{}<>@]|  |\.\.| \n", story.text)


def test_a_stream_of_stories_is_cut_in_one_way_at_the_cost_it_was_written(
    many: list[Written],
) -> None:
    stream, at = "".join(story.text for story in many[:2000]), 0
    for story in many[:2000]:
        nats, end = stories().read(stream, at)
        assert stream[at:end] == story.text
        assert nats == pytest.approx(story.nats, rel=1e-12)
        at = end
    assert at == len(stream)


def test_no_story_begins_another_one(many: list[Written]) -> None:
    texts = sorted({story.text for story in many})
    assert not any(second.startswith(first) for first, second in pairwise(texts))
    assert len(texts) > 0.99 * N


def test_entropy_and_length_are_what_the_written_ones_have_on_average(
    many: list[Written],
) -> None:
    found = entropy()
    for exact, drawn in (
        (found.nats, [story.nats for story in many]),
        (found.chars, [len(story.text) for story in many]),
    ):
        se = np.std(drawn, ddof=1) / math.sqrt(N)
        assert abs(np.mean(drawn) - exact) < 3.5 * se
        assert se < 0.005 * exact


def test_what_was_told_at_the_start_comes_back(many: list[Written]) -> None:
    lost = [s.text for s in many if "took the" in s.text]
    for text in lost[:200]:
        thing = re.search(r"took the (\w+) everywhere", text)
        assert thing is None or text.count(thing[1]) >= 2
    for story in many[:2000]:
        she, he = (re.search(rf"\b{p}\b", story.text, re.I) for p in ("she", "he"))
        assert not (she and he)


def test_the_text_of_a_seed_is_the_same_everywhere_and_always() -> None:
    text = "".join(generated_pieces("generated:100000:7"))
    assert hashlib.sha256(text.encode()).hexdigest() == (
        "6adab13c7a3c32ee9b375afc820bce1fa966ee8b88bcf96598f13714977df6bc"
    )


def test_draws_are_those_of_pcg64() -> None:
    numbers = list(islice(iter(random_bits(3), None), 10_000))
    assert numbers == np.random.PCG64(3).random_raw(10_000).tolist()


def test_a_longer_text_begins_with_the_shorter_one_and_ends_with_a_story() -> None:
    short, long = ("".join(generated_pieces(f"generated:{n}:2")) for n in (5_000, 20_000))
    assert long.startswith(short)
    assert 20_000 <= len(long) < 20_600
    assert long.endswith("\n")
    assert "".join(generated_pieces("generated:5000:3")) != short


def test_names_of_generated_texts() -> None:
    config = TextConfig(corpus="generated", generated_chars=9000, generated_seed=4)
    assert config.source == "generated:9000:4"
    assert TextConfig(corpus="some/file").source == "some/file"
    assert is_generated(config.source)
    assert not is_generated("generated")
    assert not is_generated("generated:1:2:3")
    assert full_name("generated") == "generated"
    assert full_name(config.source) == config.source
    corpus = load_corpus(config.source)
    assert "".join(corpus.pieces()) == "".join(generated_pieces(config.source))


@pytest.mark.parametrize(("name", "value"), [("generated_chars", 0), ("generated_seed", -1)])
def test_a_text_that_cannot_be_generated(name: str, value: int) -> None:
    with pytest.raises(ConfigError, match=f"{name}={value} is below") as caught:
        TextConfig(**{name: value})  # type: ignore[arg-type]
    assert caught.value.hint.startswith("The default is ")


@cache
def enumerated() -> tuple[Grammar, list[tuple[float, str]]]:
    grammar = cut_down()
    return grammar, table(grammar)


@cache
def minus_log_p_of_beginning(part: str) -> float:
    return -math.log(sum(p for p, text in enumerated()[1] if text.startswith(part)))


class TestFloor:
    """Against a grammar of which every text is known."""

    @pytest.fixture(autouse=True)
    def _known(self, monkeypatch: pytest.MonkeyPatch) -> None:
        grammar, self.table = enumerated()
        monkeypatch.setattr(generated, "stories", lambda: grammar)
        self.name = "generated:20000:1"
        self.stories = list(generated_pieces(self.name))
        self.text = "".join(self.stories)

    def nats(self, n: int) -> float:
        """-log p of the first n characters of the text."""
        total, rest = 0.0, self.text[:n]
        for story in self.stories:
            part = story[: len(rest)]
            total += minus_log_p_of_beginning(part)
            rest = rest[len(part) :]
            if not rest:
                break
        return total

    def test_it_is_minus_log_p_given_what_stands_before_and_the_first_word(self) -> None:
        end = sum(map(len, self.stories[:3])) - 9
        at_end, n = self.nats(end), 0
        for begin in range(len(self.stories[0]) + 60):
            first_word = re.compile(r"\n|.\S*\s").match(self.text, begin)
            assert first_word is not None
            expected = at_end - self.nats(first_word.end())
            found = floor_of(self.name, begin, end, 51)
            assert found.loss * 50 == pytest.approx(expected, rel=1e-9, abs=1e-9)
            n += self.text[begin] == " "
        assert n > 20

    @pytest.mark.parametrize("place", [0, 5])
    def test_whole_stories_cost_what_they_cost_but_for_the_first_word(self, place: int) -> None:
        begin = sum(map(len, self.stories[:place]))
        first = self.stories[place].partition(" ")[0] + " "
        known_p = {text: p for p, text in self.table}
        costs = [-math.log(known_p[story]) for story in self.stories[place:]]
        known = -math.log(sum(p for p, text in self.table if text.startswith(first)))
        found = floor_of(self.name, begin, len(self.text), 101)
        assert found.loss * 100 == pytest.approx(sum(costs) - known, rel=1e-9)

    def test_the_error_is_that_of_leaving_out_one_story_at_a_time(self) -> None:
        costs = {text: -math.log(p) for p, text in self.table}
        nats = np.array([costs[story] for story in self.stories])
        chars = np.array([len(story) for story in self.stories])
        without = (nats.sum() - nats) / (chars.sum() - chars)
        n = len(nats)
        jackknife = math.sqrt((n - 1) / n * float(((without - without.mean()) ** 2).sum()))
        found = floor_of(self.name, 0, len(self.text), 1 + len(self.text) // 4)
        per_token = len(self.text) / (len(self.text) // 4)
        assert found.se == pytest.approx(jackknife * per_token, rel=0.03)

    def test_too_few_stories_have_no_error(self) -> None:
        assert floor_of(self.name, 0, len(self.stories[0]), 5).se == math.inf


def test_the_error_is_how_far_texts_lie_from_the_entropy() -> None:
    """Per character, over texts of 100 stories or so, of many seeds."""
    exact = entropy().nats_per_char
    z = []
    for seed in range(150):
        floor = floor_of(f"generated:30000:{seed}", 0, 27_000, 27_001)
        z.append((floor.loss - exact) / floor.se)
    assert abs(np.mean(z)) < 4 / math.sqrt(len(z))
    assert np.std(z) == pytest.approx(1.0, abs=0.25)


@pytest.mark.parametrize("tokenizer", ["byte", "char", "bpe"])
@pytest.mark.parametrize("max_tokens", [0, 5_000])
def test_the_held_out_stretch_is_found_whatever_the_split(tokenizer: str, max_tokens: int) -> None:
    config = TextConfig(
        corpus="generated",
        generated_chars=30_000,
        tokenizer=tokenizer,
        vocab_size=300,
        max_tokens=max_tokens,
    )
    text = result_of(tokenize_corpus(config))
    assert text is not None
    facts = floor_facts(config, text)
    held_out = text.tokenizer.decode(text.validation_ids)
    begin = len(text.tokenizer.decode(text.train_ids))
    whole = "".join(generated_pieces(config.source))
    assert whole[begin:].startswith(held_out)
    expected = floor_of(config.source, begin, begin + len(held_out), len(text.validation_ids))
    assert facts == {
        "floor_loss": expected.loss,
        "floor_se": expected.se,
        "entropy_per_char": entropy().nats_per_char,
    }
    per_char = expected.loss * (len(text.validation_ids) - 1) / len(held_out)
    assert per_char == pytest.approx(entropy().nats_per_char, rel=0.1)


def test_a_text_of_unknown_source_has_no_floor(text_file: str) -> None:
    config = TextConfig(corpus=text_file, tokenizer="byte")
    text = result_of(tokenize_corpus(config))
    assert text is not None
    assert floor_facts(config, text) == {}
