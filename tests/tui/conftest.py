"""A working folder of its own for a test that asks for one."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where relative paths lead, such as that of an export."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
