"""A data folder of its own for every test, one thread, and examples that repeat."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Before PyTorch is imported; tiny tensors lose by more than one thread.
os.environ["OMP_NUM_THREADS"] = "1"
# The decode step is compiled once for all tests, not once for each folder of a test.
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(tempfile.gettempdir()) / "minitf-tests"))

settings.register_profile(
    "minitf",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("minitf")


@pytest.fixture(autouse=True)
def minitf_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test's runs and caches are; nobody else's are in sight."""
    home = tmp_path / "minitf-home"
    monkeypatch.setenv("MINITF_HOME", str(home))
    return home


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """A test that asks for more threads gets them for itself alone."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


@pytest.fixture
def text_file(tmp_path: Path) -> str:
    """Path of a text of about 5,000 characters, some of them of two bytes or three."""
    path = tmp_path / "river.txt"
    lines = (
        f"The river number {i} runs to the sea; fish {i * i} says “naïve” or 'wet'.\n"
        for i in range(70)
    )
    path.write_text("".join(lines), encoding="utf-8")
    return str(path)
