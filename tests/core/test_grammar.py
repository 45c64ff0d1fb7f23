"""Grammars that are small enough to write down every text, and what is said about them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from core.text.generated import random_bits
from core.text.grammar import Draw, Grammar, Recall, Template, Word
from core.text.grammar_analysis import confusions, moments
from core.text.stories import RULES
from core.text.story_words import CLASSES


def derivations(
    parts: Template, words: dict[str, Word] | None = None
) -> Iterator[tuple[float, str, dict[str, Word]]]:
    """Every way to write `parts`: probability, text, and the words drawn."""
    if words is None:
        words = {}
    if not parts:
        yield 1.0, "", words
        return
    part, rest = parts[0], parts[1:]
    heads: list[tuple[float, str, dict[str, Word]]] = []
    if isinstance(part, str):
        heads = [(1.0, part, words)]
    elif isinstance(part, Recall):
        heads = [(1.0, words[part.name][part.form], words)]
    elif isinstance(part, Draw):
        drawn = part.classes[words[part.given]["kind"] if part.given else ""]
        heads = [
            (p, word[part.form], words | {part.name: word})
            for p, word in zip(drawn.p, drawn.options, strict=True)
        ]
    else:
        rule = part.rules[words[part.given]["kind"] if part.given else ""]
        for p, template in zip(rule.p, rule.options, strict=True):
            heads += [(p * q, text, words) for q, text, _ in derivations(template, words)]
    for p, head, known in heads:
        for q, tail, all_known in derivations(rest, known):
            yield p * q, head + tail, all_known


def table(grammar: Grammar) -> list[tuple[float, str]]:
    return [(p, text) for p, text, _ in derivations((grammar.start,))]


def tangled() -> Grammar:
    """What is drawn late tells about what was drawn early, and decides which words return."""
    rules: dict[str, list[str | tuple[int, str]]] = {
        "start": [
            (3, "{who:person} has {what:thing@who.a}: <end@what>"),
            (1, "Nobody. {what:any} <more>"),
        ],
        "end/warm": ["{who} likes it.", (4, "{what.a} for {who} and {who}.")],
        "end/cold": ["Brr, {who}!", "{other:person} <more> {other}."],
        "more": [(2, "once"), "twice"],
    }
    classes: dict[str, list[Word]] = {
        "person": [
            {"": "Al", "kind": "rich"},
            {"": "Barbara", "kind": "poor"},
            {"": "Cy", "kind": "poor"},
        ],
        "thing/rich": [{"": "fur", "a": "a fur", "kind": "warm"}],
        "thing/poor": [
            {"": "sock", "a": "one sock", "kind": "warm"},
            {"": "icicle", "a": "an icicle", "kind": "cold"},
            {"": "stone", "a": "that stone", "kind": "cold"},
        ],
        "any": [{"": "x"}, {"": "y"}],
    }
    return Grammar(rules, classes)


def cut_down() -> Grammar:
    """The stories with two alternatives a rule and one word a kind, two heroes and animals."""
    rules = {name: alternatives[:2] for name, alternatives in RULES.items()}
    rules["story"] = RULES["story"]
    classes = {}
    for name, words in CLASSES.items():
        first = {word.get("kind", ""): word for word in reversed(words)}
        classes[name] = words[:2] if name in ("hero", "place", "animal") else [*first.values()]
    return Grammar(rules, classes, "story")


SMALL = {"tangled": tangled, "cut-down stories": cut_down}


@pytest.fixture(scope="module", params=SMALL)
def small(request: pytest.FixtureRequest) -> tuple[Grammar, list[tuple[float, str]]]:
    grammar = SMALL[request.param]()
    return grammar, table(grammar)


Small = tuple[Grammar, list[tuple[float, str]]]


def test_all_texts_have_probability_one(small: Small) -> None:
    assert math.fsum(p for p, _ in small[1]) == pytest.approx(1.0, rel=1e-12)


def test_every_derivation_has_a_text_of_its_own_and_none_begins_another(small: Small) -> None:
    grammar, known = small
    assert confusions(grammar) == []
    texts = sorted(text for _, text in known)
    assert len(texts) > 10
    assert not any(second.startswith(first) for first, second in pairwise(texts))


def test_entropy_and_length_are_those_of_the_whole_table(small: Small) -> None:
    grammar, known = small
    found = moments(grammar)
    assert found.nats == pytest.approx(-math.fsum(p * math.log(p) for p, _ in known), rel=1e-12)
    assert found.chars == pytest.approx(math.fsum(p * len(t) for p, t in known), rel=1e-12)
    assert found.nats_per_char == found.nats / found.chars


@pytest.mark.slow
def test_a_text_read_back_costs_its_own_probability(small: Small) -> None:
    grammar, known = small
    for p, text in known[::7]:
        nats, end = grammar.read(f"..{text}{known[0][1]}", 2)
        assert end == len(text) + 2
        assert nats == pytest.approx(-math.log(p), rel=1e-12)


def test_what_is_written_comes_as_often_as_it_should() -> None:
    grammar = tangled()
    known = {text: p for p, text in table(grammar)}
    bits, n = random_bits(5), 20_000
    seen: Counter[str] = Counter()
    for _ in range(n):
        written = grammar.write(bits)
        seen[written.text] += 1
        assert written.nats == pytest.approx(-math.log(known[written.text]), rel=1e-12)
    excess = [(seen[t] - n * p) / math.sqrt(n * p * (1 - p)) for t, p in known.items()]
    assert np.abs(excess).max() < 4.5
    assert np.mean(np.square(excess)) == pytest.approx(1.0, abs=0.7)


def test_the_probability_of_a_beginning_is_the_sum_over_the_table() -> None:
    grammar = tangled()
    known = table(grammar)
    beginnings = {text[:n] for _, text in known for n in range(len(text) + 1)} | {"Z", "Al z"}
    for beginning in beginnings:
        expected = math.fsum(p for p, text in known if text.startswith(beginning))
        assert grammar.probability_of_beginning(beginning) == pytest.approx(expected, rel=1e-12)
    assert grammar.probability_of_beginning(known[0][1] + "!") == 0.0


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"start": ["a<x>", "ab"], "x": ["b", "c"]}, "start: 'a' begins 'ab'"),
        ({"start": ["<x>d"], "x": ["b", "bc"]}, "x: 'b' begins 'bc'"),
        ({"start": ["<x>", "bd"], "x": ["b", "c"]}, "start: 'b' begins 'bd'"),
        ({"start": ["a", "a"]}, "start: 'a' begins 'a'"),
        ({"start": ["<x>z"], "x": ["", "y"]}, "x: '' begins 'y'"),
        ({"start": ["{n:names}."]}, "n: 'Al' begins 'Alma'"),
        ({"start": ["{p:pets} <x>"], "x": ["{p}s", "cat"]}, "x: 'cat' begins 'cats'"),
        ({"start": ["{p:pets} <x@p>"], "x/m": ["u", "uv"], "x/f": ["u"]}, "x: 'u' begins 'uv'"),
    ],
)
def test_what_cannot_be_told_apart_is_found(rules: dict[str, list[str]], expected: str) -> None:
    classes: dict[str, list[Word]] = {
        "names": [{"": "Al"}, {"": "Alma"}],
        "pets": [{"": "cat", "kind": "m"}, {"": "dog", "kind": "f"}],
    }
    assert expected in confusions(Grammar(rules, classes))


def test_kinds_that_never_meet_are_not_confused() -> None:
    rules = {"start": ["{p:pets} <x@p>"], "x/m": ["{p}s", "u"], "x/f": ["cat", "dogma"]}
    pets: list[Word] = [{"": "cat", "kind": "m"}, {"": "hen", "kind": "f"}]
    assert confusions(Grammar(rules, {"pets": pets})) == []


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"start": ["<gone>"]}, "there is no 'gone'"),
        ({"start": ["{x:gone}"]}, "there is no 'gone'"),
        ({"start": ["{y:known}<gone@y>"]}, "there is no 'gone'"),
        ({"other": ["a"]}, "there is no rule 'start'"),
        ({"start": ["a<x>"], "x": ["b<start>"]}, "the rule 'start' contains itself"),
    ],
)
def test_a_grammar_that_cannot_be(rules: dict[str, list[str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Grammar(rules, {"known": [{"": "k", "kind": "k"}]})


def test_a_text_of_another_grammar_is_refused_with_the_place() -> None:
    grammar = tangled()
    with pytest.raises(ValueError, match="0 options fit 'Dora has' at 0"):
        grammar.read("Dora has")
    with pytest.raises(ValueError, match="' had a fur' at 2 where ' has ' must be"):
        grammar.read("Al had a fur")
