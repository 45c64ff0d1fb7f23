"""Damaged, hostile and foreign GGUF files: one sentence each, and no memory spent on them."""

from __future__ import annotations

import math
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import FormatError
from core.interop.arrival import expected_shapes
from core.interop.gguf.header import read_header
from core.testing import tiny_model
from tests.core.gguf_files import (
    ABSENT,
    llama,
    loaded,
    raw,
    read,
    retold,
    setting,
    tensor,
    text,
    values,
    write,
)

HUGE = 1 << 62
U32, STRING, ARRAY = 4, 8, 9


@pytest.fixture
def good(tmp_path: Path) -> Path:
    write(tmp_path / "good.gguf", llama())
    return tmp_path / "good.gguf"


def refused(path: Path) -> FormatError:
    with pytest.raises(FormatError) as caught:
        read(path)
    return caught.value


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (raw(version=0x03000000), "of a big-endian machine"),
        (raw(version=1), "of version 1"),
        (raw(version=77), "of version 77"),
    ],
)
def test_other_versions_are_refused(data: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(data)
    error = refused(tmp_path / "a.gguf")
    assert str(error) == (
        f"a.gguf is a GGUF {why}, and minitf reads versions 2 and 3 of little-endian ones."
    )
    assert error.hint == "Convert the model again with a current llama.cpp."


@pytest.mark.parametrize("data", [b"", b"GG", b"GGML" + bytes(40), bytes(3000)])
def test_what_is_no_gguf_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(data)
    error = refused(tmp_path / "a.gguf")
    assert str(error) == "a.gguf is no GGUF: its first four bytes are others."
    assert error.hint == "Name a .gguf file, or the folder that it was made from."


HOSTILE = {
    "more tensors than bytes": (raw(n_tensors=HUGE), "it ends too early"),
    "more settings than bytes": (raw(n_settings=HUGE), "it ends too early"),
    "one setting too many": (raw(n_settings=1), "it ends too early"),
    "a text longer than the file": (
        raw((struct.pack("<Q", HUGE) + b"abc",), data=bytes(64)),
        "it ends too early",
    ),
    "a list longer than the file": (
        raw((setting("a", ARRAY, struct.pack("<IQ", U32, HUGE)),), data=bytes(64)),
        "it ends too early",
    ),
    "a list of texts longer than the file": (
        raw((setting("a", ARRAY, struct.pack("<IQ", STRING, HUGE)),), data=bytes(64)),
        "it ends too early",
    ),
    "lists of lists": (
        raw((setting("a", ARRAY, struct.pack("<IQIQ", ARRAY, 1, ARRAY, 1)),), data=bytes(64)),
        "it holds a value of type 9",
    ),
    "a type that there is not": (
        raw((setting("a", 99, bytes(8)),)),
        "it holds a value of type 99",
    ),
    "a key that is said twice": (
        raw((setting("a", U32, bytes(4)),) * 2),
        "it says 'a' twice",
    ),
    "a text that is none": (
        raw((setting("a", STRING, text(b"\xff\xfe")),)),
        "it holds a text that is not UTF-8",
    ),
    "no dimensions": (raw(tensors=(tensor("t", ()),)), "'t' has 0 dimensions"),
    "too many dimensions": (
        raw(tensors=(tensor("t", (1,) * 5),), data=bytes(64)),
        "'t' has 5 dimensions",
    ),
    "a tensor past the end": (
        raw(tensors=(tensor("t", (17,)),), data=bytes(64)),
        "'t' goes past its end",
    ),
    "a tensor that begins past the end": (
        raw(tensors=(tensor("t", (1,), offset=HUGE),), data=bytes(64)),
        "'t' goes past its end",
    ),
    "a tensor whose size overflows": (
        raw(tensors=(tensor("t", (HUGE, HUGE)),), data=bytes(64)),
        "'t' goes past its end",
    ),
    "an empty tensor": (
        raw(tensors=(tensor("t", (0,)),), data=bytes(64)),
        "'t' goes past its end",
    ),
    "half a block": (
        raw(tensors=(tensor("t", (16, 2), 8),), data=bytes(64)),
        "'t' goes past its end",
    ),
    "one name for two": (
        raw(tensors=(tensor("t", (1,)),) * 2, data=bytes(64)),
        "'t' is there twice",
    ),
    "bytes for two": (
        raw(tensors=tuple(tensor(f"t{i}", (16,)) for i in range(2)), data=bytes(64)),
        "its tensors take more bytes than it has",
    ),
    "an alignment of nothing": (
        raw((setting("general.alignment", U32, bytes(4)),)),
        "its alignment is 0",
    ),
    "an alignment in words": (
        raw((setting("general.alignment", STRING, text("wide")),)),
        "its alignment is 'wide'",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_cost_nothing_and_say_what_is_wrong(name: str, tmp_path: Path) -> None:
    data, why = HOSTILE[name]
    (tmp_path / "a.gguf").write_bytes(data)
    tracemalloc.start()
    error = refused(tmp_path / "a.gguf")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(error) == f"a.gguf is a damaged GGUF: {why}."
    assert error.hint == "Fetch or export it again."
    assert peak < 1_000_000


def test_a_header_of_very_many_values_is_refused(tmp_path: Path) -> None:
    n = (1 << 22) + 1
    listed = setting("a", ARRAY, struct.pack("<IQ", 0, n))
    (tmp_path / "a.gguf").write_bytes(raw((listed,), data=bytes(n)))
    assert str(refused(tmp_path / "a.gguf")) == (
        "a.gguf is a damaged GGUF: it holds more than 4194304 values."
    )


def test_a_file_that_ends_anywhere_is_refused(good: Path) -> None:
    data = good.read_bytes()
    for n in [*range(0, 3000, 97), len(data) // 2, len(data) - 40]:
        good.write_bytes(data[:n])
        refused(good)


def test_a_file_with_any_byte_changed_is_read_or_refused(good: Path) -> None:
    """Never anything but a FormatError, whatever the byte."""
    data = bytearray(good.read_bytes())
    n_read = 0
    for place in range(0, 8000, 211):
        changed = bytearray(data)
        changed[place] ^= 0xFF
        good.write_bytes(changed)
        try:
            expected_shapes(read(good))
            n_read += 1
        except FormatError:
            pass
    assert n_read < 35


@pytest.mark.parametrize(
    ("kind", "called"), [(2, None), (12, "q4_k"), (3, "q4_1"), (99, "type 99")]
)
def test_other_types_of_numbers_are_refused_by_name(
    kind: int, called: str | None, tmp_path: Path
) -> None:
    (tmp_path / "a.gguf").write_bytes(raw(tensors=(tensor("t", (256,), kind),), data=bytes(256)))
    if called is None:
        read_header(tmp_path / "a.gguf", "a.gguf")
        return
    error = refused(tmp_path / "a.gguf")
    assert str(error) == f"a.gguf: t is kept as {called}, which minitf does not read."
    assert error.hint == "It reads f32, f16, bf16, q8_0 and q4_0: fetch one of those."


def test_a_file_that_shrinks_while_it_is_read(good: Path) -> None:
    found = read(good)
    good.write_bytes(good.read_bytes()[:-100])
    with pytest.raises(FormatError) as caught:
        found.tensors["head.weight"]()
    assert str(caught.value) == "good.gguf has become shorter while it was read."
    assert caught.value.hint == "Import it again."


def test_an_unknown_architecture_is_refused_by_name(good: Path) -> None:
    error = refused(retold(good, {"general.architecture": "mamba"}))
    assert str(error) == ("retold.gguf is a model of the architecture 'mamba', which minitf lacks.")
    assert error.hint == (
        "It reads llama, qwen3, qwen2, stablelm, apertus, arcee, nemotron, starcoder2, gptneox,"
        " gpt2."
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("llama.expert_count", 8),
        ("llama.attention.sliding_window", 23),
        ("llama.rope.scaling.type", "yarn"),
        ("llama.rope.scaling.attn_factor", 1.5),
        ("llama.attention.value_length", 16),
        ("llama.rope.dimension_count", 4),
    ],
)
def test_what_minitf_cannot_compute_is_refused_by_its_key(key: str, value: Any, good: Path) -> None:
    error = refused(retold(good, {key: value}))
    assert str(error) == (
        f"retold.gguf asks for {key}={value}, and minitf has nothing that computes it."
    )
    assert error.hint == (
        "Choose another model: a dense one of the Llama family, with full attention."
    )


def test_a_window_as_long_as_the_context_changes_nothing(good: Path) -> None:
    assert read(retold(good, {"llama.attention.sliding_window": 24})).config.max_seq_len == 24
    cut = retold(good, {"llama.attention.sliding_window": 12})
    assert read(cut, 12).config.max_seq_len == 12


def test_factors_that_llama3_does_not_give_are_refused(good: Path) -> None:
    odd = torch.tensor([1.0, 5.0, 2.0, 7.0])
    assert str(refused(retold(good, tensors={"rope_freqs.weight": odd}))) == (
        "retold.gguf asks for llama.rope_freqs.weight=[… 7], and minitf has nothing that"
        " computes it."
    )


def test_a_trained_xielu_is_refused(tmp_path: Path) -> None:
    model = tiny_model(vocab_size=256, activation="relu2", qk_norm=True)
    write(tmp_path / "a.gguf", model)
    assert read(tmp_path / "a.gguf").config.activation == "relu2"
    error = refused(retold(tmp_path / "a.gguf", {"xielu.beta": [0.5, 0.5]}))
    assert str(error).startswith("retold.gguf asks for xielu.beta=0.5, and minitf ")


def test_a_tensor_of_another_architecture_is_refused(good: Path) -> None:
    extra = {"blk.0.attn_sinks.weight": torch.zeros(4)}
    error = refused(retold(good, tensors=extra))
    assert str(error) == (
        "retold.gguf holds a tensor that llama has no place for in minitf: blk.0.attn_sinks.weight."
    )
    assert error.hint == "Choose another model: this one has parts that minitf lacks."


def test_a_tensor_of_another_shape_is_refused(good: Path) -> None:
    error = refused(retold(good, tensors={"blk.1.attn_k.weight": torch.zeros(33, 32)}))
    assert str(error) == "retold.gguf: blk.1.attn_k.weight has 33 rows, not 32."
    assert error.hint == "The file is damaged, or its settings are of another model."


def test_a_vocabulary_that_does_not_fit_is_refused(good: Path) -> None:
    fewer = {name: torch.zeros(250, 32) for name in ("token_embd.weight", "output.weight")}
    error = refused(retold(good, tensors=fewer))
    assert str(error) == "retold.gguf has 256 tokens, and rows for 250."
    assert error.hint == "Fetch or export it again."


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("llama.embedding_length", ABSENT, "is missing, not a whole number up to 1048576"),
        ("llama.embedding_length", "wide", "is wide, not a whole number up to 1048576"),
        ("llama.feed_forward_length", [88, 88], "is [88, 88], not a whole number up to 1048576"),
        ("llama.block_count", 4_000_000, "is 4000000, not a whole number up to 512"),
        (
            "llama.attention.layer_norm_rms_epsilon",
            math.nan,
            "is nan, not a finite number",
        ),
        ("tokenizer.ggml.tokens", [1, 2], "is [1, 2], not a list of str"),
        ("tokenizer.ggml.token_type", [1, 2], "is [1, 2], not a list of 256 int"),
        ("tokenizer.ggml.add_bos_token", 1, "is 1, not true or false"),
        ("tokenizer.ggml.model", 1, "is 1, not a text"),
    ],
)
def test_a_setting_of_another_type_is_named(key: str, value: Any, why: str, good: Path) -> None:
    error = refused(retold(good, {key: value}))
    assert str(error) == f"retold.gguf is a damaged GGUF: {key} {why}."


@pytest.mark.parametrize("key", ["llama.embedding_length", "llama.attention.head_count"])
def test_an_impossible_shape_is_refused(key: str, good: Path) -> None:
    error = refused(retold(good, {key: 0}))
    assert str(error).startswith("retold.gguf describes no possible model: ")
    assert error.hint == "Fetch or export it again."


def test_tokens_after_which_all_is_said(good: Path) -> None:
    assert read(good).end_ids == ()
    ended = retold(good, {"tokenizer.ggml.eot_token_id": 7})
    assert read(ended).end_ids == (7,)
    nonsense = retold(good, {"tokenizer.ggml.eot_token_id": 0xFFFFFFFF})
    assert read(nonsense).end_ids == ()


def test_one_matrix_for_queries_keys_and_values(good: Path) -> None:
    """As some converters write Llama's; llama.cpp reads both."""
    from gguf import GGUFReader

    there = {t.name: torch.from_numpy(t.data.copy()) for t in GGUFReader(good).tensors}
    joined: dict[str, Any] = {}
    for i in (0, 1):
        names = [f"blk.{i}.attn_{letter}.weight" for letter in "qkv"]
        joined[f"blk.{i}.attn_qkv.weight"] = torch.cat([there[name] for name in names])
        joined |= dict.fromkeys(names, ABSENT)
    ids = torch.randint(256, (1, 24), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        together = loaded(read(retold(good, tensors=joined)))(ids)
        assert torch.equal(together, loaded(read(good))(ids))


def test_the_gguf_package_reads_the_same(good: Path) -> None:
    header = read_header(good, "good.gguf")
    assert header.settings == values(good)
