"""The corpus `markov`: its odds, its entropy rate and the floor of a stretch of it."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from core.config import TextConfig
from core.errors import ConfigError
from core.store.floor import floor_facts
from core.store.tokens import TokenizedText, tokenize_corpus
from core.text.markov import ALPHABET, Chain, chain_of, is_markov, markov_floor, markov_pieces

NAME = "markov:2:4:30000:7"


def text_of(name: str) -> str:
    return "".join(markov_pieces(name))


def slow_cost(name: str, text: str, begin: int, end: int) -> float:
    """-log p of a stretch, character by character."""
    order, size = map(int, name.split(":")[1:3])
    odds, padded = chain_of(name).odds, " " * order + text
    total = 0.0
    for i in range(begin, end):
        context = 0
        for char in padded[i : i + order]:
            context = context * size + ALPHABET.index(char)
        total -= math.log(odds[context, ALPHABET.index(text[i])])
    return total


def test_the_text_is_decided_by_its_name() -> None:
    text = text_of(NAME)
    assert len(text) == 30_000
    assert set(text) == set(ALPHABET[:4])
    assert text == text_of(NAME)
    assert text_of("markov:2:4:30000:8") != text
    assert text_of("markov:2:4:100:7") == text[:100]
    assert is_markov(NAME)
    assert not is_markov("generated:100:0")


def test_the_characters_follow_the_odds() -> None:
    text, odds = text_of("markov:1:3:60000:1"), chain_of("markov:1:3:60000:1").odds
    seen = np.zeros((3, 3))
    for a, b in pairwise(text):
        seen[ALPHABET.index(a), ALPHABET.index(b)] += 1
    np.testing.assert_allclose(seen / seen.sum(1, keepdims=True), odds, atol=0.02)


class TestEntropy:
    def test_of_a_chain_by_hand(self) -> None:
        """A fair coin in the first state, a biased one in the second; visited as 3 to 2."""
        chain = Chain(np.array([[2, 2], [3, 1]]))
        stationary = np.array([3 / 5, 2 / 5])
        np.testing.assert_allclose(chain.stationary(), stationary, rtol=1e-10)
        biased = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
        assert chain.entropy() == pytest.approx(0.6 * math.log(2) + 0.4 * biased, rel=1e-10)

    @pytest.mark.parametrize("name", [NAME, "markov:3:3:10:2", "markov:1:8:10:3"])
    def test_the_long_run_is_an_eigenvector(self, name: str) -> None:
        odds = chain_of(name).odds
        n_states, size = odds.shape
        moves = np.zeros((n_states, n_states))
        for state in range(n_states):
            for char in range(size):
                moves[state, (state * size + char) % n_states] += odds[state, char]
        found = chain_of(name).stationary()
        np.testing.assert_allclose(found @ moves, found, atol=1e-12)
        assert found.sum() == pytest.approx(1)

    def test_a_long_text_costs_the_entropy_rate(self) -> None:
        text = text_of(NAME)
        rate = slow_cost(NAME, text, 0, len(text)) / len(text)
        assert rate == pytest.approx(chain_of(NAME).entropy(), rel=0.02)


class TestFloor:
    @pytest.mark.parametrize(("begin", "end"), [(20_000, 30_000), (0, 500), (1, 300)])
    def test_it_is_minus_log_p_given_what_stands_before_and_the_first_word(
        self, begin: int, end: int
    ) -> None:
        text = text_of(NAME)
        known = text.index(" ", begin + 1) + 1
        floor = markov_floor(NAME, begin, end, end - begin)
        expected = slow_cost(NAME, text, known, end) / (end - begin - 1)
        assert floor.loss == pytest.approx(expected, rel=1e-12)

    def test_its_error_is_that_of_the_mean_of_many_texts(self) -> None:
        floors = [markov_floor(f"markov:2:4:8000:{seed}", 0, 8_000, 8_000) for seed in range(2)]
        assert all(0 < floor.se < 0.05 for floor in floors)
        assert markov_floor(NAME, 0, 300, 300).se == math.inf

    @pytest.mark.parametrize("tokenizer", ["char", "byte", "bpe"])
    def test_a_run_keeps_it_with_any_tokenizer(self, tokenizer: str) -> None:
        config = TextConfig(
            corpus="markov", generated_chars=20_000, tokenizer=tokenizer, vocab_size=300
        )
        text = tokenized(config)
        facts = floor_facts(config, text)
        per_char = facts["entropy_per_char"]
        assert per_char == chain_of(config.source).entropy()
        chars = text.tokenizer.count_bytes(text.validation_ids)
        assert facts["floor_loss"] == pytest.approx(
            per_char * chars / len(text.validation_ids), rel=0.1
        )


def tokenized(config: TextConfig) -> TokenizedText:
    work = tokenize_corpus(config)
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        (
            {"markov_alphabet": 28},
            "markov_alphabet=28 is not between 2 and 27.",
            "A space and up to 26 letters.",
        ),
        (
            {"markov_order": 6, "markov_alphabet": 8},
            "markov_order=6 of markov_alphabet=8 makes more than 65536 contexts.",
            "Try markov_order=2.",
        ),
    ],
)
def test_chains_that_cannot_be(changes: dict[str, int], message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TextConfig(corpus="markov", **changes)
    assert (str(caught.value), caught.value.hint) == (message, hint)
