"""The words of the corpus `generated`, in classes; `core.text.stories` puts them together."""

from __future__ import annotations

from core.text.grammar import Word


def _people(names: str, pronouns: tuple[str, str, str]) -> list[Word]:
    he, him, his = pronouns
    forms = {"he": he, "He": he.capitalize(), "him": him, "his": his, "His": his.capitalize()}
    return [{"": name, **forms} for name in names.split()]


def _noun(word: str) -> Word:
    article = "an" if word[0] in "aeiou" else "a"
    return {"": word, "a": f"{article} {word}", "A": f"{article.capitalize()} {word}"}


def _kinds(**words: str) -> list[Word]:
    return [{"": text, "kind": kind} for kind, texts in words.items() for text in texts.split("|")]


def _nouns(words: str) -> list[Word]:
    return [_noun(word) for word in words.split()]


def _plain(words: str) -> list[Word]:
    return [{"": word} for word in words.split("|")]


def _place(name: str, where: str) -> Word:
    return {"": name, "in": f"{where} the {name}", "kind": name}


CLASSES: dict[str, list[Word]] = {
    "hero": [
        *_people(
            "Mia Lena Ruby Nora Ada Clara Iris Ella Greta Wilma Tilda Zoe Frida Hanna Ivy Josefa"
            " Lotte Olga Paula Rosa Sonja Vera",
            ("she", "her", "her"),
        ),
        *_people(
            "Otto Finn Hugo Theo Emil Jonas Max Oscar Anton Bruno Kurt Leo Carl Dario Felix Gustav"
            " Igor Jakob Ludwig Nils Pelle Simon",
            ("he", "him", "his"),
        ),
    ],
    "animal": _nouns(
        "fox owl badger hedgehog mouse goose otter robin snail toad squirrel hare cat donkey"
        " crow heron raven weasel pigeon beaver frog mole goat sparrow duck bear lynx swan"
        " turtle lizard cricket wren"
    ),
    "temper": _nouns(
        "old shy clever grumpy gentle sleepy lonely cheerful"
        " wise fat hungry polite proud curious silent young"
    ),
    "place": [
        _place("beach", "on"),
        _place("forest", "in"),
        _place("market", "at"),
        _place("hill", "on"),
        _place("garden", "in"),
        _place("attic", "in"),
        _place("river", "by"),
        _place("harbour", "at"),
    ],
    "thing/beach": _nouns("shell bottle starfish pebble bucket"),
    "thing/forest": _nouns("acorn feather mushroom lantern basket"),
    "thing/market": _nouns("coin apple ribbon teapot basket"),
    "thing/hill": _nouns("kite feather whistle blanket bell"),
    "thing/garden": _nouns("flower spade seed ribbon marble"),
    "thing/attic": _nouns("trunk mirror drum clock teapot"),
    "thing/river": _nouns("boat bottle pebble whistle marble"),
    "thing/harbour": _nouns("anchor lantern drum rope bell"),
    "toy": _nouns(
        "kite ball boat drum puppet lantern scarf hat"
        " top windmill umbrella sledge flag hoop mask doll"
    ),
    "colour": _nouns(
        "red blue green yellow white silver orange purple"
        " black brown golden grey pink striped spotted shiny"
    ),
    "dream": [
        {"": "learn to swim", "past": "swam", "ing": "swimming", "kind": "water"},
        {"": "cross the lake", "past": "crossed the lake", "ing": "rowing", "kind": "water"},
        {"": "catch a fish", "past": "caught a fish", "ing": "fishing", "kind": "water"},
        {"": "play the flute", "past": "played the flute", "ing": "playing", "kind": "music"},
        {"": "sing a high note", "past": "sang the high note", "ing": "singing", "kind": "music"},
        {"": "beat the big drum", "past": "beat the big drum", "ing": "drumming", "kind": "music"},
        {"": "bake a cake", "past": "baked a cake", "ing": "baking", "kind": "kitchen"},
        {"": "cook a soup", "past": "cooked a soup", "ing": "stirring", "kind": "kitchen"},
        {"": "make plum jam", "past": "made plum jam", "ing": "stoning plums", "kind": "kitchen"},
    ],
    "weather": _kinds(
        wind="the wind blew hard|a storm came up|a gust came over the roofs",
        rain="it began to rain|dark clouds came|rain drummed on the leaves",
        snow="it began to snow|snow fell in thick flakes|frost crept over the ground",
        sun="the sun burned down|it was hot and still|not a cloud was in the sky",
    ),
    "question": _kinds(
        moon="Why is the moon so thin?|Why is the moon so pale?",
        sea="Why is the sea salty?|Who put salt into the sea?",
        stars="How many stars are there?",
        wind="Where does the wind live?|Where does the wind go at night?",
    ),
    "number": _plain("two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty"),
    "food": _plain(
        "soup|pancakes|bread and honey|apple pie|warm milk|plum cake|cheese"
        "|porridge|noodles|roast chestnuts|cherries|rice pudding|pickles|lentils|toast|dumplings"
    ),
    "time": _plain("morning|evening|afternoon|night|day in spring|day in autumn"),
}
