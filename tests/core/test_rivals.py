"""Other programs on the same weights, each in its own process: what they say, and how they end."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from core import recipes
from core.config import RunConfig
from core.errors import RivalError
from core.measure import rivals
from core.measure.rivals import Rival, RivalTiming, start_own, start_rival
from core.open_run import OpenRun, open_for_use
from core.openmp import SPIN_COUNT
from core.testing import result_of, tiny_run_config

N = 6
PROMPT = [3, 1, 4, 1, 5]


@pytest.fixture
def found(text_file: str) -> OpenRun:
    config: RunConfig = tiny_run_config(text_file).with_changes(
        steps=3, tokenizer="byte", norm="rmsnorm", activation="swiglu", dropout=0.0
    )
    list(recipes.training(config, name="tiny").run())
    return open_for_use("tiny", device="cpu", dtype="float32", threads=1)


@pytest.fixture
def own(found: OpenRun) -> Iterator[Rival]:
    with start_own("tiny", engine="torch", threads=1) as rival:
        yield rival


def refused(name: str, found: OpenRun, **changes: Any) -> tuple[str, str]:
    work = start_rival(name, found.model, found.tokenizer, **changes)
    with pytest.raises(RivalError) as caught:
        result_of(work)
    return str(caught.value), caught.value.hint


@pytest.mark.slow
def test_minitf_answers_from_a_process_of_its_own_as_often_as_it_is_asked(own: Rival) -> None:
    first, second = (own.repetition(PROMPT, N) for _ in range(2))
    assert len(first.tokens) == N + 1
    assert first.tokens == second.tokens
    assert first.is_sound
    assert second.is_sound
    assert (own.name, own.threads, own.note.split(",")[0]) == ("minitf", 1, "torch")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["transformers", "llama.cpp"])
def test_a_rival_writes_the_same_tokens(name: str, own: Rival, found: OpenRun) -> None:
    module, _ = rivals.PACKAGES[name]
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"needs {name}")
    work = start_rival(name, found.model, found.tokenizer, threads=1)
    with result_of(work) as rival:
        assert rival.repetition(PROMPT, N).tokens == own.repetition(PROMPT, N).tokens
        assert (rival.name, rival.threads) == (name, 1)
        assert rival.version
        place = rival._place
        assert place is not None
        assert any(Path(place.name).iterdir())
    assert not Path(place.name).exists()


@pytest.mark.slow
def test_one_that_ends_is_an_error_in_a_sentence(found: OpenRun) -> None:
    hint = "Leave it out of --compare, or install another build of it."
    with pytest.raises(RivalError) as caught:
        start_own("nowhere", engine="torch", threads=1)
    words = "minitf has ended with exit code 2: There is no run 'nowhere'"
    assert str(caught.value).startswith(words)
    with start_own("tiny", engine="torch", threads=1) as rival:
        rival._process.kill()
        rival._process.wait()
        with pytest.raises(RivalError) as caught:
            rival.repetition(PROMPT, N)
    how = "with exit code 1" if sys.platform == "win32" else "by SIGKILL"
    assert (str(caught.value), caught.value.hint) == (f"minitf has ended {how}.", hint)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_is_not_for_the_rival(own: Rival) -> None:
    own._process.send_signal(signal.SIGINT)
    assert len(own.repetition(PROMPT, N).tokens) == N + 1


def test_ctrl_c_while_one_loads_ends_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Rival] = []

    def interrupted(rival: Rival, what: object) -> None:
        begun.append(rival)
        raise KeyboardInterrupt

    monkeypatch.setattr(Rival, "_ask", interrupted)
    place: tempfile.TemporaryDirectory[str] = tempfile.TemporaryDirectory()
    with pytest.raises(KeyboardInterrupt):
        Rival("minitf", {}, place)
    assert begun[0]._process.poll() is not None
    assert not Path(place.name).exists()


def test_places_of_killed_processes_go(
    tmp_path: Path, found: OpenRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    old, young, foreign = (tmp_path / name for name in ("minitf-rival-a", "minitf-rival-b", "c"))
    for folder in (old, young, foreign):
        folder.mkdir()
    for folder in (old, foreign):
        os.utime(folder, (1, 1))
    monkeypatch.setattr(rivals, "check_installed", lambda name: None)
    monkeypatch.setattr(rivals, "Rival", lambda name, told, place: place)
    place: Any = result_of(start_rival("llama.cpp", found.model, found.tokenizer))
    assert {young, foreign, Path(place.name)} <= set(tmp_path.iterdir())
    assert not old.exists()
    place.cleanup()


def test_half_an_answer_is_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    class Half:
        """Ends in the middle of a line."""

        def __init__(self, *args: object, **kwargs: object) -> None:
            self.stdin, self.stdout = BytesIO(), BytesIO(b'{"thre')

        def kill(self) -> None: ...

        def wait(self, timeout: float = 0.0) -> int:
            return 3

    monkeypatch.setattr(rivals.subprocess, "Popen", Half)
    with pytest.raises(RivalError) as caught:
        start_own("tiny")
    assert str(caught.value) == "minitf has ended with exit code 3."
    assert caught.value.hint == "Leave it out of --compare, or install another build of it."


def test_a_signal_without_a_name_has_its_number() -> None:
    assert rivals._signal(9999) == "signal 9999"


def test_one_that_is_not_there_says_how_to_get_it(
    found: OpenRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.measure.rivals.importlib.util.find_spec", lambda name: None)
    hint = "Install it with: pip install llama-cpp-python"
    assert refused("llama.cpp", found) == ("llama.cpp is not installed.", hint)
    hint = "Install it with: pip install transformers"
    assert refused("transformers", found) == ("transformers is not installed.", hint)


def test_others_are_unknown(found: OpenRun) -> None:
    hint = "There are transformers and llama.cpp."
    assert refused("ollama", found) == ("minitf knows no rival 'ollama'.", hint)


def test_transformers_has_float32_only(found: OpenRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rivals, "check_installed", lambda name: None)
    assert refused("transformers", found, bits=8) == (
        "transformers is timed in float32 only, and bits=8.",
        "Compare llama.cpp, which has q8_0 and q4_0.",
    )


def test_parts_that_exceed_the_time_that_passed_are_marked() -> None:
    assert RivalTiming(1.0, 2.0, (1,), 3.1).is_sound
    assert not RivalTiming(1.0, 2.2, (1,), 3.1).is_sound


def test_threads_wait_politely_but_for_llama_cpp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", SPIN_COUNT)
    assert "GOMP_SPINCOUNT" not in rivals._environment("llama.cpp")
    assert rivals._environment("transformers")["GOMP_SPINCOUNT"] == SPIN_COUNT
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    assert rivals._environment("llama.cpp")["GOMP_SPINCOUNT"] == "7"
