"""`minitf export`: what is asked of core, and what is shown."""

from __future__ import annotations

import json
import os
import shlex
import signal
from pathlib import Path

import pytest

from core.errors import ConfigError, ExportError
from core.events import SetupProgressed
from core.presets import SEED
from core.recipes import exporting
from core.store.run import create_run
from core.transfers import place_for
from minitf_tui.uses import near, uses_of
from tests.cli.scripted import exported


def test_a_folder_for_transformers_is_reported_with_the_lines_that_load_it(recipes, minitf):
    recipes.play(SetupProgressed(stage="writing weights"), exported())
    outcome = minitf("export")
    assert outcome.code == 0
    assert outcome.out == (
        "Exported tiny at step 100\n"
        "  for      transformers\n"
        "  as       LlamaForCausalLM\n"
        "  numbers  f32\n"
        "  size     3.2 MiB\n"
        "  kept in  /models/tiny-hf\n"
        "\n"
        "In Python\n"
        "  from transformers import AutoModelForCausalLM, AutoTokenizer\n"
        "  model = AutoModelForCausalLM.from_pretrained('/models/tiny-hf')\n"
        "  tokenizer = AutoTokenizer.from_pretrained('/models/tiny-hf')\n"
    )
    assert outcome.err == "writing weights ...\n"
    assert recipes.call == ("exporting", ("last",), {})


def test_what_was_typed_is_handed_over(recipes, minitf):
    recipes.play(exported("gguf", path="/m/tiny.gguf", number_type="q8_0"))
    words = ["--format", "gguf", "--type", "q8_0", "--out", "m/tiny.gguf", "--overwrite"]
    assert minitf("export", "tiny@5", *words).code == 0
    given = {"format": "gguf", "number_type": "q8_0", "out": Path("m/tiny.gguf")}
    assert recipes.call == ("exporting", ("tiny@5",), {**given, "overwrite": True})


def test_a_gguf_comes_with_the_lines_of_llama_cpp_and_ollama(recipes, minitf, tmp_path):
    recipes.play(exported("gguf", path=str(tmp_path / "tiny.gguf"), number_type="f32"))
    assert minitf("export").out.endswith(
        "\n"
        "With llama.cpp\n"
        '  llama-cli -m tiny.gguf -p "The "\n'
        "  llama-server -m tiny.gguf\n"
        "\n"
        "With Ollama\n"
        "  echo 'FROM ./tiny.gguf' > Modelfile\n"
        "  ollama create tiny -f Modelfile && ollama run tiny\n"
    )


def test_a_capsule_comes_with_the_line_that_trains_it_again(recipes, minitf, tmp_path):
    recipes.play(exported("capsule", path=str(tmp_path / "tiny.tar.gz")))
    out = minitf("export").out
    assert "  for      minitf\n  size " in out
    assert out.endswith("  minitf import tiny.tar.gz\n  minitf replay tiny.tar.gz\n")


def test_remarks_stand_below_and_act_on_no_terminal(recipes, minitf):
    told = "The head\x1b[2J is kept as f16."
    path = "/models/my \x1b]0;model's.gguf"
    recipes.play(exported("gguf", path=path, architecture="a\x07b", remarks=(told, "And so on.")))
    out = minitf("export").out
    assert "\nNote\n  The head\\x1b[2J is kept as f16.\n  And so on.\n\n" in out
    assert all(c.isprintable() or c == "\n" for c in out)
    recipes.play(exported("hf", path=path))
    assert all(c.isprintable() or c == "\n" for c in minitf("export").out)


def test_a_path_with_spaces_is_one_word_of_the_shell():
    path = "/my models/it's.gguf"
    result = exported("gguf", path=path).result
    llama, ollama = (use.lines for use in uses_of(result, is_near=False))
    assert shlex.split(llama[0])[2] == path
    assert shlex.split(ollama[0])[1] == f"FROM {path}"


def test_a_path_is_short_where_it_is_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert near(str(tmp_path / "a" / "b.gguf")) == "a/b.gguf"
    assert near("/elsewhere/b.gguf") == "/elsewhere/b.gguf"


def test_json_is_the_result_and_nothing_else(recipes, minitf):
    recipes.play(exported(remarks=("one",)))
    outcome = minitf("export", "--json")
    assert outcome.out.count("\n") == 1
    result = json.loads(outcome.out)
    assert list(result) == [
        *("run", "step", "format", "path", "architecture", "number_type", "bytes", "remarks")
    ]
    assert result["remarks"] == ["one"]


def test_a_signal_ends_it_early(recipes, minitf):
    session = recipes.play(
        SetupProgressed(stage="x"), lambda: os.kill(os.getpid(), signal.SIGINT), exported()
    )
    outcome = minitf("export")
    assert (outcome.code, outcome.out) == (130, "")
    assert session.is_stopped
    assert session.is_closed


def test_what_core_refuses_is_said(recipes, refused):
    recipes.play(ExportError("No architecture has logit_softcap=30.0.", hint="Train without it."))
    assert refused("export") == (
        "minitf: No architecture has logit_softcap=30.0.\nTrain without it.\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--format", "onnx"], "--format='onnx' is not one of hf, gguf, capsule."),
        (["--type", "q5"], "--type='q5' is not one of f32, f16, q8_0, q4_0."),
        (["--out", ""], "--out='' is not the name of a file."),
        (["a", "b"], "There is a word too many: 'b'."),
    ],
)
def test_mistakes(recipes, refused, words, message):
    assert refused("export", *words).startswith(f"minitf: {message}\n")
    assert recipes.calls == []


def test_a_place_is_called_after_the_run(tmp_path):
    made = create_run("tiny", SEED, {}, "{}")
    for step in (5, 60):
        (made.path / "checkpoints" / f"step-{step:08d}").mkdir(parents=True)
    for run, format, number_type, name in [
        ("last", "hf", "f32", "tiny-hf"),
        ("tiny", "gguf", "f32", "tiny.gguf"),
        ("tiny@5", "gguf", "q8_0", "tiny-5-q8_0.gguf"),
        ("tiny@last", "hf", "f32", "tiny-60-hf"),
        ("tiny@5", "capsule", "f32", "tiny.tar.gz"),
    ]:
        assert place_for(run, format, number_type) == tmp_path / name


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"format": "onnx"}, "format='onnx' is not one of hf, gguf, capsule."),
        ({"number_type": "q8_0"}, "type=q8_0 is for gguf, and format=hf."),
    ],
)
def test_the_library_checks_its_choices(given, message):
    with pytest.raises(ConfigError) as caught:
        list(exporting("tiny", out="x", **given).run())
    assert str(caught.value) == message
    assert caught.value.hint in ("Leave it out.", "Known: capsule, gguf, hf.")
