"""The command line in this process, with scripted jobs in the place of real ones."""

from __future__ import annotations

import io
import sys
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import core
from core import events as ev
from minitf_tui.__main__ import main


@dataclass
class Outcome:
    code: int
    out: str
    err: str


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@dataclass
class ScriptedSession:
    """Yields its events; an exception among them is raised, a callable is called."""

    script: list[Any]
    last_words: list[Any] = field(default_factory=list)
    """Yielded once it was stopped, in the place of the rest."""
    is_stopped: bool = False
    is_closed: bool = False

    def stop(self) -> None:
        self.is_stopped = True

    def run(self):
        try:
            for item in self.script:
                if self.is_stopped:
                    yield from self.last_words
                    return
                if isinstance(item, BaseException):
                    raise item
                if callable(item):
                    item()
                else:
                    yield item
        finally:
            self.is_closed = True


class FakeRecipes(types.ModuleType):
    """`core.recipes` with one scripted session; remembers how it was asked."""

    def __init__(self) -> None:
        super().__init__("core.recipes")
        self.session = ScriptedSession([])
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def play(self, *script: Any, last_words: tuple[Any, ...] = ()) -> ScriptedSession:
        self.session = ScriptedSession(list(script), list(last_words))
        return self.session

    def __getattr__(self, name: str) -> Any:
        if name not in ("training", "resuming", "evaluation", "generation", "benchmarking"):
            raise AttributeError(name)

        def call(*args: Any, **kwargs: Any) -> ScriptedSession:
            self.calls.append((name, args, kwargs))
            return self.session

        return call

    @property
    def call(self) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        assert len(self.calls) == 1, self.calls
        return self.calls[0]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of the test's own, as the working folder too."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("MINITF_HOME", str(folder))
    monkeypatch.delenv("TEXTUAL_DRIVER", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def recipes(monkeypatch: pytest.MonkeyPatch) -> FakeRecipes:
    fake = FakeRecipes()
    monkeypatch.setitem(sys.modules, "core.recipes", fake)
    monkeypatch.setattr(core, "recipes", fake, raising=False)
    return fake


@pytest.fixture
def minitf(capsys: pytest.CaptureFixture[str]):
    """Call the command line: `minitf("train", "--steps", "5")`."""

    def call(*words: str) -> Outcome:
        capsys.readouterr()
        code = main(list(words))
        return Outcome(code, *capsys.readouterr())

    return call


@pytest.fixture
def refused(minitf):
    """Call it with a mistake in it; the words on stderr."""

    def call(*words: str) -> str:
        outcome = minitf(*words)
        assert outcome.code == 2, outcome
        assert outcome.out == ""
        assert 1 <= len(outcome.err.splitlines()) <= 3
        assert outcome.err.startswith("minitf: ")
        assert "usage:" not in outcome.err.lower()
        assert all(c.isprintable() or c == "\n" for c in outcome.err)
        return outcome.err

    return call


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch):
    """Make a standard stream a terminal: `screen = terminal("stderr")`."""

    def use(name: str) -> Terminal:
        stream = Terminal()
        monkeypatch.setattr(sys, name, stream)
        return stream

    return use


@pytest.fixture
def make():
    """Events and results with plausible numbers; what matters to a test is given."""
    return types.SimpleNamespace(
        started=_started,
        step=_step,
        validated=_validated,
        trained=_trained,
        finished=lambda reason="budget", **kw: ev.RunFinished(reason=reason, result=_trained(**kw)),
        evaluated=_evaluated,
        token=_token,
        generated=_generated,
        cell=_cell,
        benchmarked=_benchmarked,
    )


def _with(given: dict[str, Any], **usual: Any) -> dict[str, Any]:
    return usual | given


def _started(**given: Any) -> ev.RunStarted:
    return ev.RunStarted(
        **_with(
            given,
            run="tiny",
            path="/runs/tiny",
            step=0,
            steps=100,
            seconds=0.0,
            n_params=819_200,
            vocab_size=256,
            train_tokens=419_000,
            validation_tokens=46_000,
            bytes_per_token=1.0,
            context=16,
            device="cpu",
            dtype="float32",
            threads=1,
        )
    )


def _step(step: int = 1, **given: Any) -> ev.StepCompleted:
    return ev.StepCompleted(
        **_with(
            given,
            step=step,
            loss=3.21,
            lr=1e-3,
            grad_norm=1.0,
            tokens=2048 * step,
            tokens_per_s=12_345.0,
            train_s=0.5 * step,
        )
    )


def _validated(step: int = 1, **given: Any) -> ev.ValidationCompleted:
    return ev.ValidationCompleted(
        **_with(
            given,
            step=step,
            loss=2.5,
            loss_ci95=(2.4, 2.6),
            perplexity=12.18,
            bits_per_byte=3.6,
            train_s=1.0,
            eval_s=0.1,
            is_best=True,
        )
    )


def _trained(**given: Any) -> ev.TrainResult:
    return ev.TrainResult(
        **_with(
            given,
            run="tiny",
            path="/runs/tiny",
            steps=100,
            tokens=204_800,
            params=819_200,
            context=16,
            train_s=10.0,
            eval_s=1.0,
            sample_s=0.5,
            save_s=0.25,
            setup_s=2.0,
            wall_s=14.0,
            val_loss=2.5,
            val_perplexity=12.18,
            bits_per_byte=3.607,
        )
    )


def _evaluated(text: str = "validation split", **given: Any) -> ev.EvaluationCompleted:
    result = ev.Evaluation(
        **_with(
            given,
            loss=2.5,
            loss_ci95=(2.4, 2.6),
            perplexity=12.18,
            bits_per_byte=3.607,
            top1=0.456,
            top5=0.701,
            tokens=45_999,
            bytes=46_000,
            stride=16,
            context=16,
        )
    )
    return ev.EvaluationCompleted(run="tiny", step=100, text=text, result=result)


def _token(text: str, **given: Any) -> ev.GeneratedToken:
    top = (ev.TokenChoice(id=7, text="x", logprob=-0.1),)
    return ev.GeneratedToken(**_with(given, id=7, text=text, logprob=-0.1, top=top))


def _generated(*texts: str, stop: str = "length") -> list[Any]:
    """The events of a whole generation after the prompt `Once`."""
    tokens = tuple(_token(text) for text in texts)
    result = ev.Generation(
        text="".join(texts),
        prompt_tokens=4,
        tokens=tokens,
        ttft_ms=12.3,
        tokens_per_s=1234.0,
        stop=stop,
    )
    read = ev.PromptRead(prompt="Once", prompt_tokens=4, context=16, prefill_ms=1.0)
    written = [
        ev.TokenGenerated(index=i + 1, token=token, tokens_per_s=0.0)
        for i, token in enumerate(tokens)
    ]
    return [read, *written, ev.GenerationFinished(result=result)]


def _cell(cache: str, phase: str, mean: float, **given: Any) -> ev.BenchCell:
    return ev.BenchCell(
        **_with(
            given,
            cache=cache,
            phase=phase,
            depth=0,
            tokens=511,
            mean_ms=mean,
            sd_ms=mean / 50,
            median_ms=mean,
            min_ms=mean,
            samples_ms=(mean, mean, mean),
            tokens_per_s=1000.0,
            cache_bytes=1024,
        )
    )


def _benchmarked(speedup: float = 6.0) -> ev.BenchmarkCompleted:
    cells = tuple(
        _cell(cache, phase, mean)
        for cache, phase, mean in (
            ("none", "prefill", 2.0),
            ("none", "decode", 1200.0),
            ("static", "prefill", 2.1),
            ("static", "decode", 200.0),
        )
    )
    proof = ev.Proof(
        identical_tokens=512, of=512, near_ties=0, max_logit_diff=2e-6, held_out_tokens=1024
    )
    result = ev.Benchmark(cells=cells, speedup=speedup, proof=proof, environment={"torch": "2"})
    return ev.BenchmarkCompleted(run="tiny", step=100, result=result)
