"""What README and docs promise, done: commands, keys, lines of code, files."""

from __future__ import annotations

import io
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from minitf_tui.app import PANES, MinitfApp
from minitf_tui.cli.main import main
from tests.tui.scripted import app_with

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
TRAINING = [
    *("--context", "16", "--batch-size", "2", "--sample-tokens", "4", "--eval-interval", "0"),
    *("--steps", "3", "--threads", "1"),
]
"""The same for a model that is there already."""
SMALL = [
    *("--d-model", "16", "--n-layers", "1", "--n-heads", "2", "--max-seq-len", "32"),
    *("--context", "16", "--batch-size", "2", "--vocab-size", "300", "--generated-chars", "20000"),
    *("--sample-tokens", "4", "--eval-interval", "0", "--steps", "3", "--threads", "1"),
]
"""Put behind each `minitf train`: the same command on a model that costs nothing."""


def commands(text: str, heading: str = "") -> list[list[str]]:
    """The words of each `minitf …` line in the shell blocks below a heading."""
    section = text[text.index(heading) :] if heading else text
    section = section[: section.find("\n## ", 4)] if heading else section
    blocks = re.findall(r"```sh\n(.*?)```", section, re.S)
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("minitf ")]


def affordable(words: list[str]) -> list[str]:
    """The same, small enough for a test."""
    if words[0] == "train":
        if "--replay" in words:
            return words
        if "--fork" in words:
            return [*words, "--steps", "8"]
        if "--init-from" in words:
            return [*words, *TRAINING]
        if "--resume" in words:
            return ["train", "--resume", "last", "--steps", "5"]
        return [*words, *SMALL]
    small = {
        "bench": ["--n", "4", "--seconds", "0"],
        "generate": ["--max-new-tokens", "4"],
        "eval": ["--stride", "8"],
    }
    return words + small.get(words[0], [])


@pytest.mark.slow
def test_the_ten_lines_of_library_run(capsys: pytest.CaptureFixture[str]) -> None:
    [lines] = re.findall(r"```python\n(.*?)```", README, re.S)
    code = [line for line in lines.splitlines() if line.strip()]
    assert len(code) <= 10
    exec(compile(lines, "README.md", "exec"), {})
    assert "python-docs-1" in capsys.readouterr().out


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the docs speak of, as the working folder."""
    text = "".join(f"The river {i} runs to the sea; fish {i * i} says hello.\n" for i in range(400))
    for name in ("book.txt", "other.txt", "README.md", "notes/a.md", "src/deep/b.md"):
        path = tmp_path / "here" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.mark.slow
@pytest.mark.parametrize(
    "found",
    [commands(README, "## The command line"), commands(GUIDE)],
    ids=["README", "guide"],
)
def test_every_command_does_what_it_promises(
    found: list[list[str]], book: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    assert len(found) >= 10
    offline = [words for words in found if not any(word.startswith("hub:") for word in words)]
    for words in [["train", "--name", "earlier"], *offline]:
        stdin = io.TextIOWrapper(io.BytesIO((book / "book.txt").read_bytes()))
        monkeypatch.setattr(sys, "stdin", stdin)
        code = main(affordable(words))
        assert code == 0, f"minitf {' '.join(words)}\n{capfd.readouterr().err}"


@pytest.mark.parametrize("text", [README, GUIDE], ids=["README", "guide"])
def test_every_flag_is_known_as_it_is_written(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also those of commands that a test has to make smaller."""
    for words in commands(text):
        assert main([words[0], "--help"]) == 0
        known = capsys.readouterr().out.replace("--[no-]", "--")
        flags = [word.partition("=")[0] for word in words if word.startswith("--")]
        assert [flag for flag in flags if f"{flag} " not in known] == []


def keys_of_table() -> Iterator[tuple[str, str]]:
    """(pane, key) for every key in the README's table of panes."""
    section = README[README.index("## What you can do in the app") :]
    for number, pane, about in re.findall(r"\| `(\d)` \| \*\*(\w+)\*\* \| (.*?) \|\n", section):
        yield pane.lower(), number
        yield from ((pane.lower(), key) for key in re.findall(r"`(.)`", about))


@pytest.mark.parametrize(("pane", "key"), [*keys_of_table()])
async def test_every_key_of_the_table_is_bound_in_its_pane(pane: str, key: str) -> None:
    app: MinitfApp = app_with()
    async with app.run_test(size=(120, 36)) as pilot:
        number = [known.NAME for known in PANES].index(pane) + 1
        await pilot.press(str(number))
        await pilot.pause()
        assert pane == app.pane.NAME
        bound = {name for known in app.pane.KEYS for name in known.key.split(",")}
        everywhere = set(app._bindings.key_to_bindings)
        assert key in bound | everywhere, sorted(bound)


@pytest.mark.parametrize(
    ("folder", "path"),
    [
        *((ROOT, path) for path in re.findall(r"\]\(((?:assets|docs|[A-Z])[^)#]*)\)", README)),
        *((ROOT / "docs", path) for path in re.findall(r"\]\((\.\./[^)#]*)\)", GUIDE)),
    ],
)
def test_every_file_that_is_shown_is_there(folder: Path, path: str) -> None:
    assert (folder / path).exists()


def test_the_tree_names_every_module() -> None:
    tree = README[README.index("## What is where") :]
    named = set(re.findall(r"[\w.]+\.py", tree))
    files = {path.name for top in ("core", "minitf_tui") for path in (ROOT / top).rglob("*.py")}
    assert files - named == {"__init__.py"}
    assert {name for name in named if not name.startswith("__")} <= files | {"make_pictures.py"}
