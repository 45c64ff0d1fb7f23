"""Help and version: short, whole, and there at once."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from core.version import VERSION
from minitf_tui.cli.main import COMMANDS

HEAVY = ("torch", "textual", "numpy", "rich", "plotext", "matplotlib", "tokenizers")


def test_the_overview_fits_a_screen_and_names_every_command(minitf):
    outcome = minitf("--help")
    assert outcome.code == 0
    assert outcome.err == ""
    lines = outcome.out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    for name, (_, about) in COMMANDS.items():
        assert f"minitf {name} " in outcome.out
        assert about in outcome.out


@pytest.mark.parametrize("words", [["-h"], ["help"]])
def test_other_ways_to_ask(minitf, words):
    assert minitf(*words).out == minitf("--help").out


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_each_of_its_flags(minitf, name):
    outcome = minitf(name, "--help")
    assert outcome.code == 0
    assert outcome.err == ""
    command = importlib.import_module(COMMANDS[name][0]).COMMAND
    assert command.name == name
    flat = " ".join(outcome.out.split())
    for flag in command.flags:
        assert " ".join(flag.help.split()) in flat
        assert f"{flag.name} " in flat
    assert max(map(len, outcome.out.splitlines())) <= 80
    assert minitf("help", name).out == outcome.out


def test_help_wins_over_other_words(minitf):
    assert minitf("train", "--steps", "ten", "--help").code == 0


def test_units_choices_and_defaults_are_shown(minitf):
    flat = " ".join(minitf("train", "--help").out.split())
    assert "--norm NAME normalisation: layernorm, rmsnorm (default layernorm)" in flat
    assert "budget of pure training time; 0 is no limit (s; default 90)" in flat
    assert "--[no-]qk-norm normalise queries and keys of each head (default on)" in flat


def test_the_version(minitf):
    outcome = minitf("--version")
    assert (outcome.code, outcome.out, outcome.err) == (0, f"minitf {VERSION}\n", "")


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["train", "--help"], ["x"]])
def test_nothing_heavy_is_imported_for_a_few_words(words):
    code = (
        "import sys; from minitf_tui.__main__ import main; main(sys.argv[1:]); "
        f"sys.exit(' '.join(sorted(set({HEAVY!r}) & set(sys.modules))))"
    )
    result = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    last = result.stderr.strip().splitlines()[-1:]
    assert last in ([], [""]) or last[0].startswith("Commands:"), result.stderr


def test_the_overview_imports_next_to_nothing():
    """`typing` and `dataclasses` alone would take twice as long as all the rest."""
    code = (
        "import sys; before = set(sys.modules); from minitf_tui.__main__ import main; "
        "main(['--help']); print(*sorted(set(sys.modules) - before), file=sys.stderr)"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = {name for name in child.stderr.split() if name.startswith("minitf_tui")}
    assert ours == {
        *("minitf_tui", "minitf_tui.__main__", "minitf_tui.cli", "minitf_tui.cli.main"),
        *("minitf_tui.cli.exit_codes", "minitf_tui.cli.help"),
    }
    others = {name.partition(".")[0] for name in set(child.stderr.split()) - ours}
    assert others <= {"__future__", "importlib", "warnings"}
