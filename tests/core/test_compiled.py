"""Machine code of compiled functions, and the folders where it is kept."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.infer.engines import compiled


def test_without_a_writable_folder_only_time_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(compiled.config, "CACHE_DIR", str(tmp_path / "file"))
    assert compiled.kept_folder() is None
    assert not compiled.is_kept(lambda: None)
    twice = compiled.compiled_and_kept("int64(int64)", _twice)
    assert twice(21) == 42
    monkeypatch.setattr(compiled.config, "CACHE_DIR", str(tmp_path / "kept"))
    assert not compiled.is_kept(_twice)
    compiled.compiled_and_kept("int64(int64)", _twice)
    assert compiled.is_kept(_twice)
    assert str(tmp_path / "kept") == compiled.config.CACHE_DIR


def test_damaged_machine_code_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled.config, "CACHE_DIR", str(tmp_path))
    compiled.compiled_and_kept("int64(int64)", _twice)
    (index,) = tmp_path.glob("minitf-*/*/*.nbi")
    index.write_bytes(b"\x80damaged")
    assert compiled.compiled_and_kept("int64(int64)", _twice)(21) == 42
    assert not compiled.is_kept(_twice)
    compiled.compiled_and_kept("int64(int64)", _twice)
    assert compiled.is_kept(_twice)


def _twice(x: int) -> int:
    return 2 * x


def test_machine_code_of_other_sources_goes_when_nobody_uses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled.config, "CACHE_DIR", str(tmp_path))
    names = {name: tmp_path / name for name in ("minitf-" + "0" * 16, "minitf-" + "1" * 16, "mine")}
    old, used, foreign = names.values()
    for folder in names.values():
        folder.mkdir()
        (folder / "code.nbi").touch()
    for folder in (old, foreign):
        os.utime(folder, (1, 1))
    kept = compiled.kept_folder()
    assert kept is not None
    assert sorted(tmp_path.iterdir()) == sorted([used, foreign, kept])
    os.utime(kept, (1, 1))
    os.utime(used, (1, 1))
    assert compiled.kept_folder() == kept
    assert kept.stat().st_mtime > 1, "it is in use"
    assert used.exists(), "only who makes a folder looks at the others"
