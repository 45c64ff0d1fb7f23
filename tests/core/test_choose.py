"""Which engine is chosen for a model, and what is kept of the choice."""

from __future__ import annotations

import json
import threading
import time

import pytest

from core.config import ModelConfig
from core.device import Device
from core.infer.engines import choose, compiled, trial
from core.infer.engines.choose import engine_stage, make_engine
from core.infer.engines.fast import FastEngine, is_compiled
from core.model.transformer import Transformer
from core.paths import cache_dir

CPU = Device("cpu", "float32", 1)
FAST = ["fast 1", "fast 2"]
TINY = ModelConfig(vocab_size=50, max_seq_len=40, d_model=32, n_layers=2, n_heads=4, d_ff=40)


def noisy(config: ModelConfig) -> Transformer:
    return Transformer(config).eval()


@pytest.mark.parametrize(
    ("device", "cache", "note"),
    [
        (CPU, "none", "The fast engine has the static cache only, not 'none'."),
        (
            Device("cpu", "bfloat16", 1),
            "static",
            "The fast engine computes float32 on the CPU, not bfloat16 on cpu.",
        ),
    ],
)
def test_a_wish_that_cannot_be_met_is_explained(device: Device, cache: str, note: str) -> None:
    model = noisy(TINY)
    for wish, said in (("fast", note), ("auto", ""), ("torch", "")):
        engine = make_engine(model, device, engine=wish, cache=cache)
        assert (engine.name, engine.note) == ("torch", said)
        assert engine_stage(model, device, wish, cache) == ""


def test_without_numba_or_with_other_weights_torch_decodes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = noisy(TINY)
    half = make_engine(noisy(TINY).bfloat16(), CPU, engine="fast")
    assert half.note == "The fast engine needs the weights in float32 and in order."

    class Other(Transformer):
        """Computes something else."""

    other = make_engine(Other(TINY), CPU, engine="fast")
    assert other.note == "The fast engine computes a Transformer, not Other."
    hooked = noisy(TINY)
    hooked.head.register_forward_hook(lambda _module, _inputs, _output: None)
    engine = make_engine(hooked, CPU, engine="fast")
    assert engine.note == "The fast engine calls no hooks, and this model has some."
    monkeypatch.setattr(choose.importlib.util, "find_spec", lambda _name: None)
    engine = make_engine(model, CPU, engine="fast")
    assert engine.note == "The fast engine needs numba, which is not installed."


def test_a_numba_that_cannot_be_loaded_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise ImportError("Numba needs NumPy 2.5 or less. Got NumPy 2.9.")

    monkeypatch.setattr(choose.importlib, "import_module", refuse)
    engine = make_engine(noisy(TINY), CPU, engine="fast")
    said = "which cannot be loaded: Numba needs NumPy 2.5 or less. Got NumPy 2.9."
    assert (engine.name, engine.note) == ("torch", f"The fast engine needs numba, {said}")


def test_the_choice_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, device = noisy(TINY), Device("cpu", "float32", 2)
    probed = []

    def fastest(candidates: dict[str, object]) -> tuple[str, bool]:
        probed.append(list(candidates))
        return list(candidates)[-1], True

    monkeypatch.setattr(choose, "fastest", fastest)
    for wish, candidates in (("auto", ["torch", *FAST]), ("fast", FAST)):
        engines = [make_engine(model, device, engine=wish) for _ in range(2)]
        assert probed.pop() == candidates
        assert not probed
        assert [engine.name for engine in engines] == ["fast", "fast"]
        assert all(isinstance(e, FastEngine) and e.n_threads == 2 for e in engines)


@pytest.mark.parametrize(
    "kept",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"engine": "fast 2"}',
        b'{"engine": "fast 2", "until": null}',
        b'{"engine": "fast 2", "until": 1e999}',
        b'{"engine": "fast 2", "until": NaN}',
        b'{"engine": "fast 2", "until": 1000}',
        b'{"engine": "fast 4", "until": NOON}',
        b'{"engine": ["fast 2"], "until": NOON}',
    ],
)
def test_a_damaged_choice_is_measured_again(kept: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    model, device = noisy(TINY), Device("cpu", "float32", 2)
    monkeypatch.setattr(choose, "fastest", lambda candidates: ("fast 1", True))
    path = cache_dir() / "engines" / f"{choose._key(model, device, 'fast')}.json"
    path.parent.mkdir(parents=True)
    noon = time.time() + 1000
    path.write_bytes(kept.replace(b"NOON", str(noon).encode()))
    engine = make_engine(model, device, engine="fast")
    assert isinstance(engine, FastEngine)
    assert engine.n_threads == 1
    assert json.loads(path.read_bytes())["engine"] == "fast 1"


def test_a_choice_is_of_one_processor_and_one_code(monkeypatch: pytest.MonkeyPatch) -> None:
    model = noisy(TINY)
    keys = {choose._key(model, CPU, "auto"), choose._key(model, CPU, "auto")}
    monkeypatch.setattr("llvmlite.binding.get_host_cpu_name", lambda: "another")
    keys.add(choose._key(model, CPU, "auto"))
    monkeypatch.setattr("numba.__version__", "another")
    keys.add(choose._key(model, CPU, "auto"))
    monkeypatch.setattr(compiled, "sources_digest", lambda: "another")
    keys.add(choose._key(model, CPU, "auto"))
    assert len(keys) == 4


def test_a_choice_is_believed_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(trial.time, "time", lambda: now)
    for is_settled, kept_s in ((True, trial.DAY_S), (False, trial.UNSETTLED_S)):
        trial.keep_choice("a", "fast 2", is_settled=is_settled)
        now += kept_s - 1
        assert trial.kept_choice("a") == "fast 2"
        now += 2
        assert trial.kept_choice("a") == ""
    trial.keep_choice("a", "fast 2", is_settled=True)
    now -= 100  # a clock that was put back
    assert trial.kept_choice("a") == ""


def test_who_waits_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    model = noisy(TINY)
    make_engine(model, CPU, engine="fast")
    assert is_compiled()
    assert engine_stage(model, CPU, "auto", "static") == ""
    monkeypatch.setattr("core.infer.engines.fast.is_compiled", lambda: False)
    stage = engine_stage(model, CPU, "auto", "static")
    assert stage == "compiling the decode step, once per machine"


def test_threads_that_somebody_asked_for_are_taken() -> None:
    model = noisy(TINY)
    for n_threads in (1, 2, 3):
        device = Device("cpu", "float32", n_threads, has_fixed_threads=True)
        engine = make_engine(model, device, engine="fast")
        assert isinstance(engine, FastEngine)
        assert (engine.n_threads, engine.note) == (n_threads, "")
    assert not (cache_dir() / "engines").exists()
    assert list(choose._ways(model, device, "auto", "static")[0]) == ["torch", "fast 3"]


@pytest.mark.parametrize("wish", ["auto", "fast"])
def test_without_more_threads_one_decodes(wish: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(trial, "_time", lambda engine, n: 1.0 if engine.name == "torch" else 0.1)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    engine = make_engine(noisy(TINY), Device("cpu", "float32", 2), engine=wish)
    assert isinstance(engine, FastEngine)
    assert engine.n_threads == 1
    assert engine.note == "The fast engine has one thread instead of 2: can't start new thread."
    assert not (cache_dir() / "engines").exists(), "tomorrow there may be more"
    assert len(engine.write(1, 4)) == 4
