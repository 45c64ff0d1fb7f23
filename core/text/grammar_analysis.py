"""What a grammar is, without drawing from it: its entropy, its length, and that it is sound.

Entropy and length are sums over the choices a text makes, and the expectation of a sum needs
no independence. So the recursion visits every choice once for each context that changes its
options, never each derivation, and is exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, pairwise, product

from core.text.grammar import Call, Choice, Draw, Grammar, Recall, Template, Word, heads


@dataclass(frozen=True, slots=True)
class Moments:
    """Of one text."""

    nats: float
    """Entropy: the mean of -log p."""
    chars: float
    """Mean length in characters."""

    @property
    def nats_per_char(self) -> float:
        """Entropy rate of one text after another."""
        return self.nats / self.chars

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.nats + other.nats, self.chars + other.chars)

    def __mul__(self, p: float) -> Moments:
        return Moments(p * self.nats, p * self.chars)


@dataclass(frozen=True, slots=True)
class _Scope:
    """Words that were drawn so far, not yet told apart, and the kinds some must be of."""

    draws: tuple[Draw, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)

    def of(self, name: str) -> Iterator[tuple[float, Word]]:
        """The words that `name` can be, with their probabilities."""
        needed = self._with_givers({name, *self.kinds})
        worlds: list[tuple[float, dict[str, Word]]] = [(1.0, {})]
        for draw in self.draws:
            if draw.name in needed:
                worlds = [
                    (p * q, {**world, draw.name: word})
                    for p, world in worlds
                    for q, word in _weighted(draw.choice(world))
                    if self.kinds.get(draw.name, word.get("kind")) == word.get("kind")
                ]
        total = math.fsum(p for p, _ in worlds)
        return ((p / total, world[name]) for p, world in worlds)

    def kinds_of(self, name: str) -> dict[str, float]:
        """Probability of each kind; of "" if there is no name."""
        if not name:
            return {"": 1.0}
        shares: dict[str, float] = {}
        for p, word in self.of(name):
            shares[word["kind"]] = shares.get(word["kind"], 0.0) + p
        return shares

    def _with_givers(self, names: set[str]) -> set[str]:
        """`names` and those that decided what they were drawn from."""
        for draw in reversed(self.draws):
            if draw.name in names and draw.given:
                names = names | {draw.given}
        return names


def moments(grammar: Grammar) -> Moments:
    """Entropy and mean length of a text, exactly."""
    return _of_template((grammar.start,), _Scope())


def _of_template(parts: Template, scope: _Scope) -> Moments:
    total = Moments(0.0, 0.0)
    for part in parts:
        if isinstance(part, str):
            total += Moments(0.0, len(part))
        elif isinstance(part, Call):
            for kind, p in scope.kinds_of(part.given).items():
                within = replace(scope, kinds={**scope.kinds, part.given: kind})
                total += _of_rule(part.rules[kind], within if part.given else scope) * p
        else:
            if isinstance(part, Draw):
                for kind, p in scope.kinds_of(part.given).items():
                    total += Moments(_entropy(part.classes[kind]), 0.0) * p
                scope = replace(scope, draws=(*scope.draws, part))
            total += Moments(0.0, sum(p * len(w[part.form]) for p, w in scope.of(part.name)))
    return total


def _of_rule(rule: Choice[Template], scope: _Scope) -> Moments:
    total = Moments(_entropy(rule), 0.0)
    for p, template in zip(rule.p, rule.options, strict=True):
        total += _of_template(template, scope) * p
    return total


def _entropy(choice: Choice[Template] | Choice[Word]) -> float:
    return math.fsum(p * nats for p, nats in zip(choice.p, choice.nats, strict=True))


def _weighted(choice: Choice[Word]) -> Iterator[tuple[float, Word]]:
    return zip(choice.p, choice.options, strict=True)


def confusions(grammar: Grammar) -> list[str]:
    """Choices whose options cannot be told apart by how they begin, in words.

    None means that the grammar is unambiguous and that no text of it begins another one.
    Every choice is looked at with every word that could stand there, whether or not the
    words can meet, so that the answer is safe.
    """
    search = _Confusions()
    search.in_template((grammar.start,), {})
    return sorted(search.found)


class _Confusions:
    """Looks at every choice once for each set of words that can have been drawn before."""

    def __init__(self) -> None:
        self.found: set[str] = set()
        self._seen: set[object] = set()

    def in_template(self, parts: Template, possible: Mapping[str, Sequence[Word]]) -> None:
        """`possible` are the words that each name can stand for."""
        for part in parts:
            if isinstance(part, Draw):
                for drawn in part.classes.values():
                    self._compare(part.name, [w[part.form] for w in drawn.options])
                every = [w for drawn in part.classes.values() for w in drawn.options]
                possible = {**possible, part.name: every}
            elif isinstance(part, Call):
                for kind, rule in part.rules.items():
                    of_kind = dict(possible)
                    if part.given:
                        of_kind[part.given] = [w for w in possible[part.given] if w["kind"] == kind]
                    self._in_rule(part.rule, rule, of_kind)

    def _in_rule(
        self, name: str, rule: Choice[Template], possible: Mapping[str, Sequence[Word]]
    ) -> None:
        plain = ((name, tuple(w[""] for w in words)) for name, words in possible.items())
        key = (id(rule), frozenset(plain))
        if key in self._seen:
            return
        self._seen.add(key)
        for first, second in combinations(rule.options, 2):
            if not _literals_differ(first, second):
                names = _names_in_head(first) | _names_in_head(second)
                for picked in product(*(possible[n] for n in names)):
                    words = dict(zip(names, picked, strict=True))
                    self._compare(name, heads(first, words) + heads(second, words))
        for alternative in rule.options:
            self.in_template(alternative, possible)

    def _compare(self, where: str, beginnings: list[str]) -> None:
        """If one begins another, then in sorted order one begins its neighbour."""
        for first, second in pairwise(sorted(beginnings)):
            if second.startswith(first):
                self.found.add(f"{where}: {first!r} begins {second!r}")


def _literals_differ(first: Template, second: Template) -> bool:
    """Fixed text at the start tells them apart, whatever words were drawn."""
    a, b = (parts[0] if parts and isinstance(parts[0], str) else "" for parts in (first, second))
    return not a.startswith(b) and not b.startswith(a)


def _names_in_head(parts: Template) -> set[str]:
    """Words that `heads` asks for."""
    names: set[str] = set()
    for part in parts:
        if isinstance(part, Recall):
            names.add(part.name)
        elif isinstance(part, (Draw, Call)):
            names |= {part.given} - {""}
            if isinstance(part, Call):
                below = (a for rule in part.rules.values() for a in rule.options)
                names |= {n for a in below for n in _names_in_head(a)}
            break
    return names
