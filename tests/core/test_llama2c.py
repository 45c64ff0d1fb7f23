"""llama2.c's weights: they compute the same logits here, and a damaged file is one sentence."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from core import paths
from core.config import ModelConfig
from core.errors import FormatError
from core.interop.arrival import arrive, expected_shapes
from core.interop.foreign import LONGEST, ForeignModel
from core.interop.llama2c.reader import read_llama2c
from core.model.transformer import Transformer
from core.open_run import open_for_use
from core.store.stages import never
from core.testing import CPU
from tests.core.llama2c_files import PIECES, SEQ_LEN, SHAPE, VOCAB, Theirs, encoded, tokenizer_bin


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a tokenizer.bin that fits."""
    (tmp_path / "tokenizer.bin").write_bytes(tokenizer_bin(PIECES))
    return tmp_path


def written(folder: Path, parts: list[bytes]) -> Path:
    path = folder / "stories.bin"
    path.write_bytes(b"".join(parts))
    return path


def read(path: Path, max_seq_len: int = 0) -> ForeignModel:
    return read_llama2c(path, "stories.bin", None, max_seq_len)


def refused(path: Path) -> str:
    with pytest.raises(FormatError) as caught:
        read(path)
    return f"{caught.value}\n{caught.value.hint}"


def as_ours(foreign: ForeignModel) -> Transformer:
    model = Transformer(foreign.config, seed=1).eval()
    shapes = expected_shapes(foreign)
    assert shapes.keys() == foreign.tensors.keys()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            tensor = foreign.tensors[name]()
            assert (tensor.shape, tensor.dtype) == (parameter.shape, torch.float32)
            parameter.copy_(tensor)
    return model


# The same function.


@pytest.mark.parametrize(
    ("version", "is_tied", "n_kv_heads"),
    [(0, True, 6), (0, False, 2), (1, True, 1), (1, False, 3)],
)
def test_the_logits_are_those_of_run_c(
    folder: Path, version: int, is_tied: bool, n_kv_heads: int
) -> None:
    theirs = Theirs(is_tied=is_tied, n_kv_heads=n_kv_heads, seed=n_kv_heads)
    parts = theirs.version_1() if version else theirs.version_0()
    model = as_ours(read(written(folder, parts)))
    ids = np.random.default_rng(5).integers(0, VOCAB, 200).tolist()
    with torch.no_grad():
        logits = model(torch.tensor([ids]))[0].numpy()
    wanted = theirs.logits(ids)
    assert np.abs(wanted).max() > 1
    np.testing.assert_allclose(logits, wanted, atol=1e-5, rtol=0)


def test_what_is_known_of_the_file_is_told(folder: Path) -> None:
    model = read(written(folder, Theirs().version_0()))
    assert model.config == ModelConfig(
        vocab_size=VOCAB,
        max_seq_len=SEQ_LEN,
        d_model=48,
        n_layers=2,
        n_heads=6,
        n_kv_heads=2,
        d_ff=40,
        norm="rmsnorm",
        activation="swiglu",
        tied_head=True,
    )
    assert (model.format, model.architecture) == ("llama2.c", "llama2.c")
    assert (model.source, model.stem) == ("stories.bin", "stories")
    assert (model.end_ids, model.remarks) == ((1, 2), ())


def test_positions_are_kept_up_to_what_is_asked_for(folder: Path) -> None:
    path = written(folder, Theirs().version_1())
    assert read(path, max_seq_len=1000).config.max_seq_len == SEQ_LEN
    short = read(path, max_seq_len=64)
    assert short.config.max_seq_len == 64
    assert short.remarks == ("64 of its 256 positions are kept.",)
    theirs = Theirs().version_1()
    theirs[0] = struct.pack("<Ii7iB", 0x616B3432, 1, *SHAPE.values(), VOCAB, 10**6, 1)
    theirs[0] = theirs[0].ljust(256, b"\0")
    assert read(written(folder, theirs)).config.max_seq_len == LONGEST


def test_nothing_is_read_before_it_is_asked_for_and_then_it_can_be_written_to(
    folder: Path,
) -> None:
    path = written(folder, Theirs().version_0())
    before = path.read_bytes()
    model = read(path)
    tensor = model.tensors["embedding.weight"]()
    tensor.fill_(3.0)
    assert path.read_bytes() == before
    assert not torch.equal(model.tensors["embedding.weight"](), tensor)


# Damaged files.


@pytest.mark.parametrize("version", [0, 1])
def test_a_file_cut_anywhere_or_longer_is_refused(folder: Path, version: int) -> None:
    parts = Theirs().version_1() if version else Theirs(is_tied=False).version_0()
    whole = b"".join(parts)
    ends = np.cumsum([len(part) for part in parts])[:-1].tolist()
    for n in (0, 1, 27, 28, 29, 255, *ends, *(end + 2 for end in ends), len(whole) - 1):
        text = refused(written(folder, [whole[:n]]))
        assert text.startswith("stories.bin ")
    assert refused(written(folder, [whole, b"\0\0\0\0"])) == (
        f"stories.bin has {len(whole) + 4} bytes, and its header speaks of {len(whole)}.\n"
        "Fetch it again: it is damaged, or was not fetched whole."
    )


def hostile(numbers: list[int]) -> Iterator[list[int]]:
    """Headers with something else in one place, then in all."""
    strange = [0, -1, 1, 2, 3, 7, 2**31 - 1, -(2**31), 65_536, 46_341]
    for place in range(7):
        for value in strange:
            if value != numbers[place]:
                yield [*numbers[:place], value, *numbers[place + 1 :]]
    rng = random.Random(3)
    for _ in range(100):
        yield [rng.choice([*strange, rng.randrange(-(2**31), 2**31)]) for _ in range(7)]


def test_no_header_takes_time_or_memory_or_is_believed(folder: Path) -> None:
    theirs = Theirs()
    numbers = theirs.numbers()
    old, new = folder / "old.bin", folder / "new.bin"
    old.write_bytes(b"".join(theirs.version_0()))
    new.write_bytes(b"".join(theirs.version_1()))
    for strange in hostile(numbers):
        overwrite(old, struct.pack("<7i", *strange))
        assert "stories.bin" in refused(old)
        overwrite(new, struct.pack("<Ii7i", 0x616B3432, 1, *strange))
        has_another_length = strange[:6] == numbers[:6] and strange[6] > 0
        if not has_another_length:  # version 1 holds no table of positions
            assert "stories.bin" in refused(new)


def overwrite(path: Path, header: bytes) -> None:
    with path.open("r+b") as file:
        file.write(header)


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ([48, 40, 0, 6, 2, 300, 256], "n_layers=0"),
        ([48, 40, 2, 5, 1, 300, 256], "n_heads=5"),
        ([42, 40, 2, 6, 2, 300, 256], "dim=42"),
        ([48, 40, 2, 6, 4, 300, 256], "n_kv_heads=4"),
        ([48, 40, 2, 6, 2, 0, 256], "vocab_size=0"),
        ([48, 40, 2, 6, 2, 300, -1], "seq_len=-1"),
    ],
)
def test_a_shape_that_cannot_be_is_shown(folder: Path, numbers: list[int], said: str) -> None:
    text = refused(written(folder, [struct.pack("<7i", *numbers)]))
    assert text.startswith("stories.bin is no .bin of llama2.c, or a damaged one: dim=")
    assert said in text
    assert text.endswith(
        "\nOf the .bin files minitf reads llama2.c's alone: those of PyTorch can run code."
    )


@pytest.mark.parametrize(
    ("version", "words"),
    [(2, "are int8"), (3, "have a layout that minitf does not know")],
)
def test_other_versions_are_refused_by_their_number(folder: Path, version: int, words: str) -> None:
    header = struct.pack("<Ii7iB", 0x616B3432, version, *Theirs().numbers(), 1)
    assert refused(written(folder, [header.ljust(256, b"\0")])) == (
        f"stories.bin: its weights {words}: version {version} of llama2.c.\n"
        "Write it with llama2.c's export.py --version 0 or 1."
    )


def test_a_flag_that_is_neither_yes_nor_no_is_damage(folder: Path) -> None:
    parts = Theirs().version_1()
    parts[0] = parts[0][:36] + b"\x02" + parts[0][37:]
    assert "or a damaged one" in refused(written(folder, parts))


def test_it_becomes_a_run_that_computes_the_same(folder: Path, text_file: str) -> None:
    list(arrive(read(written(folder, Theirs().version_0())), "theirs", text_file, CPU, never))
    opened = open_for_use("theirs", device="cpu", dtype="float32", threads=1)
    assert opened.run.config.model.vocab_size == VOCAB
    ids = encoded("there and there")
    with torch.no_grad():
        logits = opened.model(torch.tensor([ids]))[0].numpy()
    np.testing.assert_allclose(logits, Theirs().logits(ids), atol=1e-5, rtol=0)


def test_a_number_that_is_not_finite_leaves_nothing_behind(folder: Path, text_file: str) -> None:
    theirs = Theirs()
    theirs.layers["w2"][1, 3, 4] = np.nan
    model = read(written(folder, theirs.version_0()))
    with pytest.raises(FormatError, match=r"blocks\.1\.feed_forward\.down_proj"):
        list(arrive(model, "theirs", text_file, CPU, never))
    assert not (paths.runs_dir() / "theirs").exists()
