"""Tokenizers in the words of llama.cpp: there and back again, and what has no words there.

That the ids are the same is shown by tests/interop/test_llama_tokenizers.py.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from core.errors import ExportError, FormatError, MinitfError
from core.interop.gguf.byte_level import ALIASES, KNOWN
from core.interop.gguf.tokenizer import TokenizerFields, from_fields, to_fields
from core.text.tokenizer import ByteTokenizer, CharTokenizer, Tokenizer, load_tokenizer, train_bpe
from tests.core.foreign_tokenizers import (
    END,
    METASPACE,
    TEXT,
    byte_level,
    changed,
    pieces,
    random_strings,
    sentencepiece,
    unigram,
)

BPE = train_bpe(TEXT, 400)
ASCII = CharTokenizer(map(chr, range(128)))
FOREIGN = {
    name: byte_level(json.dumps(pre), json.dumps(norm), ignores)
    for name, (pre, norm, ignores) in KNOWN.items()
}
ELSEWHERE = "Export it with --format hf, whose tokenizer.json says all."


def refused(error: type[MinitfError], work: Any) -> tuple[str, str]:
    with pytest.raises(error) as caught:
        work()
    return str(caught.value), caught.value.hint


def exported(source: str, **arguments: Any) -> TokenizerFields:
    tokenizer = load_tokenizer(source, **arguments)
    return to_fields(tokenizer, tokenizer.vocab_size)


def model(source: str, **fields: Any) -> str:
    return changed(source, model=json.loads(source)["model"] | fields)


@pytest.mark.parametrize("tokenizer", [BPE, ByteTokenizer(), ASCII, CharTokenizer("ba\n \\")])
@pytest.mark.parametrize("extra", [0, 3])
def test_ours_come_back_as_they_went(tokenizer: Tokenizer, extra: int) -> None:
    fields = to_fields(tokenizer, tokenizer.vocab_size + extra)
    assert len(fields.tokens) == len(fields.token_types) == tokenizer.vocab_size + extra
    assert fields.token_types.count(5) == extra
    assert from_fields(fields) == (tokenizer.to_json(), ())


def test_our_bpe_names_a_byte_that_is_never_written_as_its_end() -> None:
    fields = to_fields(BPE, BPE.vocab_size)
    assert (fields.model, fields.pre, fields.add_bos) == ("gpt2", "gpt-2", False)
    assert (fields.eos_id, fields.bos_id) == (255, 255)
    assert fields.tokens[:3] == ["Ā", "ā", "Ă"]
    assert fields.merges is not None
    assert fields.merges[0] == " ".join(BPE.merges[0])


def test_bytes_and_characters_have_no_end() -> None:
    for tokenizer in (ByteTokenizer(), ASCII):
        fields = to_fields(tokenizer, tokenizer.vocab_size)
        assert (fields.model, fields.eos_id, fields.bos_id, fields.add_bos) == (
            *("rwkv", None, None, False),
        )
        assert fields.tokens[ord("a")] == "a"
        assert fields.tokens[ord("\\")] == "\\x5c"
        assert fields.tokens[0] == "\\x00"


def test_other_escapes_of_characters_are_read() -> None:
    fields = to_fields(CharTokenizer("abcdefg"), 7)
    fields = replace(fields, tokens=["\\t", "\\n", "\\r", " ", "\\'", "\\\\", "é"])
    assert from_fields(fields)[0] == CharTokenizer("\t\n\r '\\é").to_json()


@pytest.mark.parametrize("name", FOREIGN)
def test_byte_level_tokenizers_go_there_and_back(name: str) -> None:
    tokenizer = load_tokenizer(FOREIGN[name], vocab_size=700, end_ids=[0])
    fields = to_fields(tokenizer, 700)
    assert (fields.pre, fields.eos_id, fields.token_types[0]) == (name, 0, 3)
    assert fields.tokens[0] == END
    assert fields.tokens[-1] == "[PAD699]"
    source, ends = from_fields(fields)
    back = load_tokenizer(source, vocab_size=700, end_ids=ends)
    assert ends == (0,)
    for text in random_strings(100, 7):
        assert back.encode(text).tolist() == tokenizer.encode(text).tolist()
    assert to_fields(back, 700) == fields
    assert from_fields(to_fields(back, 700)) == (source, ends)


@pytest.mark.parametrize(
    "source",
    [
        sentencepiece(),
        sentencepiece(begin_id=None),
        sentencepiece(has_prefix_space=False, user_ids=[300]),
    ],
)
def test_sentencepiece_goes_there_and_back(source: str) -> None:
    tokenizer = load_tokenizer(source, vocab_size=900, end_ids=[2])
    fields = to_fields(tokenizer, 900)
    assert (fields.model, fields.eos_id) == ("llama", 2)
    assert fields.token_types[:4] == [2, 3, 3, 6]
    assert from_fields(fields) == (source, (2,))
    back = load_tokenizer(source, vocab_size=900, end_ids=[2])
    assert to_fields(back, 900) == fields


@pytest.mark.parametrize("scheme", ["first", "always", "never"])
def test_metaspace_is_sentencepiece(scheme: str) -> None:
    metaspace = METASPACE | {"prepend_scheme": scheme}
    source = changed(sentencepiece(), normalizer=None, pre_tokenizer=metaspace)
    assert exported(source) == exported(sentencepiece(has_prefix_space=scheme != "never"))


def test_other_names_of_pre_tokenizers_are_known() -> None:
    fields = exported(FOREIGN["gpt-2"])
    for alias, name in ALIASES.items():
        assert from_fields(replace(fields, pre=alias)) == from_fields(replace(fields, pre=name))


def test_a_begin_comes_back() -> None:
    begin = {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": END, "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
        ],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {END: {"id": END, "ids": [0], "tokens": [END]}},
    }
    fields = exported(changed(FOREIGN["llama-bpe"], post_processor=begin))
    assert (fields.bos_id, fields.add_bos) == (0, True)
    assert load_tokenizer(from_fields(fields)[0]).begin_ids == (0,)
    twice = [begin["single"][0], *begin["single"]]  # type: ignore[index]
    source = changed(FOREIGN["llama-bpe"], post_processor=begin | {"single": twice})
    assert refused(ExportError, lambda: exported(source)) == (
        "The tokenizer puts 2 tokens before a text, and llama.cpp one at most.",
        ELSEWHERE,
    )


def test_an_own_end_stays() -> None:
    tokenizer = load_tokenizer(BPE.to_json(), end_ids=[10])
    assert from_fields(to_fields(tokenizer, 400)) == (BPE.to_json(), (10,))


def test_characters_beyond_ascii_are_refused() -> None:
    assert refused(ExportError, lambda: to_fields(CharTokenizer("aéü"), 3)) == (
        "The char tokenizer has characters beyond ASCII, such as 'é', and llama.cpp hangs on"
        " others like them.",
        "Export it with --format hf, or train with tokenizer=byte or bpe.",
    )


def test_an_unknown_pre_tokenizer_is_refused_with_what_it_is() -> None:
    prefix = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True}
    source = changed(FOREIGN["gpt-2"], pre_tokenizer=prefix, normalizer={"type": "Lowercase"})
    assert refused(ExportError, lambda: exported(source)) == (
        'llama.cpp has no name for the pre-tokenizer [{"type": "Lowercase"},'
        ' {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true}].',
        ELSEWHERE,
    )


def test_another_way_to_read_spaces_is_refused() -> None:
    for steps in (
        {"normalizer": {"type": "NFKC"}, "pre_tokenizer": METASPACE},
        {"normalizer": None, "pre_tokenizer": METASPACE | {"split": True}},
    ):
        source = changed(sentencepiece(), **steps)
        message, hint = refused(ExportError, lambda source=source: exported(source))
        assert message.startswith("llama.cpp has no way to read texts as this tokenizer does: [{")
        assert hint == ELSEWHERE


def test_unigram_is_refused() -> None:
    assert refused(ExportError, lambda: exported(unigram())) == (
        "minitf writes no Unigram tokenizers for llama.cpp.",
        ELSEWHERE,
    )


def test_pieces_without_bytes_are_refused() -> None:
    for fields in (
        {"byte_fallback": False},
        {"vocab": {"a": 0, "b": 1}, "merges": [], "unk_token": None},
    ):
        source = changed(model(sentencepiece(), **fields), post_processor=None)
        assert refused(ExportError, lambda source=source: exported(source)) == (
            "The tokenizer lacks byte tokens, without which llama.cpp stops at unknown characters.",
            ELSEWHERE,
        )


def test_merges_that_follow_no_order_of_pieces_are_refused() -> None:
    merges = json.loads(sentencepiece())["model"]["merges"]
    made = [left + right for left, right in merges]
    one_of_two = next(m for m, piece in zip(merges, made, strict=True) if made.count(piece) > 1)
    others = [m for m in merges if m != one_of_two]
    for given in (others, [*others, one_of_two]):
        source = model(sentencepiece(), merges=given)
        assert refused(ExportError, lambda source=source: exported(source)) == (
            "The tokenizer's merges follow no order of its pieces, as llama.cpp's must.",
            ELSEWHERE,
        )


def test_a_token_that_is_there_twice_is_refused() -> None:
    tables = json.loads(FOREIGN["gpt-2"])
    added = [*tables["added_tokens"], tables["added_tokens"][0] | {"id": 650, "content": "a"}]
    assert refused(
        ExportError, lambda: exported(changed(FOREIGN["gpt-2"], added_tokens=added))
    ) == (
        "The tokenizer has the token 'a' twice, which llama.cpp does not allow.",
        ELSEWHERE,
    )


FIELDS = to_fields(BPE, 400)
LLAMA = exported(sentencepiece())
CHAR = to_fields(CharTokenizer("ab"), 2)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (replace(FIELDS, token_types=[1]), "it has 400 tokens and 1 types"),
        (replace(CHAR, tokens=["a", "a"]), "a token is there twice"),
        (replace(FIELDS, eos_id=400), "it has 400 tokens and names token 400"),
        (replace(FIELDS, bos_id=-1), "it has 400 tokens and names token -1"),
        (replace(FIELDS, merges=["ab"]), "the merge 'ab' has not two parts"),
        (replace(LLAMA, scores=None), f"it has {len(LLAMA.tokens)} tokens and not as many scores"),
        (
            replace(LLAMA, scores=[float("nan")] * len(LLAMA.tokens)),
            "a score is not a number",
        ),
        (
            replace(CHAR, tokens=["b", "a"]),
            "its tokens are neither the 256 bytes nor single characters in order",
        ),
        (
            replace(CHAR, tokens=["ab", "c"]),
            "its tokens are neither the 256 bytes nor single characters in order",
        ),
    ],
)
def test_damaged_fields_are_refused(fields: TokenizerFields, reason: str) -> None:
    assert refused(FormatError, lambda: from_fields(fields)) == (
        f"The file's tokenizer is damaged: {reason}.",
        "Fetch the file again.",
    )


def test_what_minitf_does_not_know_is_refused() -> None:
    assert refused(FormatError, lambda: from_fields(replace(FIELDS, model="bert"))) == (
        "The file has a tokenizer of the kind 'bert'.",
        "minitf reads gpt2, llama, rwkv.",
    )
    message, hint = refused(FormatError, lambda: from_fields(replace(FIELDS, pre="tekken")))
    assert message == "The file has a pre-tokenizer that minitf does not know: 'tekken'."
    assert hint.startswith("It reads gpt-2, olmo, smollm, llama-bpe, dbrx, qwen2, stablelm2, phi-2")


def test_scores_need_not_be_ranks() -> None:
    names, scores = pieces()
    fields = replace(
        LLAMA, tokens=list(names), scores=[score * 0.37 - 5 for score in scores], eos_id=2
    )
    assert from_fields(fields) == (sentencepiece(), (2,))
