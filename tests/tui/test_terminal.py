"""The terminal belongs to the app alone, and is given back."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from minitf_tui.terminal import _Kept

PROGRAM = """
import os, sys
from pathlib import Path

from minitf_tui.terminal import _Kept
from minitf_tui.terminal import private_terminal
print("before", flush=True)
try:
    with private_terminal(Path(sys.argv[1])):
        os.write(1, b"native out\\n"); os.write(2, b"native err\\n")
        print("drawn on out"); print("drawn on err", file=sys.__stderr__)
        if sys.argv[2] == "raise":
            raise ZeroDivisionError
except ZeroDivisionError:
    print("caught")
print("after", flush=True)
os.write(1, b"native after\\n"); os.write(2, b"native err after\\n")
"""


def run(log: Path, how: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(log), how],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )


def test_native_prints_go_to_the_log_and_the_rest_to_the_terminal(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "native.log"
    done = run(log, "end")
    assert done.stdout == "before\ndrawn on out\nafter\nnative after\n"
    assert done.stderr == "drawn on err\nnative err after\n"
    assert log.read_text() == "native out\nnative err\n"


def test_the_terminal_is_given_back_after_an_error(tmp_path: Path) -> None:
    done = run(tmp_path / "native.log", "raise")
    assert done.stdout.endswith("caught\nafter\nnative after\n")


def test_without_a_place_for_the_log_native_prints_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run(tmp_path / "file" / "native.log", "end")
    assert done.stdout == "before\ndrawn on out\nafter\nnative after\n"


def test_the_app_is_imported_without_what_it_needs_later() -> None:
    """The first frame waits for none of these."""
    program = (
        "import sys, minitf_tui.app; "
        "print(sorted({'torch', 'numpy', 'plotext', 'core.recipes'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.strip() == "[]"


def test_a_terminal_that_was_closed_swallows_what_is_written() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    kept = _Kept(writer)
    assert kept.write(b"too late") == 8
    os.close(writer)
    assert kept.write(b"later still") == 11
    assert not kept.isatty()
