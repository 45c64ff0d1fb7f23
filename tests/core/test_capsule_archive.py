"""Capsules whose archive or list is wrong: nothing of them is left behind."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from core.errors import FormatError
from core.interop.capsule.packing import is_capsule
from tests.core.capsule_files import (
    LAST,
    Files,
    header,
    left,
    listed,
    member,
    packed,
    refused,
    restored,
    retold,
)
from tests.core.capsule_files import files as files
from tests.core.capsule_files import whole as whole

DANGEROUS = (
    "../x",
    "/etc/x",
    "a/../../x",
    "run.toml/../x",
    "x",
    "",
    "checkpoints/step-1/state.json",
)


@pytest.mark.parametrize("name", DANGEROUS)
def test_a_list_with_a_name_that_no_run_has(files: Files, tmp_path: Path, name: str) -> None:
    path = packed(tmp_path / "a.tar.gz", files | {name: b"x"})
    assert refused(path) == f"it has a file that no run has, {name!r}"


@pytest.mark.parametrize("name", DANGEROUS)
def test_a_file_that_is_not_in_the_list(files: Files, tmp_path: Path, name: str) -> None:
    names = list(files)
    archive = member("capsule.json", listed(files)) + member(name or "y", b"x")
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(archive + bytes(1024)))
    assert refused(path) == f"{name or 'y'!r} stands where {names[0]} should"


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (tarfile.SYMTYPE, {"linkname": "/etc/passwd"}),
        (tarfile.LNKTYPE, {"linkname": "tokenizer.json"}),
        (tarfile.CHRTYPE, {"devmajor": 1, "devminor": 5}),
        (tarfile.BLKTYPE, {"devmajor": 8}),
        (tarfile.FIFOTYPE, {}),
        (tarfile.DIRTYPE, {}),
        (tarfile.CONTTYPE, {}),
        (tarfile.GNUTYPE_SPARSE, {}),
        (tarfile.GNUTYPE_LONGNAME, {}),
        (tarfile.XHDTYPE, {}),
        (b"Z", {}),
    ],
)
def test_anything_but_a_plain_file(
    files: Files, tmp_path: Path, kind: bytes, changes: dict[str, Any]
) -> None:
    size = len(files["run.toml"])
    archive = member("capsule.json", listed(files)) + header("run.toml", size, kind, **changes)
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(archive + files["run.toml"] + bytes(4096)))
    assert refused(path) == "run.toml is not a plain file"


def test_a_size_below_zero(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(header("capsule.json", -1) + bytes(4096)))
    assert refused(path) == "capsule.json is not a plain file"


def test_more_than_the_disk_has_room_for(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: room)
    words = r"it needs \d+ bytes, and the disk has 1000"
    assert re.fullmatch(words, refused(whole))


def test_the_same_file_twice(files: Files, tmp_path: Path) -> None:
    manifest = json.loads(listed(files))
    manifest["members"].append(manifest["members"][2])
    path = packed(tmp_path / "a.tar.gz", files, json.dumps(manifest).encode())
    assert refused(path) == "metrics.jsonl is in it twice"


def test_more_than_its_list_says(files: Files, tmp_path: Path) -> None:
    words = "there is more in it than its list says"
    assert refused(packed(tmp_path / "a.tar.gz", files, rest=member("x", b"x"))) == words
    assert refused(packed(tmp_path / "b.tar.gz", files, rest=bytes(1 << 17))) == words


def bomb(path: Path, start: bytes, n_bytes: int) -> Path:
    """`start` and then zeros: gzips one after another are one, and the same one is cheap."""
    path.write_bytes(gzip.compress(start) + gzip.compress(bytes(1 << 20)) * (n_bytes >> 20))
    return path


TEN_GB = 10 << 30


def test_ten_gigabytes_of_zeros_are_refused_by_the_list(files: Files, tmp_path: Path) -> None:
    manifest = json.loads(listed(files))
    manifest["members"][-1]["bytes"] = TEN_GB
    path = packed(tmp_path / "a.tar.gz", files, json.dumps(manifest).encode())
    assert refused(path) == f"corpus.txt has {TEN_GB} bytes, and {64 << 20} at most"
    manifest["members"][-1] = json.loads(listed(files))["members"][-1]
    weights = next(m for m in manifest["members"] if m["name"] == f"{LAST}/model.safetensors")
    weights["bytes"] = TEN_GB
    path = packed(tmp_path / "b.tar.gz", files, json.dumps(manifest).encode())
    assert refused(path) == f"{LAST}/model.safetensors is larger than its model"


def test_zeros_beyond_what_is_declared_are_not_read(files: Files, tmp_path: Path) -> None:
    """A header of ten gigabytes where the list has a few bytes; and as much behind the end."""
    start = member("capsule.json", listed(files))
    path = bomb(tmp_path / "a.tar.gz", start + header("run.toml", TEN_GB), TEN_GB)
    size = len(files["run.toml"])
    assert refused(path) == f"run.toml has {TEN_GB} bytes and not {size}"
    whole = start + b"".join(member(name, data) for name, data in files.items())
    path = bomb(tmp_path / "b.tar.gz", whole, TEN_GB)
    assert refused(path) == "there is more in it than its list says"


def test_a_list_that_is_too_long(files: Files, tmp_path: Path) -> None:
    start = header("capsule.json", 3 << 30)
    assert refused(bomb(tmp_path / "a.tar.gz", start, 4 << 20)) == f"its list has {3 << 30} bytes"
    row = {"name": "run.toml", "bytes": 0, "sha256": ""}
    many = json.dumps({"format": 1, "members": [row] * 5000}, separators=(",", ":")).encode()
    assert refused(packed(tmp_path / "b.tar.gz", files, many)) == (
        "it holds 5000 files, and 4096 are the most"
    )


def test_a_million_files(files: Files, tmp_path: Path) -> None:
    """Their headers alone: the first that is not in the list ends it."""
    path = tmp_path / "a.tar.gz"
    start = gzip.compress(member("capsule.json", listed(files)))
    path.write_bytes(start + gzip.compress(header("a", 0) * 1000) * 1000)
    assert refused(path) == "'a' stands where run.toml should"


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        (b"{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b"[]", "list indices must be integers or slices, not str"),
        (b'{"format": 2}', "it was made by another version of minitf"),
        (b'{"format": 1}', "'members'"),
        (b'{"format": 1, "members": [{}]}', "'name'"),
        (b"[" * 100_000, "maximum recursion depth exceeded while decoding a JSON array from a"),
        (b"\xff", "'utf-8' codec can't decode"),
    ],
)
def test_a_list_that_cannot_be_read(
    files: Files, tmp_path: Path, manifest: bytes, reason: str
) -> None:
    words = refused(packed(tmp_path / "a.tar.gz", files, manifest))
    assert words.startswith(f"its list cannot be read ({reason}")


@pytest.mark.parametrize("size", [-1, 1.5, None, "7", True, 2 << 20])
def test_a_list_with_impossible_sizes(files: Files, tmp_path: Path, size: Any) -> None:
    manifest = json.loads(listed(files))
    manifest["members"][0]["bytes"] = size
    path = packed(tmp_path / "a.tar.gz", files, json.dumps(manifest).encode())
    assert refused(path) == f"run.toml has {size!r} bytes, and 1048576 at most"


def test_a_list_in_another_order(files: Files, tmp_path: Path) -> None:
    turned = dict(reversed(files.items()))
    assert refused(packed(tmp_path / "a.tar.gz", turned)) == (
        "it does not begin with run.toml and tokenizer.json"
    )


def test_another_content_than_was_put_in(files: Files, tmp_path: Path) -> None:
    changed = retold(files, "metrics.jsonl", lambda data: data.replace(b"5", b"6"))
    path = packed(tmp_path / "a.tar.gz", changed, listed(files))
    assert refused(path) == "metrics.jsonl is not what was put in"


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.9999])
def test_a_file_that_is_cut_off(whole: Path, tmp_path: Path, share: float) -> None:
    data = whole.read_bytes()
    path = tmp_path / "a.tar.gz"
    path.write_bytes(data[: int(share * len(data))])
    assert refused(path).startswith("it is cut off or damaged (")


def test_a_flipped_bit_anywhere(whole: Path, tmp_path: Path) -> None:
    data = bytearray(whole.read_bytes())
    for place in range(400, len(data), len(data) // 12):
        damaged = data.copy()
        damaged[place] ^= 16
        path = tmp_path / "a.tar.gz"
        path.write_bytes(damaged)
        with pytest.raises(FormatError):
            restored(path)
        assert left() == []


def test_an_archive_that_ends_inside_of_a_file(files: Files, tmp_path: Path) -> None:
    start = member("capsule.json", listed(files)) + header("run.toml", len(files["run.toml"]))
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(start + b"format"))
    assert refused(path) == "it ends inside of run.toml"
    path.write_bytes(gzip.compress(start[:-512]))
    assert refused(path) == "run.toml is missing (empty header)"


def test_what_is_no_capsule_is_not_taken_for_one(whole: Path, files: Files, tmp_path: Path) -> None:
    other = tmp_path / "other.tar.gz"
    for data in (
        b"",
        b"\x1f\x8b",
        b"\x1f\x8bx" * 100,
        b"no gzip",
        gzip.compress(b""),
        gzip.compress(b"x" * 600),
        gzip.compress(member("run.toml", files["run.toml"])),
        whole.read_bytes()[:30],
    ):
        other.write_bytes(data)
        assert not is_capsule(other)
        with pytest.raises(FormatError, match="is none of the files that minitf reads"):
            restored(other)
    assert not is_capsule(tmp_path)
    assert not is_capsule(tmp_path / "nothing")
    assert is_capsule(whole)
    assert left() == []
