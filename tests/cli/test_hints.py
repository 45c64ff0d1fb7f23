"""The hints under mistakes: what to do next, word for word."""

from __future__ import annotations

import pytest

from minitf_tui.problems import explain


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["plot", "--out", "x.gif"], "It ends in .png, .svg, .pdf."),
        (["runs", "rm"], "minitf runs lists them."),
        (["runs", "rm", "a@5"], "Leave out the @ and what follows."),
        (["runs", "list", "x"], "Try minitf runs show RUN."),
        (
            ["train", "--resume", "last", "--lr", "1"],
            "Only --steps, --seconds or --tokens may; for other settings start a new run.",
        ),
    ],
)
def test_the_line_after_the_mistake(recipes, refused, words, hint):
    assert refused(*words).splitlines()[1] == hint


def test_a_config_file_that_is_not_text(refused, tmp_path):
    path = tmp_path / "c.toml"
    path.write_bytes(b"\xff")
    assert refused("train", "--config", str(path)) == (
        f"minitf: The config file {path} is not UTF-8 at byte 0.\nTOML files are UTF-8 text.\n"
    )


@pytest.mark.parametrize("command", ["train", "eval", "bench"])
def test_a_file_of_something_else_is_not_overwritten_with_figures(refused, tmp_path, command):
    listed, broken = tmp_path / "list.json", tmp_path / "broken.json"
    listed.write_text("[1]")
    broken.write_text("{")
    assert refused(command, "--metrics", str(listed)) == (
        f"minitf: {listed} cannot take the figures: it is not one JSON object.\n"
        "Name another file.\n"
    )
    assert refused(command, "--metrics", str(broken)) == (
        f"minitf: {broken} cannot take the figures: it is not JSON.\nName another file.\n"
    )
    assert (listed.read_text(), broken.read_text()) == ("[1]", "{")


def test_a_folder_that_cannot_be_made(refused, tmp_path):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "below" / "m.json"
    words = refused("train", "--metrics", str(path))
    assert words.startswith(f"minitf: {path} cannot ")
    assert words.endswith("Name another.\n") or words.endswith("Name another file.\n")


def test_a_terminal_that_can_do_nothing(refused, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.delenv("TEXTUAL_DRIVER", raising=False)
    assert refused("app") == (
        "minitf: This terminal (TERM=dumb) cannot show the app; without it there are minitf train, "
        "minitf generate, minitf eval and minitf bench.\n"
    )


def test_too_little_memory_says_what_to_make_smaller():
    assert explain(MemoryError()) == (
        "This machine has not enough memory for that.\nTry a smaller model, batch_size or context."
    )
