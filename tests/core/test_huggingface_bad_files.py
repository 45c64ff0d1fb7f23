"""Folders whose files are missing, dangerous or not to be read: one sentence each."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from core.interop import untrusted_files
from core.interop.huggingface.reader import read_hf
from tests.core.huggingface_folders import AGAIN, WEIGHTS, edit, refusal
from tests.core.huggingface_folders import folder as folder
from tests.core.huggingface_folders import whole as whole


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        (b"\xff\xfe{}", "M: config.json is not UTF-8.", "Fetch the file again."),
        (b"[]", "M: config.json holds no JSON object.", "Fetch the file again."),
        (b"{", "M: config.json is not JSON that can be read: ", "Fetch the file again."),
        (b'{"a": NaN}', "M: config.json is not JSON that can be read: NaN is not", "Fetch the"),
        (b"[" * 100_000, "M: config.json is not JSON that can be read: ", "Fetch the"),
        (b'{"a": ' + b"9" * 5000 + b"}", "M: config.json is not JSON that can be read: ", "Fet"),
        (
            b" " * (10 << 20) + b"{}",
            "M: config.json is longer than 10485760 bytes.",
            "No such file of a model is; this is another one.",
        ),
    ],
)
def test_a_file_that_is_no_json_is_refused(
    content: bytes, message: str, hint: str, folder: Path
) -> None:
    (folder / "config.json").write_bytes(content)
    said, advice = refusal(folder)
    assert said.startswith(message)
    assert advice.startswith(hint)


def test_files_that_are_missing_are_named(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    assert refusal(folder) == (
        "M has no tokenizer.",
        "Put its tokenizer.json into the folder.",
    )
    (folder / "tokenizer.model").write_bytes(b"\x0a")
    assert refusal(folder) == (
        "M has a tokenizer.model, and no tokenizer.json.",
        "Write one with transformers: AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR).",
    )
    (folder / "config.json").unlink()
    assert refusal(folder) == ("M lacks config.json.", AGAIN)


def test_a_folder_without_safetensors_is_refused(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")
    assert refusal(folder) == (
        "M holds no model.safetensors.",
        "minitf reads safetensors only: a pickle can run code.",
    )


@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid"), reason="rights of POSIX")
def test_a_file_that_cannot_be_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert refusal(folder) == ("M: config.json cannot be read: Permission denied.", AGAIN)


def test_merges_that_are_no_pairs_are_refused(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text('{"a": 0}')
    (folder / "merges.txt").write_text("#version: 0.2\na b c\n")
    assert refusal(folder) == (
        "M: merges.txt holds a line that is not two tokens.",
        "Fetch the file again.",
    )


def test_ends_that_are_no_ids_are_refused(folder: Path) -> None:
    edit(folder, {"eos_token_id": "end"}, "generation_config.json")
    assert refusal(folder) == (
        "M has eos_token_id='end'.",
        "That takes a token id, or a list of up to 64.",
    )
    edit(folder, {"eos_token_id": list(range(65))}, "generation_config.json")
    assert refusal(folder)[0] == "M has eos_token_id=something nested."


def test_a_link_to_elsewhere_is_refused_and_one_of_the_hubs_cache_is_not(
    folder: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.move(folder / WEIGHTS, elsewhere / "secret")
    (folder / WEIGHTS).symlink_to(elsewhere / "secret")
    assert refusal(folder) == (
        "M: model.safetensors is a link to a file elsewhere.",
        "Put the file itself into the folder.",
    )
    snapshot, blobs = tmp_path / "models--a--b" / "snapshots" / "1234", tmp_path / "models--a--b"
    (blobs / "blobs").mkdir(parents=True)
    snapshot.mkdir(parents=True)
    (elsewhere / "secret").rename(folder / "blob")
    (folder / WEIGHTS).unlink()
    (folder / "blob").rename(folder / WEIGHTS)
    for path in list(folder.iterdir()):
        path.rename(blobs / "blobs" / path.name)
        (snapshot / path.name).symlink_to(Path("../../blobs") / path.name)
    assert read_hf(snapshot, "M", 0).config.d_model == 32


INDEX = "model.safetensors.index.json"


def sharded(folder: Path, places: object) -> Path:
    (folder / WEIGHTS).rename(folder / "one.safetensors")
    (folder / INDEX).write_text(json.dumps({"weight_map": places}))
    return folder


def test_an_index_without_places_is_refused(folder: Path) -> None:
    assert refusal(sharded(folder, [])) == (
        f"M: {INDEX} has no weight_map.",
        "Fetch the file again.",
    )


@pytest.mark.parametrize(
    "name",
    [
        "../secret.safetensors",
        "/etc/passwd",
        "a/b.safetensors",
        "..",
        "c:x.safetensors",
        "x.bin",
        7,
    ],
)
def test_a_shard_that_is_no_plain_name_is_refused(name: object, folder: Path) -> None:
    assert refusal(sharded(folder, {"a": name})) == (
        f"M: {INDEX} names a file that is none of the folder's: {str(name)!r}.",
        "Take models from those whom you trust.",
    )


def test_shards_that_are_missing_or_too_many_are_refused(folder: Path) -> None:
    sharded(folder, {"a": "two.safetensors"})
    assert refusal(folder) == ("M lacks two.safetensors.", AGAIN)
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a": "one.safetensors"}}))
    assert refusal(folder) == (f"M: one.safetensors lacks a, which {INDEX} places there.", AGAIN)
    places = {f"{i}": f"{i}.safetensors" for i in range(1001)}
    (folder / INDEX).write_text(json.dumps({"weight_map": places}))
    assert refusal(folder) == (
        f"M: {INDEX} names more than 1000 files.",
        "No model that minitf can hold has so many.",
    )


def test_a_tokenizer_that_has_no_end_is_not_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.interop.huggingface.tokenizer.MOST_TOKENIZER_BYTES", 100)
    assert refusal(folder)[0] == "M: tokenizer.json is longer than 100 bytes."
    assert untrusted_files.MOST_TOKENIZER_BYTES == 100 << 20
