"""`minitf doctor`: what it finds, how it says it, and which problems it sees."""

from __future__ import annotations

import json
import sys
import types

import pytest

from core import events as ev
from core.errors import DeviceError
from core.version import VERSION
from minitf_tui.cli import screen, surroundings


def speed(what: str, dtype: str, mean: float, unit: str = "GFLOP/s") -> ev.Speed:
    return ev.Speed(what=what, dtype=dtype, unit=unit, mean=mean, sd=mean / 50, samples=(mean,))


def machine(*speeds: ev.Speed, **environment: object) -> ev.MachineExamined:
    about = {"device": "cpu", "device_name": "A CPU", "dtype": "float32", "threads": 2, "cores": 2}
    return ev.MachineExamined(
        result=ev.Machine(
            devices=("cpu",),
            environment=about | environment,
            memory_bytes=8 << 30,
            free_bytes=3 << 30,
            speeds=speeds,
        )
    )


@pytest.fixture
def quiet(monkeypatch):
    """Variables under which nothing is wrong."""
    for name in ("OMP_NUM_THREADS", "NO_COLOR", "COLORTERM", "TMUX", "STY", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)


def test_the_report_is_aligned_and_has_the_figures(minitf, recipes, quiet):
    recipes.play(
        ev.SetupProgressed(stage="timing"),
        machine(speed("product", "float32", 85.6), speed("call", "int64", 2.7, "µs")),
    )
    outcome = minitf("doctor")
    assert outcome.code == 0
    assert outcome.err == "timing ...\n"
    flat = " ".join(outcome.out.split())
    for words in (
        f"minitf {VERSION}",
        f"python {sys.version.split()[0]}",
        "processor A CPU cores 2 memory 8.0 GiB, 3.0 GiB free",
        "chosen cpu in float32, 2 threads",
        "TERM xterm-256color",
        "product float32 85.6 ± 1.7 GFLOP/s",
        "call int64 2.700 ± 0.054 µs",
        "can be written",
    ):
        assert words in flat
    assert outcome.out.endswith("Problems\n  none\n")
    assert recipes.call == ("examination", (), {"is_measuring": True})


def test_quick_times_nothing_and_json_is_one_object(minitf, recipes, home, quiet):
    recipes.play(machine())
    outcome = minitf("doctor", "--quick", "--json", "--threads", "2")
    report = json.loads(outcome.out)
    assert recipes.call == ("examination", (), {"is_measuring": False, "threads": 2})
    assert list(report) == ["versions", "machine", "openmp", "terminal", "folders", "problems"]
    assert report["folders"]["data"]["path"] == str(home)
    assert report["versions"]["minitf"] == VERSION
    assert report["machine"]["free_bytes"] == 3 << 30
    assert report["terminal"]["term"] == "xterm-256color"
    assert report["problems"] == []


def problems_of(minitf) -> str:
    return minitf("doctor", "--quick").out.partition("\nProblems\n")[2]


def test_a_terminal_that_can_do_little(minitf, recipes, quiet, monkeypatch):
    recipes.play(machine())
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(surroundings.screen, "can_encode", lambda text, stream: False)
    words = problems_of(minitf)
    assert "TERM is dumb: the app cannot be shown.\n    Try TERM=xterm-256color.\n" in words
    assert "lacks lines and blocks.\n    Set a UTF-8 locale, such as LC_ALL=C.UTF-8.\n" in words


def test_a_small_terminal(minitf, recipes, quiet, monkeypatch):
    recipes.play(machine())
    monkeypatch.setattr(screen, "size", lambda stream: (70, 20))
    monkeypatch.setattr(surroundings, "is_terminal", lambda stream: True)
    assert "The terminal is small: 70 × 20.\n    The app is made for 80 × 24" in problems_of(minitf)


def test_missing_packages(minitf, recipes, quiet, monkeypatch):
    recipes.play(machine())

    def version(name: str) -> str:
        raise surroundings.importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(surroundings.importlib.metadata, "version", version)
    words = problems_of(minitf)
    assert "The package tokenizers is not installed.\n    python -m pip install tokenizers" in words
    assert "matplotlib is missing: minitf plot --out draws no pictures.\n    For those: " in words


@pytest.mark.parametrize("place", ["in-the-way/x", "/proc/minitf"])
def test_a_folder_that_cannot_be_written(minitf, recipes, quiet, monkeypatch, tmp_path, place):
    """Also for root, whom no rights bind."""
    recipes.play(machine())
    (tmp_path / "in-the-way").write_text("")
    monkeypatch.setenv("MINITF_HOME", str(tmp_path / place))
    words = problems_of(minitf)
    assert f"The data folder {tmp_path / place} cannot be written.\n    MINITF_HOME=" in words


def test_a_full_disk(minitf, recipes, quiet, monkeypatch):
    recipes.play(machine())
    full = types.SimpleNamespace(free=5)
    monkeypatch.setattr(surroundings.shutil, "disk_usage", lambda path: full)
    assert "The disk of the cache folder is nearly full.\n" in problems_of(minitf)


def test_settings_and_types_that_make_it_slow(minitf, recipes, quiet, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    fast, slow = speed("product", "float32", 90.0), speed("product", "bfloat16", 0.9)
    recipes.play(machine(fast, slow, threads=1))
    out = minitf("doctor").out
    assert "  OMP_NUM_THREADS  1\n" in out
    assert "OMP_NUM_THREADS=1 keeps 1 of 2 cores busy.\n    Unset it, or give --threads.\n" in out
    assert "bfloat16 is 100.0 times slower than float32 here.\n    Use float32.\n" in out


def test_a_pytorch_that_is_broken_is_part_of_the_report(minitf, recipes, quiet):
    recipes.play(ImportError("libtorch.so: no\x1b"))
    outcome = minitf("doctor")
    assert outcome.code == 1
    assert "PyTorch could not be used." in outcome.out
    assert "libtorch.so: no\\x1b" in outcome.out
    assert f"minitf        {VERSION}" in outcome.out
    assert json.loads(minitf("doctor", "--json").out)["machine"].keys() == {"error"}


def test_a_device_that_is_not_there_is_a_mistake(refused, recipes):
    recipes.play(DeviceError("This machine has no 'cuda'.", hint="Available: cpu."))
    assert refused("doctor", "--device", "cuda").startswith("minitf: This machine has no 'cuda'.")


@pytest.mark.parametrize(
    ("variables", "colours"),
    [
        ({}, 0),
        ({"TERM": "dumb"}, 0),
        ({"TERM": "xterm"}, 16),
        ({"TERM": "xterm-256color"}, 256),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, 1 << 24),
        ({"TERM": "xterm-direct"}, 1 << 24),
        ({"TERM": "xterm-256color", "COLORTERM": "24bit", "NO_COLOR": "1"}, 0),
        ({"TERM": "xterm", "NO_COLOR": ""}, 16),
    ],
)
def test_how_many_colours_a_terminal_has(variables, colours):
    assert screen.colours(variables) == colours


def test_what_stdout_is(terminal, monkeypatch):
    assert not screen.look().is_terminal
    stream = terminal("stdout")
    seen = screen.look(environ={"TERM": "linux"})
    assert (seen.is_terminal, seen.colours, seen.columns, seen.rows) == (True, 16, 80, 24)
    assert (seen.has_unicode, seen.has_braille) == (True, False)
    stream.encoding = "latin-1"
    assert not screen.look(environ={"TERM": "xterm"}).has_unicode
    assert screen.size(None) == (80, 24)
