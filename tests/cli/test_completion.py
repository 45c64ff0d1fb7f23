"""Shell completion: what fits where, in bash for real, and fast."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from core.presets import PRESETS, SEED
from core.store.run import create_run
from minitf_tui.cli import completing
from minitf_tui.cli.completion import SCRIPTS
from minitf_tui.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def runs() -> list[str]:
    for name in ("alpha", "beta-2"):
        made = create_run(name, SEED, {}, "{}")
        (made.path / "checkpoints" / "step-00000005").mkdir(parents=True)
    return ["alpha", "beta-2"]


def words_for(*typed: str) -> list[str]:
    return [answer.word for answer in completing.answers(typed)]


def test_commands_come_first():
    assert words_for("") == list(COMMANDS)
    assert words_for("tr") == ["train"]
    assert words_for("help", "ev") == ["eval"]
    assert words_for("--v") == ["--version"]
    assert words_for("nonsense", "") == []


def test_flags_of_the_command_that_are_not_given_yet():
    assert words_for("train", "--pre") == ["--preset"]
    assert "--preset" not in words_for("train", "--preset", "quick", "--")
    assert "--preset" not in words_for("train", "--preset=quick", "--")
    assert {"--json", "--help"} <= set(words_for("eval", "-"))
    assert words_for("train", "--no-q") == ["--no-qk-norm"]
    assert "--no-qk-norm" not in words_for("train", "--")
    assert words_for("train", "--no-qk-norm", "--qk") == []


def test_values_of_a_flag_with_choices():
    assert words_for("train", "--preset", "") == list(PRESETS)
    assert words_for("train", "--norm=la") == ["--norm=layernorm"]
    assert words_for("train", "--norm", "la") == ["layernorm"]
    assert words_for("train", "--lr", "") == []
    assert words_for("bench", "--format", "m") == ["markdown"]
    assert words_for("bench", "--engines", "") == ["torch", "fast", "graph"]
    assert words_for("bench", "--caches", "none,s") == ["none,static", "none,sinks"]
    assert words_for("bench", "--caches=int8,none,i") == []
    assert words_for("bench", "--compare", "tr") == ["transformers"]
    assert words_for("presets", "") == ["list", "show"]
    assert words_for("presets", "show", "q") == ["quick", "quick-large"]
    assert words_for("completion", "") == list(SCRIPTS)
    assert words_for("completion", "bash", "") == []


def test_files_where_files_are_meant():
    for typed in (["--config", ""], ["--config="], ["--metrics", "x"], ["--corpus", "x"]):
        assert words_for("train", *typed) == [completing.FILES]
    assert words_for("train", "--corpus", "python-d") == ["python-docs", completing.FILES]
    assert words_for("train", "--corpus", "gen") == ["generated", completing.FILES]
    assert words_for("eval", "--text", "") == [completing.FILES]
    assert words_for("tokenize", "--text=") == [completing.FILES]
    assert words_for("eval", "./") == [completing.FILES]
    assert words_for("train", "--lr=") == []


def test_runs_and_their_checkpoints(runs):
    assert words_for("eval", "") == ["last", "best", *runs]
    assert words_for("runs", "rm", "b") == ["best", "beta-2"]
    assert words_for("train", "--resume", "a") == ["alpha"]
    assert words_for("generate", "alpha@") == ["alpha@5", "alpha@last", "alpha@best"]
    assert words_for("generate", "gamma@") == []
    assert words_for("generate", "--seed", "3", "--", "al") == ["alpha"]
    assert words_for("generate", "alpha", "") == []


def test_without_a_data_folder_there_are_no_runs():
    assert words_for("eval", "") == ["last", "best"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", [""]),
        ("minitf ", ["minitf", ""]),
        ("minitf tr", ["minitf", "tr"]),
        ("minitf train --corpus 'my fi", ["minitf", "train", "--corpus", "my fi"]),
        ('minitf train --corpus "', ["minitf", "train", "--corpus", ""]),
        ("minitf a\\ b", ["minitf", "a b"]),
        ("minitf a\\", ["minitf", "a"]),
        ("minitf 'a' ", ["minitf", "a", ""]),
    ],
)
def test_a_line_that_is_being_typed(line, words):
    assert completing.split(line) == words


def test_each_shell_gets_its_own_form(minitf, runs):
    assert minitf("__complete", "fish", "pres").out == f"presets\t{COMMANDS['presets'][1]}\n"
    assert minitf("__complete", "zsh", "pres").out == f"presets:{COMMANDS['presets'][1]}\n"
    assert minitf("__complete", "fish", "eval", "al").out == "alpha\n"
    assert minitf("__complete", "zsh", "train", "--config", "").out == ":files\n"
    line = "minitf train --preset=q"
    assert minitf("__complete", "bash", line, str(len(line)), "q").out == "quick\nquick-large\n"
    assert minitf("__complete", "bash", "minitf train x", "9", "tr").out == "train\n"
    assert minitf("__complete").out.splitlines()[0].startswith("train")


def test_the_scripts(minitf, refused):
    for shell, script in SCRIPTS.items():
        assert minitf("completion", shell).out == script
    assert "~/.zshrc" in minitf("completion", "--help").out
    assert refused("completion", "bsh") == (
        "minitf: There is no completion for 'bsh'.\nDid you mean bash?\n"
    )
    assert refused("completion", "tcsh").endswith("There are bash, zsh, fish.\n")
    assert refused("completion").startswith("minitf: minitf completion needs a bash|zsh|fish.\n")


DRIVE = r"""
eval "$(minitf completion bash)"
complete -p minitf
while IFS='|' read -r line word; do
    COMP_LINE=$line COMP_POINT=${#line}
    _minitf minitf "$word" ""
    printf '%s\n' "${COMPREPLY[*]}"
done
"""


@pytest.fixture
def bash(tmp_path: Path):
    """Type lines into a bash that has our script; what it offers for each."""
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    (tmp_path / "bin").mkdir()
    minitf = tmp_path / "bin" / "minitf"
    minitf.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m minitf_tui "$@"\n')
    minitf.chmod(0o755)
    env = os.environ | {"PATH": f"{minitf.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}

    def offer(*lines: str) -> list[str]:
        child = subprocess.run(
            ["bash", "--norc", "-c", DRIVE],
            input="".join(f"{line}\n" for line in lines),
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=env,
        )
        assert child.stderr == ""
        first, *rest = child.stdout.split("\n")[:-1]
        assert first == "complete -F _minitf minitf"
        return rest

    return offer


def test_in_bash(bash, runs, tmp_path):
    (tmp_path / "book one.txt").write_text("")
    assert bash(
        "minitf comp|comp",
        "minitf train --preset=|",  # bash completes what follows the =
        "minitf eval alpha@|",
        "minitf eval al|al",
        "minitf train --config bo|bo",
        "minitf train --n-l|--n-l",
    ) == ["completion", " ".join(PRESETS), "5 last best", "alpha", "book one.txt", "--n-layers"]


def test_an_answer_needs_neither_torch_nor_numpy(runs):
    heavy = ("torch", "numpy", "textual", "rich", "tokenizers")
    code = (
        "import sys; from minitf_tui.__main__ import main; main(sys.argv[1:]); "
        f"sys.exit(' '.join(sorted(set({heavy!r}) & set(sys.modules))))"
    )
    for words in (["eval", ""], ["train", "--pre"], ["eval", "alpha@"]):
        child = subprocess.run(
            [sys.executable, "-c", code, "__complete", "fish", *words],
            capture_output=True,
            text=True,
            cwd=ROOT,
        )
        assert child.stderr.strip() == ""
        assert child.stdout
