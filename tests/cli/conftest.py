"""The command line in this process, with scripted jobs in the place of real ones."""

from __future__ import annotations

import io
import sys
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

import core
from minitf_tui.__main__ import main
from tests.cli import scripted

# The machine that runs the tests may be busy; no example is wrong because it was slow.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


SESSIONS = (
    "forecasting",
    "forecasting_rest",
    "training",
    "resuming",
    "replaying",
    "evaluation",
    "generation",
    "benchmarking",
    "tokenizing",
    "examination",
    "exporting",
    "importing",
    "quantizing",
)


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
    saves: int = 0

    def stop(self) -> None:
        self.is_stopped = True

    def save(self) -> bool:
        self.saves += 1
        return True

    def control(self, command) -> bool:
        return False

    def has_news(self) -> bool:
        return False

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
        if name not in SESSIONS:
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


@pytest.fixture(autouse=True)
def opened(monkeypatch: pytest.MonkeyPatch) -> list[bool | None]:
    """In the place of the app: how often it was opened, and whether it was told to wait."""
    calls: list[bool | None] = []
    fake = types.ModuleType("minitf_tui.app")

    def run_app(autostart: bool | None = None) -> int:
        calls.append(autostart)
        return 0

    fake.run_app = run_app  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "minitf_tui.app", fake)
    return calls


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
    return scripted
