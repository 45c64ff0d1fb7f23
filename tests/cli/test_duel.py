"""`minitf duel`: what it prints, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.presets import preset
from core.store.run import create_run
from minitf_tui.cli.main import main
from minitf_tui.cli.settings_given import settings_given
from minitf_tui.problems import explain


def test_a_duel_of_a_file_with_itself(
    text_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.toml"
    file.write_text(
        f'[model]\nd_model = 16\nn_layers = 1\nn_heads = 2\n[text]\ncorpus = "{text_file}"\n'
        'tokenizer = "byte"\n[train]\ncontext = 16\nbatch_size = 2\nthreads = 1\n'
        "[eval]\neval_interval = 10\nsample_interval = 0\nsample_tokens = 0\n"
    )
    words = ["duel", str(file), "--steps", "20", "--set", "checkpoint_interval=0", "--name", "one"]
    assert main(words) == 0
    said = capsys.readouterr()
    assert "No difference yet: the validation loss of B - A is +0.0000" in said.out
    assert "A one-a, B one-b" in said.out
    assert "at equal time" in said.out
    assert "step 10: val A " in said.err
    assert main(["duel", "--show", "one-b"]) == 0
    shown = capsys.readouterr().out
    assert "No difference yet: the validation loss of B - A is +0.0000" in shown
    assert "A one-a, B one-b" in shown
    assert main(["duel", "one-a", "--show", "--json"]) == 0
    kept = json.loads(capsys.readouterr().out)
    assert [step["step"] for step in kept["steps"]] == [*range(1, 21)]
    words[-1] = "two"
    assert main([*words, "--set-b", "lr=1e-2", "--set-b", "tied-head=true", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["b"] == f"{file} lr=0.01 tied_head=True"
    assert found["rounds"][0]["b"]["run"] == "two-b"
    assert found["difference"] != 0


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("lr", "--set-b takes NAME=VALUE, not 'lr'.\nAs in --set-b lr=3e-3."),
        ("lrr=1", "There is no setting 'lrr'.\nDid you mean lr?"),
        ("zzzz=1", "There is no setting 'zzzz'.\nminitf train --help lists them."),
        ("bias=2", "--set-b 'bias=2' is neither true nor false.\nAs in --set-b bias=true."),
        ("lr=x", "--lr='x' is not a number.\nAs in --lr 0.006."),
    ],
)
def test_settings_that_mean_nothing(word: str, sentence: str) -> None:
    with pytest.raises(Exception, match=r".") as caught:
        settings_given([word], "--set-b")
    assert explain(caught.value) == sentence


def test_settings_that_mean_something() -> None:
    words = ["lr=3e-3", "d-model=64", "bias=off", "corpus=a b.txt"]
    assert settings_given(words, "--set") == {
        "lr": 3e-3,
        "d_model": 64,
        "bias": False,
        "corpus": "a b.txt",
    }


def test_a_run_without_a_duel_has_none_to_show(capsys: pytest.CaptureFixture[str]) -> None:
    create_run("alone", preset("seed"), {}, "{}")
    assert main(["duel", "--show", "alone"]) != 0
    said = capsys.readouterr().err
    assert "No duel is kept with the run alone.\nminitf duel A B begins one." in said
