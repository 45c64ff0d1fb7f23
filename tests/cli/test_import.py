"""`minitf import`: what is asked of core, and what is shown."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from core.errors import FormatError
from core.events import SetupProgressed
from minitf_tui.cli import completing
from tests.cli.scripted import imported


def test_what_has_come_and_what_can_be_done_with_it(recipes, minitf):
    recipes.play(SetupProgressed(stage="reading weights"), imported())
    outcome = minitf("import", "stories15M.bin")
    assert outcome.code == 0
    assert outcome.out == (
        "Imported stories15M.bin as stories15m\n"
        "  from     llama2.c, llama\n"
        "  model    15.2 M parameters, context 256\n"
        "  tokens   32,000 to choose from\n"
        "  text     python-docs, where no other is named\n"
        "  size     58.0 MiB\n"
        "  kept in  /home/me/runs/stories15m\n"
        "\n"
        "Next\n"
        "  minitf generate stories15m                    let it write\n"
        "  minitf eval stories15m                        score it\n"
        "  minitf bench stories15m                       time its KV cache\n"
        "  minitf train --resume stories15m --steps 100  go on training it\n"
        "  minitf train --init-from stories15m           begin a new run from its weights\n"
    )
    assert outcome.err == "reading weights ...\n"
    assert recipes.call == ("importing", ("stories15M.bin",), {})


def test_what_was_typed_is_handed_over(recipes, minitf):
    recipes.play(imported())
    words = ["--name", "mine", "--tokenizer", "t.bin", "--corpus", "a.txt", "--max-seq-len", "64"]
    assert minitf("import", "hub:me/model", *words).code == 0
    given = {"name": "mine", "tokenizer": Path("t.bin"), "corpus": "a.txt", "max_seq_len": 64}
    assert recipes.call == ("importing", ("hub:me/model",), given)


def test_names_and_remarks_from_files_act_on_no_terminal(recipes, minitf):
    recipes.play(
        imported(
            source="a\x1b[2Jb/" + "x" * 300,
            architecture="Llama\x9bForCausalLM",
            remarks=("The context of 131,072 was cut\x1b to 8,192.",),
        )
    )
    out = minitf("import", "x").out
    assert "\nNote\n  The context of 131,072 was cut\\x1b to 8,192.\n" in out
    assert all(c.isprintable() or c == "\n" for c in out)
    assert max(map(len, out.splitlines())) < 100


def test_json_is_the_result_and_nothing_else(recipes, minitf):
    recipes.play(imported())
    outcome = minitf("import", "x", "--json")
    assert outcome.out.count("\n") == 1
    assert list(json.loads(outcome.out)) == [
        *("run", "path", "source", "format", "architecture", "step", "n_params"),
        *("vocab_size", "context", "corpus", "bytes", "remarks"),
    ]


def test_a_signal_ends_it_early(recipes, minitf):
    session = recipes.play(
        SetupProgressed(stage="x"), lambda: os.kill(os.getpid(), signal.SIGINT), imported()
    )
    outcome = minitf("import", "x")
    assert (outcome.code, outcome.out) == (130, "")
    assert session.is_closed


def test_what_core_refuses_is_said(recipes, refused):
    recipes.play(FormatError("'m': config.json is not JSON."))
    assert refused("import", "m") == "minitf: 'm': config.json is not JSON.\n"


def test_a_source_is_needed_and_one_is_enough(recipes, refused):
    assert refused("import").startswith(
        "minitf: minitf import needs a SOURCE.\nThe form is minitf import"
    )
    assert refused("import", "a", "b").startswith("minitf: There is a word too many: 'b'.")
    assert recipes.calls == []


def test_a_source_is_completed_as_a_file_and_flags_by_name():
    def words_for(*typed: str) -> list[str]:
        return [answer.word for answer in completing.answers(typed)]

    assert words_for("import", "") == [completing.FILES]
    assert words_for("import", "x", "--tok") == ["--tokenizer"]
    assert words_for("import", "x", "--corpus", "gen") == ["generated", completing.FILES]
    assert words_for("export", "--format", "") == ["hf", "gguf", "capsule"]
    assert words_for("export", "--type", "q") == ["q8_0", "q4_0"]
    assert words_for("export", "--out", "") == [completing.FILES]
    assert words_for("export", "")[:2] == ["last", "best"]
