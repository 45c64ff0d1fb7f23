"""The wheel, built offline and used in an empty folder far from the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ("core", "minitf_tui", "pyproject.toml", "README.md", "LICENSE")
TINY = [
    *("--d-model", "16", "--n-layers", "1", "--n-heads", "2", "--context", "16"),
    *("--batch-size", "2", "--tokenizer", "byte", "--threads", "1", "--sample-tokens", "4"),
]
pytestmark = pytest.mark.slow


def pip(*words: str) -> None:
    """pip of the environment that runs the tests, without a network."""
    child = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *words],
        capture_output=True,
        text=True,
    )
    assert child.returncode == 0, child.stdout + child.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that nothing is left in the checkout."""
    try:
        major = int(version("setuptools").partition(".")[0])
    except PackageNotFoundError:
        major = 0
    if major < 77:
        pytest.skip("setuptools 77 or newer builds it: python -m pip install 'setuptools>=77'")
    copy, place = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, copy / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, copy / name)
    offline = ("--no-deps", "--no-build-isolation", "--no-index")
    pip("wheel", *offline, "--wheel-dir", str(place), str(copy))
    (found,) = place.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def home(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel; its dependencies are those of the tests.

    A `.pth` file adds folders without the `.pth` files in them, so an editable install of the
    checkout is not among them.
    """
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    (site,) = folder.glob("lib/python*/site-packages")
    outer = [path for path in sys.path if path.endswith("site-packages")]
    (site / "outer.pth").write_text("".join(f"{path}\n" for path in outer))
    pip(
        "--python", str(folder / "bin" / "python"), "install", "--no-deps", "--no-index", str(wheel)
    )
    return folder


@pytest.fixture
def run(home: Path, tmp_path: Path):
    """Run a program of that environment in an empty folder."""
    empty = tmp_path / "empty"
    empty.mkdir()

    def call(program: str, *words: str) -> str:
        child = subprocess.run(
            [home / "bin" / program, *words],
            cwd=empty,
            env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
            capture_output=True,
            text=True,
        )
        assert child.returncode == 0, child.stderr
        return child.stdout

    return call


def test_it_holds_every_module_and_every_style_sheet(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        path.relative_to(ROOT).as_posix()
        for package in ("core", "minitf_tui")
        for path in (ROOT / package).rglob("*")
        if path.suffix in (".py", ".tcss")
    }
    assert wanted <= held
    assert not any(name.startswith(("tests", "docs", "assets")) for name in held)
    assert any(name.endswith("licenses/LICENSE") for name in held)


def test_it_works_far_from_the_checkout(run, home, text_file):
    from core.version import VERSION

    assert run("minitf", "--version") == f"minitf {VERSION}\n"
    assert "minitf train" in run("minitf", "--help")
    assert "quick" in run("minitf", "presets")
    words = ("--corpus", text_file, "--steps", "3", "--name", "tiny", "--json", *TINY)
    assert json.loads(run("minitf", "train", *words))["steps"] == 3
    text = json.loads(run("minitf", "generate", "tiny", "--max-new-tokens", "5", "--json"))["text"]
    assert text
    assert "tiny" in run("python", "-m", "minitf_tui", "runs")
    places = run(
        "python", "-c", "import core, minitf_tui; print(core.__file__, minitf_tui.__file__)"
    )
    assert all(place.startswith(str(home)) for place in places.split())


APP = """
import asyncio, sys
from minitf_tui.app import MinitfApp

async def look():
    app = MinitfApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2", "3", "4", "1")
        print(len(app.stylesheet.source), app.screen.size)

asyncio.run(look())
"""


def test_the_app_starts_with_its_style_sheets(run):
    sheets, size = run("python", "-W", "error", "-c", APP).strip().split(" ", 1)
    assert int(sheets) > 3
    assert size == "Size(width=80, height=24)"
