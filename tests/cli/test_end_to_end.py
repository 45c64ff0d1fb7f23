"""The real engine behind the real command line, on a model of eleven thousand parameters."""

from __future__ import annotations

import io
import json
import os
import random
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from minitf_tui.__main__ import main

WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "and",
    "saw",
    "an",
    "old",
    "red",
    "barn",
    "near",
    "one",
]
TINY = [
    *("--d-model", "16", "--n-layers", "1", "--n-heads", "2", "--context", "16"),
    *("--batch-size", "2", "--tokenizer", "byte", "--threads", "1", "--sample-tokens", "8"),
]


def _text() -> str:
    dice = random.Random(0)
    return " ".join(dice.choice(WORDS) for _ in range(1500))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a text and a trained run `tiny`."""
    folder = tmp_path_factory.mktemp("lab")
    text = folder / "text.txt"
    text.write_text(_text())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINITF_HOME", str(folder))
        words = ["train", "--corpus", str(text), "--steps", "5", "--name", "tiny", *TINY]
        assert main(words) == 0
    return folder


@pytest.fixture
def real(minitf, lab, monkeypatch):
    """`minitf` on that folder."""
    monkeypatch.setenv("MINITF_HOME", str(lab))
    return minitf


def test_train_and_resume(real, lab):
    words = ["train", "--corpus", str(lab / "text.txt"), "--steps", "3", "--json", *TINY]
    outcome = real(*words)
    assert outcome.code == 0, outcome.err
    result = json.loads(outcome.out)
    assert (result["run"], result["steps"], result["tokens"]) == ("text-1", 3, 96)
    assert Path(result["path"]).is_dir()
    again = real("train", "--resume", "text-1", "--steps", "6", "--json")
    assert json.loads(again.out)["steps"] == 6
    finished = real("train", "--resume", "text-1")
    assert finished.code == 0
    assert finished.out.startswith("This run is finished already")
    assert real("train", "--corpus", str(lab / "text.txt"), "--name", "tiny", *TINY).code == 2


def test_eval(real, lab):
    whole = json.loads(real("eval", "tiny", "--json").out)
    other = json.loads(real("eval", "tiny", "--text", str(lab / "text.txt"), "--json").out)
    assert 0 < whole["tokens"] < other["tokens"] == len(_text()) - 1
    assert real("eval", "tiny", "--stride", "99").code == 2
    assert real("eval", "tiny", "--text", "missing").code == 2


def test_generate_says_the_same_with_and_without_cache(real):
    words = ["generate", "tiny", "--prompt", "the cat", "--temperature", "0", "--json"]
    cached = json.loads(real(*words, "--max-new-tokens", "30").out)
    plain = json.loads(real(*words, "--max-new-tokens", "30", "--no-cache").out)
    assert cached["text"] == plain["text"]
    assert cached["prompt_tokens"] == 7
    assert len(cached["tokens"]) == 30
    assert cached["stop"] == "length"


def test_several_continuations_are_what_their_seeds_say_alone(real):
    words = ["generate", "tiny", "--prompt", "the cat", "--stop", "t", "--max-new-tokens", "30"]
    words += ["--repetition-penalty", "1.3", "--json"]
    batch = json.loads(real(*words, "--count", "3", "--seed", "4").out)
    alone = [json.loads(real(*words, "--seed", str(4 + i)).out) for i in range(3)]
    for found, wanted in zip(batch["continuations"], alone, strict=True):
        assert [t["id"] for t in found["tokens"]] == [t["id"] for t in wanted["tokens"]]
        assert (found["text"], found["stop"]) == (wanted["text"], wanted["stop"])


def test_a_conversation_through_a_pipe(real, monkeypatch):
    lines = "the cat\n/undo\nthe cat\n\n/show\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    outcome = real("generate", "tiny", "--interactive", "--temperature", "0", "--stop", "t")
    assert outcome.code == 0, outcome.err
    first, again, more, *shown = outcome.out.split("\n")
    assert first == again
    assert "\n".join(shown).startswith(f"the cat{again}")
    assert more in outcome.out


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_a_conversation_at_a_terminal(lab):
    """Typed lines, an endless reply that is interrupted, Ctrl-D, and the history on disk."""
    import pty

    ours, theirs = pty.openpty()
    words = ["generate", "tiny", "--interactive", "--temperature", "0", "--max-new-tokens", "9"]
    process = subprocess.Popen(
        [sys.executable, "-m", "minitf_tui", *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"MINITF_HOME": str(lab), "TERM": "xterm"},
    )
    os.close(theirs)

    def answer(line: str, *, least: int = 0) -> str:
        """What comes after `line` was typed, up to the next prompt or `least` characters."""
        if line:
            os.write(ours, line.encode())
        seen = ""
        while not (len(seen) >= least if least else seen.endswith("> ")):
            assert select.select([ours], [], [], 60)[0], seen
            seen += os.read(ours, 1 << 16).decode("utf-8", "replace")
        return seen

    with process:
        assert "/help tells more" in answer("")
        assert "the cat" in answer("the cat\n")
        assert "Did you mean /help?" in answer("/hlep\n")
        answer("/set stop\n")
        answer("/set max_new_tokens 100000000\n")
        answer("on\n", least=300)
        process.send_signal(signal.SIGINT)
        answer("")
        os.write(ours, b"\x04")
        assert process.wait(60) == 0
    os.close(ours)
    history = lab / "conversation_history"
    assert "the cat\n/hlep\n" in history.read_text()
    assert history.stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_bench_and_plot(real, tmp_path):
    result = json.loads(
        real("bench", "tiny", "--n", "8", "--reps", "2", "--seconds", "0", "--json").out
    )
    assert result["cells"][-1]["proof"]["of"] == 8
    ways = [("torch", "none"), ("torch", "static"), ("fast", "static")]
    assert {
        (c["variant"]["engine"], c["variant"]["cache"], c["phase"]) for c in result["cells"]
    } == {(*way, phase) for way in ways for phase in ("prefill", "decode")}
    assert all(len(cell["samples_ms"]) == 2 for cell in result["cells"])
    for kind in ("loss", "latency"):
        assert real("plot", "tiny", "--kind", kind).code == 0
        assert real("plot", "tiny", "--kind", kind, "--out", f"{kind}.png").code == 0
        assert (tmp_path / f"{kind}.png").stat().st_size > 1000


def test_a_run_that_blows_up(real, lab):
    words = ["train", "--corpus", str(lab / "text.txt"), "--steps", "9", "--lr", "1e30", *TINY]
    outcome = real(*words, "--json")
    assert (outcome.code, outcome.out) == (1, "")
    assert "minitf: Training ended at step " in outcome.err
    assert "The checkpoint of step 0 stays." in outcome.err


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_leaves(lab, number, code):
    words = ["train", "--corpus", str(lab / "text.txt"), "--seconds", "60", "--json", *TINY]
    process = subprocess.Popen(
        [sys.executable, "-m", "minitf_tui", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"MINITF_HOME": str(lab)},
    )
    with process:
        assert process.stderr is not None
        assert any(line.startswith("Run ") for line in process.stderr)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    result = json.loads(out)
    checkpoints = Path(result["path"]) / "checkpoints"
    assert (checkpoints / f"step-{result['steps']:08d}").is_dir()


def test_a_reader_who_leaves_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.run(
        [sys.executable, "-m", "minitf_tui", "--help"], stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    assert (process.returncode, process.stderr) == (141, b"")
