"""A probabilistic grammar with agreement, read from left to right.

A rule has alternatives, a class has words; each is drawn with its weight, and a drawn word
can be recalled later in any of its forms. Templates are written so:

    <rule>  <rule@x>            the rule, or the one of its kind: `rule/KIND` for x's kind
    {x:class}  {x:class@y}      draw a word, write it, and call it x until this template ends
    {x}  {x.form}               the word called x again; `{x:class.form}` draws in a form

Invariant, which `confusions` proves for a given grammar: at every choice the texts that can
come next begin differently, none with another. So a text has one derivation at most, it can
be read back without looking ahead, no text is the beginning of another one, and what the
draws of a text cost is -log p of the text.

Unlike a context-free grammar with the same rules, what has been drawn is remembered; unlike
an attribute grammar, nothing is computed but by look-up.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Generic, TypeVar

Word = Mapping[str, str]
"""Its forms by name: "" is the plain one, "kind" what `@` looks at."""
Words = Mapping[str, Word]
"""Words that were drawn, by the names they were given."""
Bits = Callable[[], int]
"""64 random bits at each call."""
T = TypeVar("T")

_SLOT = re.compile(r"<(\w+)(?:@(\w+))?>|\{(\w+)(?::(\w+)(?:@(\w+))?)?(?:\.(\w+))?\}")


class Choice(Generic[T]):
    """Options with whole-numbered weights."""

    def __init__(self, options: Sequence[T], weights: Sequence[int]) -> None:
        total = sum(weights)
        self.options = tuple(options)
        self.nats = tuple(math.log(total / w) for w in weights)
        """-log p of each option."""
        self.p = tuple(w / total for w in weights)
        self._total = total
        self._bounds = list(accumulate(weights))

    def draw(self, bits: Bits) -> int:
        """Index of an option: the same one on every machine."""
        return bisect_right(self._bounds, bits() * self._total >> 64)


@dataclass(frozen=True, slots=True)
class Recall:
    """Writes a word that was drawn before."""

    name: str
    form: str


@dataclass(frozen=True, slots=True)
class Draw:
    """Draws a word, of the class that belongs to the kind of the word called `given`."""

    name: str
    form: str
    given: str
    classes: Mapping[str, Choice[Word]]

    def choice(self, words: Words) -> Choice[Word]:
        """What is drawn from."""
        return self.classes[words[self.given]["kind"] if self.given else ""]


@dataclass(frozen=True, slots=True)
class Call:
    """Draws an alternative of the rule that belongs to the kind of the word called `given`."""

    rule: str
    given: str
    rules: Mapping[str, Choice[Template]]

    def choice(self, words: Words) -> Choice[Template]:
        """What is drawn from."""
        return self.rules[words[self.given]["kind"] if self.given else ""]


Part = str | Recall | Draw | Call
Template = tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """A text and -log p of it, in nats."""

    text: str
    nats: float


class Grammar:
    """Rules and classes, made ready."""

    def __init__(
        self,
        rules: Mapping[str, Sequence[str | tuple[int, str]]],
        classes: Mapping[str, Sequence[Word]],
        start: str = "start",
    ) -> None:
        """`rules` maps a name to templates, alone or as (weight, template).

        Raises:
            ValueError: a template names what there is not, or a rule contains itself.
        """
        self._rules, self._classes = rules, classes
        self._ready: dict[str, Choice[Template]] = {}
        self._open: list[str] = []
        self._drawn_from = {
            name: Choice(words, [1] * len(words)) for name, words in classes.items()
        }
        self.start = Call(start, "", {"": self._rule(start)})

    def write(self, bits: Bits) -> Written:
        """A text drawn from the grammar."""
        out: list[str] = []
        nats = _write((self.start,), {}, bits, out)
        return Written("".join(out), nats)

    def read(self, text: str, at: int = 0) -> tuple[float, int]:
        """-log p of the text that begins at `at`, and where it ends.

        Raises:
            ValueError: no text of this grammar begins there.
        """
        return _read((self.start,), {}, text, at)

    def probability_of_beginning(self, beginning: str) -> float:
        """Share of the texts that begin so; a shorter text does not."""
        states = _begin((self.start,), {}, beginning)
        return math.fsum(p for p, missing, _ in states if not missing)

    def _rule(self, name: str) -> Choice[Template]:
        if name in self._open:
            raise ValueError(f"the rule {name!r} contains itself")
        if name not in self._ready:
            if name not in self._rules:
                raise ValueError(f"there is no rule {name!r}")
            weighted = [(1, a) if isinstance(a, str) else a for a in self._rules[name]]
            self._open.append(name)
            templates = [self._template(text) for _, text in weighted]
            self._open.pop()
            self._ready[name] = Choice(templates, [weight for weight, _ in weighted])
        return self._ready[name]

    def _template(self, text: str) -> Template:
        parts: list[Part] = []
        end = 0
        for slot in _SLOT.finditer(text):
            parts += [text[end : slot.start()]] if slot.start() > end else []
            end = slot.end()
            rule, rule_given, name, of_class, class_given, form = (g or "" for g in slot.groups())
            if rule:
                names = _names_of(rule, rule_given, self._rules)
                choices = {kind: self._rule(full) for kind, full in names.items()}
                parts.append(Call(rule, rule_given, choices))
            elif of_class:
                names = _names_of(of_class, class_given, self._classes)
                drawn = {kind: self._drawn_from[full] for kind, full in names.items()}
                parts.append(Draw(name, form, class_given, drawn))
            else:
                parts.append(Recall(name, form))
        return (*parts, text[end:]) if end < len(text) else tuple(parts)


def _names_of(name: str, given: str, known: Mapping[str, object]) -> dict[str, str]:
    """Full names by kind; without `given` there is one kind, ""."""
    if not given:
        found = {"": name} if name in known else {}
    else:
        found = {n.partition("/")[2]: n for n in known if n.startswith(f"{name}/")}
    if not found:
        raise ValueError(f"there is no {name!r}")
    return found


def _write(parts: Template, words: dict[str, Word], bits: Bits, out: list[str]) -> float:
    nats = 0.0
    for part in parts:
        if isinstance(part, str):
            out.append(part)
        elif isinstance(part, Recall):
            out.append(words[part.name][part.form])
        elif isinstance(part, Draw):
            drawn = part.choice(words)
            i = drawn.draw(bits)
            words[part.name] = drawn.options[i]
            out.append(drawn.options[i][part.form])
            nats += drawn.nats[i]
        else:
            rule = part.choice(words)
            i = rule.draw(bits)
            nats += rule.nats[i] + _write(rule.options[i], dict(words), bits, out)
    return nats


def _read(parts: Template, words: dict[str, Word], text: str, at: int) -> tuple[float, int]:
    nats = 0.0
    for part in parts:
        if isinstance(part, Call):
            rule = part.choice(words)
            alternatives = rule.options
            i = _only(
                (any(text.startswith(h, at) for h in heads(a, words)) for a in alternatives),
                text,
                at,
            )
            below, at = _read(alternatives[i], dict(words), text, at)
            nats += rule.nats[i] + below
            continue
        if isinstance(part, Draw):
            drawn = part.choice(words)
            i = _only((text.startswith(w[part.form], at) for w in drawn.options), text, at)
            words[part.name] = drawn.options[i]
            nats += drawn.nats[i]
        written = part if isinstance(part, str) else words[part.name][part.form]
        if not text.startswith(written, at):
            raise ValueError(f"{text[at : at + 20]!r} at {at} where {written!r} must be")
        at += len(written)
    return nats, at


def _only(fits: Iterator[bool], text: str, at: int) -> int:
    """Index of the one option that fits."""
    found = [i for i, is_so in enumerate(fits) if is_so]
    if len(found) != 1:
        raise ValueError(f"{len(found)} options fit {text[at : at + 20]!r} at {at}")
    return found[0]


def _begin(
    parts: Template, words: dict[str, Word], wanted: str
) -> Iterator[tuple[float, str, dict[str, Word]]]:
    """Ways to write `parts` that agree with `wanted`: probability, what of `wanted` is still
    missing, words drawn. Once nothing is missing, what else is drawn does not matter."""
    if not parts or not wanted:
        yield 1.0, wanted, words
        return
    part, rest = parts[0], parts[1:]
    for p, missing, known in _begin_part(part, words, wanted):
        for q, left, drawn in _begin(rest, known, missing):
            yield p * q, left, drawn


def _begin_part(
    part: Part, words: dict[str, Word], wanted: str
) -> Iterator[tuple[float, str, dict[str, Word]]]:
    if isinstance(part, Call):
        rule = part.choice(words)
        for p, alternative in zip(rule.p, rule.options, strict=True):
            for q, missing, _ in _begin(alternative, dict(words), wanted):
                yield p * q, missing, words
        return
    if isinstance(part, Draw):
        drawn = part.choice(words)
        ways = [
            (p, word[part.form], {**words, part.name: word})
            for p, word in zip(drawn.p, drawn.options, strict=True)
        ]
    else:
        text = part if isinstance(part, str) else words[part.name][part.form]
        ways = [(1.0, text, words)]
    for p, text, known in ways:
        if text.startswith(wanted) or wanted.startswith(text):
            yield p, wanted[len(text) :], known


def heads(parts: Template, words: Words) -> list[str]:
    """What a template can begin with: all it writes before the first choice, or what that
    choice begins with if it comes first."""
    head = ""
    for part in parts:
        if isinstance(part, str):
            head += part
        elif isinstance(part, Recall):
            head += words[part.name][part.form]
        elif head:
            break
        elif isinstance(part, Draw):
            return [word[part.form] for word in part.choice(words).options]
        else:
            return [h for a in part.choice(words).options for h in heads(a, words)]
    return [head]
