"""Every mistake: exit code 2, a sentence and a hint. Every fault of ours: 1 and a log file."""

from __future__ import annotations

import sys

import pytest

from core.errors import DataError, RunError
from minitf_tui import problems


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "minitf has no command 'trian'.\nDid you mean train?"),
        ([""], "minitf has no command ''.\nCommands: train,"),
        (["xyzzy"], "minitf has no command 'xyzzy'.\nCommands: train, "),
        (["\x1b[2J"], "minitf has no command '\\x1b[2J'."),
        (["--verson"], "minitf has no flag '--verson'.\nDid you mean --version?"),
        (["help", "trian"], "minitf has no command 'trian'."),
        (["train", "--lr", "fast"], "--lr='fast' is not a number."),
        (["train", "--lr", "nan"], "lr=nan is not a finite number."),
        (["train", "--lr", "\x1b]0;hi\x07"], "--lr='\\x1b]0;hi\\x07' is not a number."),
        (["train", "--stepz", "5"], "minitf train has no flag '--stepz'.\nDid you mean --steps?"),
        (["train", "--d-model", "30"], "d_model=30 does not divide into n_heads=4."),
        (["train", "--preset", "quik"], "--preset='quik' is not one of quick, quick-large, seed, "),
        (["train", "python-docs"], "There is a word too many: 'python-docs'."),
        (
            ["train", "--context", "4096", "--max-seq-len", "256"],
            "context=4096 is longer than max_seq_len=256.",
        ),
        (["generate", "--top-p", "2"], "top_p=2 is not in (0, 1]."),
        (["generate", "--temperature", "-1"], "temperature=-1 is below 0"),
        (["generate", "--max-new-tokens", "0"], "max_new_tokens=0 is below 1"),
        (["bench", "--reps", "0"], "reps=0 is below 1"),
        (["bench", "a", "b"], "There is a word too many: 'b'."),
        (["plot", "--kind", "los"], "--kind='los' is not one of loss, latency."),
        (["plot", "--out", "x.gif"], "--out='x.gif' is not the name of a picture."),
        (["runs", "shw"], "minitf runs cannot 'shw'.\nDid you mean show?"),
        (["runs", "burn"], "minitf runs cannot 'burn'.\nThere are list, show, rm."),
        (["runs", "list", "x"], "minitf runs list takes no run: 'x'."),
        (["runs", "rm"], "minitf runs rm needs a RUN."),
        (["runs", "rm", "a@5"], "'a@5' is a checkpoint; only whole runs are removed."),
        (["runs", "--yes"], "--yes goes with minitf runs rm only."),
        (["runs", "show"], "There is no run yet.\nStart one with: minitf train"),
        (["runs", "show", "a\x1b"], "There is no run 'a\\x1b'."),
        (["plot"], "There is no run yet."),
        (["app", "x"], "There is a word too many: 'x'."),
    ],
)
def test_mistakes(recipes, refused, words, message):
    assert refused(*words).startswith(f"minitf: {message}")
    assert recipes.calls == []


@pytest.mark.parametrize("command", ["train", "eval", "generate", "bench"])
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_what_core_refuses_is_told_on_stderr_alone(recipes, refused, command, flags):
    error = DataError("The text 'a\x1b' is empty.", hint="Choose\nanother.")
    session = recipes.play(error)
    words = refused(command, *flags)
    assert words == "minitf: The text 'a\\x1b' is empty.\nChoose\\nanother.\n"
    assert session.is_closed


def test_the_name_of_an_existing_run(recipes, refused):
    recipes.play(RunError("A run named 'a' exists already.", hint="Choose another name."))
    assert refused("train", "--name", "a").startswith("minitf: A run named 'a' exists already.")


@pytest.mark.parametrize("command", ["train", "eval", "generate", "bench"])
def test_a_fault_of_ours_is_one_sentence_and_a_log_file(recipes, minitf, command):
    recipes.play(ZeroDivisionError("oh\x1b"))
    outcome = minitf(command, "--json")
    assert outcome.code == 1
    assert outcome.out == ""
    assert outcome.err == (
        "minitf: This is a fault in minitf (ZeroDivisionError: oh\\x1b); "
        f"the full report is in {problems.log_file()}.\n"
    )
    assert "ZeroDivisionError" in problems.log_file().read_text()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "The config file c.toml cannot be read: No such file or directory."),
        (b"[train\n", "c.toml is not valid TOML"),
        (b"\xff", "The config file c.toml is not UTF-8 at byte 0."),
        (b"[train]\nstepz = 5\n", "The table [train] has no field 'stepz'.\nDid you mean steps?"),
        (b"[trian]\n", "The config has no table [trian].\nDid you mean train?"),
        (b"[train]\nlr = 'x'\n", "lr='x' is not a number."),
    ],
)
def test_config_files_that_do_not_work(recipes, refused, tmp_path, content, message):
    if content is not None:
        (tmp_path / "c.toml").write_bytes(content)
    assert refused("train", "--config", "c.toml").startswith(f"minitf: {message}")


@pytest.mark.parametrize(
    "flag",
    [
        *("--lr=1", "--seed=1", "--name=x", "--preset=quick", "--config=c", "--no-qk-norm"),
        *("--corpus=a", "--device=cpu", "--d-model=8"),
    ],
)
def test_nothing_but_the_budget_changes_when_a_run_is_resumed(recipes, refused, flag):
    words = refused("train", "--resume", "last", "--steps", "5", flag)
    name = flag.split("=")[0].replace("--no-", "--")
    assert words.startswith(f"minitf: {name} cannot change when a run is resumed.\n")
    assert recipes.calls == []


def test_a_terminal_that_can_do_nothing_is_told_what_works(refused, terminal, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    assert "minitf train, minitf generate" in refused("app")
    screen = terminal("stderr")
    from minitf_tui.__main__ import main

    assert main([]) == 2
    assert screen.getvalue().count("\n") == 1
    assert "TERM=dumb" in screen.getvalue()


def test_ctrl_c_before_anything_began_is_quiet(minitf, recipes, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("minitf_tui.cli.train.config_of", interrupt)
    outcome = minitf("train")
    assert (outcome.code, outcome.out, outcome.err) == (130, "", "")


def test_nobody_reads_stdout(minitf, recipes, make, monkeypatch):
    class Closed:
        encoding = "utf-8"

        def isatty(self):
            return False

        def write(self, text):
            raise BrokenPipeError

        def flush(self):
            raise BrokenPipeError

    session = recipes.play(*make.generated("a", "b"))
    monkeypatch.setattr(sys, "stdout", Closed())
    from minitf_tui.__main__ import main

    assert main(["generate"]) == 141
    assert session.is_closed
