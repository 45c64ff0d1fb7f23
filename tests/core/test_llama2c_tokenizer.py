"""llama2.c's tokenizer.bin: found, read, and a damaged one is one sentence."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import pytest

from core.errors import FormatError
from core.interop.foreign import ForeignModel
from core.interop.llama2c import tokenizer as llama2c_tokenizer
from core.interop.llama2c.reader import read_llama2c
from core.text.tokenizer import load_tokenizer
from tests.core.llama2c_files import PIECES, VOCAB, Theirs, encoded, tokenizer_bin

TEXTS = (
    "there and there.  Then in the rain",
    "",
    " ",
    "é\n\x00 日 \U0001f600 théa in the",
    "▁ the re",
    "thethethe  stringing   ",
)


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


def read(path: Path, tokenizer: str | None = None) -> ForeignModel:
    return read_llama2c(path, "stories.bin", tokenizer, 0)


def refused(path: Path, tokenizer: str | None = None) -> str:
    with pytest.raises(FormatError) as caught:
        read(path, tokenizer)
    return f"{caught.value}\n{caught.value.hint}"


def test_pieces_are_written_as_sentencepiece_does(folder: Path, asked: dict[str, Any]) -> None:
    model = read(written(folder, Theirs().version_0()))
    assert model.tokenizer_json == "tokenizer"
    assert asked["pieces"][:5] == ["<unk>", "<s>", "</s>", "<0x00>", "<0x01>"]
    assert asked["pieces"][259:262] == ["▁t", "he", "▁the"]
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
        (tokenizer_bin(PIECES)[:-1], "token 299 has the length 2, score -299"),
        (tokenizer_bin(["abc"]) + b"\0\0\0", "it ends in token 1"),
        (tokenizer_bin(["abc"], longest=2), "token 0 has the length 3, score 0"),
        (tokenizer_bin(["b" * 513]), "token 0 has the length 513, score 0"),
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


@pytest.mark.parametrize("text", TEXTS)
def test_a_prompt_becomes_the_tokens_of_run_c(tmp_path: Path, text: str) -> None:
    (tmp_path / "tok300.bin").write_bytes(tokenizer_bin(PIECES))
    model = read(written(tmp_path, Theirs().version_0()))
    tokenizer = load_tokenizer(model.tokenizer_json, vocab_size=VOCAB, end_ids=model.end_ids)
    assert tokenizer.encode_prompt(text).tolist() == encoded(text)
