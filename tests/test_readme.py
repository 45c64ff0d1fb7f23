"""What the README promises, done."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from minitf_tui.cli.main import main

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_the_ten_lines_of_library_run(capsys: pytest.CaptureFixture[str]) -> None:
    [lines] = re.findall(r"```python\n(.*?)```", README, re.S)
    code = [line for line in lines.splitlines() if line.strip()]
    assert len(code) <= 10
    exec(compile(lines, "README.md", "exec"), {})
    assert "python-docs-1" in capsys.readouterr().out


COMMANDS = [
    shlex.split(line, comments=True)[1:]
    for line in re.search(r"## The command line\n\n```sh\n(.*?)```", README, re.S)[1].splitlines()  # type: ignore[index]
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_flag_of_every_command_is_known(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([words[0], "--help"]) == 0
    known = capsys.readouterr().out
    flags = [word for word in words if word.startswith("--")]
    assert [flag for flag in flags if f"{flag} " not in known] == []


@pytest.mark.parametrize("path", re.findall(r"\]\(((?:assets|docs|[A-Z])[^)]*)\)", README))
def test_every_file_it_shows_is_there(path: str) -> None:
    assert (Path(__file__).parent.parent / path).exists()
