"""llama2.c: its weights compute the same logits here, and a damaged file is one sentence."""

from __future__ import annotations

import io
import math
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from core.config import ModelConfig
from core.errors import FormatError
from core.interop import llama2c_tokenizer
from core.interop.arrival import expected_shapes
from core.interop.foreign import LONGEST, ForeignModel
from core.interop.llama2c import read_llama2c
from core.model.transformer import Transformer

Array = NDArray[Any]
SHAPE = {"dim": 48, "hidden_dim": 40, "n_layers": 2, "n_heads": 6, "n_kv_heads": 2}
VOCAB, SEQ_LEN = 300, 256
BYTES = [f"<0x{b:02X}>" for b in range(256)]
PIECES = ["<unk>", "\n<s>\n", "\n</s>\n", *BYTES, *(" a" + chr(0x61 + i) for i in range(41))]


class Theirs:
    """A model of llama2.c with random weights, written and computed as it does that."""

    def __init__(self, *, is_tied: bool = True, seed: int = 0, **shape: int) -> None:
        self.shape = {**SHAPE, **shape}
        self.is_tied = is_tied
        self.dim, hidden, n_layers, n_heads, n_kv_heads = self.shape.values()
        self.head_size = self.dim // n_heads
        kv_dim = self.head_size * n_kv_heads
        rng = np.random.default_rng(seed)

        def draw(*axes: int) -> Array:
            scale = 1.0 if len(axes) < 3 else axes[-1] ** -0.5
            return (rng.standard_normal(axes) * scale).astype(np.float32)

        self.tokens = 0.2 * draw(VOCAB, self.dim)
        self.layers: dict[str, Array] = {
            "rms_att": 1 + 0.3 * draw(n_layers, self.dim),
            "wq": draw(n_layers, self.dim, self.dim),
            "wk": draw(n_layers, kv_dim, self.dim),
            "wv": draw(n_layers, kv_dim, self.dim),
            "wo": draw(n_layers, self.dim, self.dim),
            "rms_ffn": 1 + 0.3 * draw(n_layers, self.dim),
            "w1": draw(n_layers, hidden, self.dim),
            "w2": draw(n_layers, self.dim, hidden),
            "w3": draw(n_layers, hidden, self.dim),
        }
        self.rms_final = 1 + 0.3 * draw(self.dim)
        self.classifier = self.tokens if is_tied else 0.2 * draw(VOCAB, self.dim)

    def numbers(self) -> list[int]:
        return [*self.shape.values(), VOCAB, SEQ_LEN]

    def version_0(self) -> list[bytes]:
        """The file in its parts."""
        numbers = self.numbers()
        numbers[5] *= 1 if self.is_tied else -1
        angles = np.full((2, SEQ_LEN, self.head_size // 2), np.nan, np.float32)  # nobody reads
        head = [] if self.is_tied else [self.classifier]
        arrays = [self.tokens, *self.layers.values(), self.rms_final, angles, *head]
        return [struct.pack("<7i", *numbers), *(a.tobytes() for a in arrays)]

    def version_1(self) -> list[bytes]:
        """The file in its parts."""
        header = struct.pack("<Ii7iB", 0x616B3432, 1, *self.numbers(), self.is_tied)
        of = self.layers
        norms = [of["rms_att"], of["rms_ffn"], self.rms_final]
        rest = [of[name] for name in ("wq", "wk", "wv", "wo", "w1", "w2", "w3")]
        head = [] if self.is_tied else [self.classifier]
        arrays = [*norms, self.tokens, *rest, *head]
        return [header.ljust(256, b"\0"), *(a.tobytes() for a in arrays)]

    def logits(self, ids: list[int]) -> Array:
        """One position after another, as run.c goes; pairs of neighbours are turned."""
        size = self.head_size
        n_heads, n_kv_heads = self.shape["n_heads"], self.shape["n_kv_heads"]
        held: list[list[tuple[Array, Array]]] = [[] for _ in range(self.shape["n_layers"])]
        found = []
        for position, token in enumerate(ids):
            x = self.tokens[token].astype(np.float64)
            for n in range(self.shape["n_layers"]):
                of = {name: array[n] for name, array in self.layers.items()}
                y = rms_norm(x, of["rms_att"])
                q = [turned(h, position) for h in np.split(of["wq"] @ y, n_heads)]
                k = [turned(h, position) for h in np.split(of["wk"] @ y, n_kv_heads)]
                v = np.split(of["wv"] @ y, n_kv_heads)
                held[n].append((np.stack(k), np.stack(v)))
                mixed = []
                for h in range(n_heads):
                    group = h * n_kv_heads // n_heads
                    scores = np.array([q[h] @ past[group] for past, _ in held[n]]) / size**0.5
                    share = np.exp(scores - scores.max())
                    share /= share.sum()
                    values = np.stack([past[group] for _, past in held[n]])
                    mixed.append(share @ values)
                x = x + of["wo"] @ np.concatenate(mixed)
                y = rms_norm(x, of["rms_ffn"])
                gate = of["w1"] @ y
                x = x + of["w2"] @ (gate / (1 + np.exp(-gate)) * (of["w3"] @ y))
            found.append(self.classifier @ rms_norm(x, self.rms_final))
        return np.stack(found)


def rms_norm(x: Array, weight: Array) -> Array:
    return weight * x / math.sqrt(float(x @ x) / len(x) + 1e-5)


def turned(head: Array, position: int) -> Array:
    out = head.copy()
    for i in range(0, len(head), 2):
        angle = position / 10_000.0 ** (i / len(head))
        c, s = math.cos(angle), math.sin(angle)
        out[i], out[i + 1] = head[i] * c - head[i + 1] * s, head[i] * s + head[i + 1] * c
    return out


def tokenizer_bin(pieces: list[str], *, longest: int = 0) -> bytes:
    out = io.BytesIO()
    encoded = [piece.encode() for piece in pieces]
    out.write(struct.pack("<i", longest or max(map(len, encoded))))
    for n, piece in enumerate(encoded):
        out.write(struct.pack("<fi", -float(n), len(piece)) + piece)
    return out.getvalue()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `from_scores` was asked for; it answers with a word."""
    seen: dict[str, Any] = {}

    def from_scores(pieces: list[str], scores: list[float], **how: Any) -> str:
        seen.update(pieces=pieces, scores=scores, **how)
        return "tokenizer"

    monkeypatch.setattr(llama2c_tokenizer, "from_scores", from_scores)
    return seen


@pytest.fixture
def folder(tmp_path: Path, asked: dict[str, Any]) -> Path:
    """A folder with a tokenizer.bin that fits."""
    (tmp_path / "tokenizer.bin").write_bytes(tokenizer_bin(PIECES))
    return tmp_path


def written(folder: Path, parts: list[bytes]) -> Path:
    path = folder / "stories.bin"
    path.write_bytes(b"".join(parts))
    return path


def read(path: Path, tokenizer: str | None = None, max_seq_len: int = 0) -> ForeignModel:
    return read_llama2c(path, "stories.bin", tokenizer, max_seq_len)


def refused(path: Path, tokenizer: str | None = None) -> str:
    with pytest.raises(FormatError) as caught:
        read(path, tokenizer)
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


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("is_tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("n_kv_heads", [6, 2, 1])
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
    for _ in range(200):
        yield [rng.choice([*strange, rng.randrange(-(2**31), 2**31)]) for _ in range(7)]


def test_no_header_takes_time_or_memory_or_is_believed(folder: Path) -> None:
    theirs = Theirs()
    v0, v1 = theirs.version_0(), theirs.version_1()
    for numbers in hostile(theirs.numbers()):
        header = struct.pack("<7i", *numbers)
        assert "stories.bin" in refused(written(folder, [header, *v0[1:]]))
        header = struct.pack("<Ii7iB", 0x616B3432, 1, *numbers, 1).ljust(256, b"\0")
        has_another_length = numbers[:6] == theirs.numbers()[:6] and numbers[6] > 0
        if not has_another_length:  # version 1 holds no table of positions
            assert "stories.bin" in refused(written(folder, [header, *v1[1:]]))


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


# The tokenizer.


def test_pieces_are_written_as_sentencepiece_does(folder: Path, asked: dict[str, Any]) -> None:
    model = read(written(folder, Theirs().version_0()))
    assert model.tokenizer_json == "tokenizer"
    assert asked["pieces"][:5] == ["<unk>", "<s>", "</s>", "<0x00>", "<0x01>"]
    assert asked["pieces"][259:] == ["▁a" + chr(0x61 + i) for i in range(41)]
    assert asked["scores"] == [-float(n) for n in range(300)]
    assert (asked["has_prefix_space"], asked["begin_id"]) == (True, 1)
    assert asked["control_ids"] == (1, 2)


def test_the_tokenizer_of_that_size_is_taken_before_any_other(
    folder: Path, asked: dict[str, Any]
) -> None:
    other = [*PIECES[:-1], "other"]
    (folder / "tok300.bin").write_bytes(tokenizer_bin(other))
    path = written(folder, Theirs().version_0())
    read(path)
    assert asked["pieces"][-1] == "other"
    read(path, str(folder / "tokenizer.bin"))
    assert asked["pieces"][-1] != "other"


def test_without_a_tokenizer_it_is_asked_for(folder: Path) -> None:
    (folder / "tokenizer.bin").unlink()
    path = written(folder, Theirs().version_0())
    assert refused(path) == (
        "stories.bin: neither tok300.bin nor tokenizer.bin is beside it.\n"
        "Name its tokenizer: --tokenizer FILE."
    )
    assert refused(path, str(folder)) == (
        f"The tokenizer {folder} cannot be read: Is a directory.\n"
        "Name a tokenizer.bin of llama2.c: --tokenizer FILE."
    )
    missing = str(folder / "none.bin")
    assert refused(path, missing).startswith(f"The tokenizer {missing} cannot be read: No such")


@pytest.mark.parametrize("n", [299, 301])
def test_a_tokenizer_of_another_model_is_refused(folder: Path, n: int) -> None:
    pieces = [*PIECES, "one more"][:n]
    (folder / "tokenizer.bin").write_bytes(tokenizer_bin(pieces))
    assert refused(written(folder, Theirs().version_0())) == (
        f"tokenizer.bin holds {n} tokens, and the model of stories.bin has 300.\n"
        "Name the tokenizer that it was trained with: --tokenizer FILE."
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it has 0 bytes"),
        (b"\1\0\0\0", "it has 4 bytes"),
        (tokenizer_bin(PIECES)[:-1], "token 299 has the length 4, score -299"),
        (tokenizer_bin(["abc"]) + b"\0\0\0", "it ends in token 1"),
        (tokenizer_bin(["abc"], longest=2), "token 0 has the length 3, score -0"),
        (tokenizer_bin(["abc", ""]), "token 1 has the length 0, score -1"),
        (struct.pack("<ifi", 9, 0.0, -3) + b"abc", "token 0 has the length -3, score 0"),
        (struct.pack("<ifi", 9, 0.0, 2**31 - 1), "token 0 has the length 2147483647, score 0"),
        (struct.pack("<ifi", 9, math.nan, 1) + b"a", "token 0 has the length 1, score nan"),
        (struct.pack("<ifi", 9, 0.0, 2) + b"\xff\xfe", "token 0 is not UTF-8"),
        (tokenizer_bin(["a", "b", "c", "d", "d"]), "a token is there twice"),
    ],
)
def test_a_damaged_tokenizer_is_one_sentence(folder: Path, data: bytes, reason: str) -> None:
    (folder / "tokenizer.bin").write_bytes(data)
    assert refused(written(folder, Theirs().version_0())) == (
        f"tokenizer.bin is no tokenizer.bin of llama2.c, or a damaged one: {reason}.\n"
        "Fetch it again, or name another: --tokenizer FILE."
    )


def test_more_than_any_tokenizer_has_is_not_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama2c_tokenizer, "LARGEST_BYTES", 500)
    text = refused(written(folder, Theirs().version_0()))
    assert f"it has {(folder / 'tokenizer.bin').stat().st_size} bytes" in text
