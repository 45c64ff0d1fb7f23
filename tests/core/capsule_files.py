"""Capsules for tests: made, taken apart, packed by hand, and what is said of a bad one."""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core import api, paths, recipes
from core.config import RunConfig
from core.errors import FormatError
from core.events import Export, ExportCompleted, Import, ImportCompleted
from core.store.find import find_run
from core.store.run import Run
from core.testing import tiny_run_config

LAST = "checkpoints/step-00000004"
Files = dict[str, bytes]


def exported(run: str, out: Path) -> Export:
    *_, last = recipes.exporting(run, format="capsule", out=out).run()
    assert isinstance(last, ExportCompleted), last
    return last.result


def restored(path: Path, name: str | None = None) -> Import:
    *_, last = recipes.importing(path, name=name).run()
    assert isinstance(last, ImportCompleted), last
    return last.result


def files_of(path: Path) -> Files:
    """By name, the list first; read by Python's own reader."""
    with tarfile.open(path, "r:gz") as archive:
        found = {about.name: archive.extractfile(about) for about in archive}
        return {name: file.read() for name, file in found.items() if file is not None}


def listed(files: Files, **changes: Any) -> bytes:
    members = [
        {"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in files.items()
    ]
    return json.dumps({"format": 1, "minitf": "0", "members": members} | changes).encode()


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE, **changes: Any) -> bytes:
    about = tarfile.TarInfo(name)
    about.size, about.type = size, kind
    for field, value in changes.items():
        setattr(about, field, value)
    return about.tobuf(tarfile.GNU_FORMAT)


def member(name: str, data: bytes) -> bytes:
    return header(name, len(data)) + data + b"\0" * (-len(data) % 512)


def packed(path: Path, files: Files, manifest: bytes | None = None, rest: bytes = b"") -> Path:
    """A capsule of these files, its list right unless another one is given."""
    manifest = listed(files) if manifest is None else manifest
    blocks = [member("capsule.json", manifest)]
    blocks += [member(name, data) for name, data in files.items()]
    path.write_bytes(gzip.compress(b"".join(blocks) + b"\0" * 1024 + rest))
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A capsule of a run with a report."""
    folder = tmp_path_factory.mktemp("capsule")
    text = folder / "river.txt"
    text.write_text("".join(f"the river {i} runs naïvely to {i * i}\n" for i in range(150)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINITF_HOME", str(folder / "home"))
        api.train(tiny_run_config(str(text)), name="tiny")
        api.evaluate("tiny")
        exported("tiny", folder / "tiny.tar.gz")
    text.unlink()
    return folder / "tiny.tar.gz"


@pytest.fixture
def files(whole: Path) -> Files:
    """What is in it, without the list."""
    found = files_of(whole)
    del found["capsule.json"]
    return found


@pytest.fixture
def config(text_file: str) -> RunConfig:
    return tiny_run_config(text_file)


def run_of(name: str) -> Run:
    return find_run(name).run


def left() -> list[str]:
    """Anything in the runs folder, half done things included."""
    folder = paths.runs_dir()
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def refused(path: Path) -> str:
    """What is said about a capsule, of which nothing may be left."""
    with pytest.raises(FormatError) as caught:
        restored(path)
    assert left() == []
    assert caught.value.hint == "Fetch it again, or have it exported again. Nothing was written."
    start = f"{path}: this capsule cannot be restored: "
    message = str(caught.value)
    assert message.startswith(start)
    assert message.endswith(".")
    assert len(message.splitlines()) == 1
    return message.removeprefix(start).removesuffix(".")


def retold(files: Files, name: str, change: Callable[[bytes], bytes]) -> Files:
    return files | {name: change(files[name])}
