"""`python -m minitf_tui` uses its own `core`, whatever lies in the working folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
THEIRS = "raise SystemExit('a module of the user was run')\n"
# As setuptools does for an editable install: at the end of the line, after the path.
EDITABLE = f"""
import importlib.machinery, sys

class Editable:
    def find_spec(name, path=None, target=None):
        if name in ("core", "minitf_tui"):
            return importlib.machinery.PathFinder.find_spec(name, [{str(ROOT)!r}])

sys.path[:] = [p for p in sys.path if p != {str(ROOT)!r}]
sys.meta_path.append(Editable)
from minitf_tui.__main__ import main
sys.exit(main(["runs"]))
"""

# And a folder of the package's name becomes a namespace, to which setuptools adds ours.
NAMESPACE = f"""
import runpy, sys

sys.path[:] = [""] + [p for p in sys.path if p != {str(ROOT)!r}]
import minitf_tui
minitf_tui.__path__ = [*minitf_tui.__path__, {str(ROOT / "minitf_tui")!r}]
sys.argv = ["minitf", "runs"]
runpy.run_module("minitf_tui", run_name="__main__", alter_sys=True)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the user is; what lies there differs from test to test."""
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def run(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "MINITF_HOME": str(folder)} | variables,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    "names",
    [
        ["core/__init__.py"],
        ["core/config.py"],
        ["core.py"],
        ["minitf_tui/notes.py"],
        ["torch.py", "numpy.py", "tomllib.py", "typing.py", "dataclasses.py", "difflib.py"],
    ],
)
@pytest.mark.parametrize("safe_path", ["", "1"])
def test_what_lies_in_the_working_folder_is_not_run(folder, names, safe_path):
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(THEIRS)
    child = run(folder, "-m", "minitf_tui", "runs", PYTHONSAFEPATH=safe_path)
    words = "There are no runs yet. minitf train makes one.\n"
    assert (child.returncode, child.stdout, child.stderr) == (0, words, "")


@pytest.mark.parametrize("place", ["core.py", "core/__init__.py", "core/config.py"])
def test_another_core_that_is_found_first_is_not_ours(folder, place):
    """An editable install is asked last: a `core` in site-packages would win."""
    (folder / place).parent.mkdir(exist_ok=True)
    (folder / place).write_text(THEIRS)
    child = run(folder, "-c", EDITABLE, PYTHONPATH=str(folder))
    assert child.returncode == 0, child.stderr
    assert child.stdout.startswith("There are no runs yet.")


def test_a_folder_of_our_name_does_not_take_our_place(folder):
    (folder / "minitf_tui").mkdir()
    (folder / "core").mkdir()
    child = run(folder, "-c", NAMESPACE, PYTHONPATH="")
    assert child.returncode == 0, child.stderr
    assert child.stdout.startswith("There are no runs yet.")


def test_the_checkout_itself_needs_no_installation(folder):
    child = run(ROOT, "-m", "minitf_tui", "runs", PYTHONPATH="", MINITF_HOME=str(folder))
    assert (child.returncode, child.stderr) == (0, "")
