"""SentencePiece known by its scores, against plain programs that merge by scores."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from core.interop.sentencepiece import from_scores
from core.text.tokenizer import load_tokenizer
from tests.core.foreign_tokenizers import TEXT, pieces, random_strings

SPACE = "\u2581"
START = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256))]


class UncertainError(Exception):
    """Two overlapping pairs make the same piece, and only their place tells which is first."""


def greedy(text: str, pieces: list[str], scores: list[float]) -> list[int]:
    """Join the two neighbours of the best score, the leftmost first, until none can be joined;
    what is no piece then is bytes. Written from the description, slowly."""
    ids = {piece: i for i, piece in enumerate(pieces) if i >= len(START)}
    parts = list(SPACE + text.replace(" ", SPACE))
    while True:
        pairs = [(scores[ids[a + b]], a + b) for a, b in pairwise(parts) if a + b in ids]
        if not pairs:
            break
        best = max(pairs)[1]
        places = [i for i in range(len(parts) - 1) if parts[i] + parts[i + 1] == best]
        if any(b - a == 1 and parts[a] != parts[b] for a, b in pairwise(places)):
            raise UncertainError
        parts[places[0] : places[0] + 2] = [best]
    found = []
    for part in parts:
        if part in ids:
            found.append(ids[part])
        else:
            found += [START.index(f"<0x{b:02X}>") for b in part.encode()]
    return found


@st.composite
def vocabularies(draw: st.DrawFn) -> tuple[list[str], list[float]]:
    alphabet = "ab" + SPACE
    words = draw(st.lists(st.text(alphabet, min_size=2, max_size=6), unique=True, max_size=25))
    pieces = [*START, *alphabet, *words]
    return pieces, [0.0] * (len(pieces) - len(words)) + [-float(n) for n in range(len(words))]


@settings(max_examples=200, deadline=None)
@given(vocabularies(), st.lists(st.text("ab é\n", max_size=12), min_size=1, max_size=8))
def test_ids_are_those_of_the_greedy_merge(
    vocabulary: tuple[list[str], list[float]], texts: list[str]
) -> None:
    tokenizer = load_tokenizer(from_scores(*vocabulary))
    for text in filter(None, texts):
        try:
            wanted = greedy(text, *vocabulary)
        except UncertainError:
            continue
        assert tokenizer.encode(text).tolist() == wanted


def test_real_text_has_the_ids_of_the_greedy_merge() -> None:
    names, scores = pieces()
    tokenizer = load_tokenizer(from_scores(names, scores))
    for text in [TEXT[:400], " " * 40, "a" + " " * 23 + "b", *random_strings(40, 5)]:
        assert tokenizer.encode(text).tolist() == greedy(text, list(names), list(scores))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 40), st.permutations(range(2, 12)))
@example(23, [2, 4, 8, 3, 5, 6, 7, 9, 10, 11])
def test_runs_of_spaces_are_joined_from_the_left(n: int, lengths: list[int]) -> None:
    names = [*START, SPACE, *(SPACE * length for length in lengths)]
    scores = [float(-i) for i in range(len(names))]
    tokenizer = load_tokenizer(from_scores(names, scores))
    text = " " * n
    try:
        wanted = greedy(text, names, scores)
    except UncertainError:
        assume(False)
    assert tokenizer.encode(text).tolist() == (wanted if n else [])


def test_a_text_is_read_with_a_space_before_it_or_without() -> None:
    names, scores = pieces()
    with_space = load_tokenizer(from_scores(names, scores))
    without = load_tokenizer(from_scores(names, scores, has_prefix_space=False))
    assert with_space.decode(with_space.encode("lion")) == " lion"
    assert without.decode(without.encode("lion")) == "lion"


def test_the_begin_is_put_before_a_prompt_alone() -> None:
    tokenizer = load_tokenizer(from_scores(*pieces(), begin_id=1))
    assert tokenizer.begin_ids == (1,)
    assert tokenizer.encode_prompt("lion").tolist() == [1, *tokenizer.encode("lion")]


def test_control_pieces_are_special_and_user_pieces_are_not() -> None:
    names, scores = pieces()
    source = from_scores(names, scores, begin_id=1, control_ids=[2], user_ids=[300])
    added = json.loads(source)["added_tokens"]
    assert [(a["id"], a["content"], a["special"]) for a in added] == [
        (1, "<s>", True),
        (2, "</s>", True),
        (300, names[300], False),
    ]
    assert names[300] not in {a + b for a, b in json.loads(source)["model"]["merges"]}


def test_control_and_byte_pieces_are_joined_from_nothing() -> None:
    names = [*START, "<", ">", "s", "<s", "<0", "x0A>", "0", "x", "A"]
    source = from_scores(names, [0.0] * len(names), control_ids=[1, 2])
    joined = {a + b for a, b in json.loads(source)["model"]["merges"]}
    assert joined == {"<s", "<0"}


def test_a_piece_that_is_missing_is_no_token() -> None:
    names, scores = pieces()
    hole = [*names[:5], "", *names[6:]]
    assert "" not in json.loads(from_scores(hole, scores))["model"]["vocab"]


@pytest.mark.parametrize("has_prefix_space", [True, False])
def test_the_library_gives_the_text_back(has_prefix_space: bool) -> None:
    from tokenizers import Tokenizer

    source = from_scores(*pieces(), has_prefix_space=has_prefix_space)
    engine = Tokenizer.from_str(source)
    for text in ("The lion\n and é東 🏳️‍🌈", " two"):
        assert engine.decode(engine.encode(text).ids) == text
