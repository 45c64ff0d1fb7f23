"""`minitf forecast`: what is asked of core, and what is shown."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from core.events import Forecast, ForecastCompleted, LossGuess, SetupProgressed
from core.presets import QUICK

GUESS = LossGuess(loss=2.512, low=2.318, high=2.744, why="by the law of small runs")
NONE = LossGuess(loss=None, low=None, high=None, why="nothing is trained")


@pytest.fixture(autouse=True)
def started(monkeypatch):
    """The process has taken half a second so far."""
    monkeypatch.setattr("minitf_tui.cli.forecast.time.process_time", lambda: 0.5)


def forecast(**given: Any) -> Forecast:
    figures: dict[str, Any] = {
        "step_ms": 21.4,
        "step_ms_sd": 1.3,
        "steps": 3912,
        "train_s": 84.1,
        "total_s": 103.2,
        "setup_s": 2.5,
        "tokens": 4_005_888,
        "tokens_per_s": 47_900.0,
        "n_params": 722_048,
        "peak_bytes": 311 * 2**20,
        "process_bytes": 650 * 2**20,
        "disk_bytes": 25 * 2**20,
        "final_loss": GUESS,
    }
    return Forecast(**(figures | given))


def test_it_takes_the_settings_of_a_run(minitf, recipes):
    recipes.play(SetupProgressed(stage="loading PyTorch"), ForecastCompleted(result=forecast()))
    done = minitf("forecast", "--steps", "9", "--lr", "0.5")
    assert done.code == 0
    name, args, kwargs = recipes.call
    assert (name, args) == ("forecasting", (QUICK.with_changes(steps=9, lr=0.5),))
    assert kwargs == {"start_s": 0.5}
    for part in (
        "1 min 43 s, 2.5 s of it set-up",
        "3,912 steps of 21.4 ± 1.3 ms",
        "4.0 M",
        "650.0 MiB in all, 311.0 MiB of tensors",
        "25.0 MiB of checkpoints",
        "about 2.51 (2.32–2.74), by the law of small runs",
    ):
        assert part in done.out, part


def test_what_cannot_be_told_is_said(minitf, recipes):
    result = forecast(process_bytes=None, final_loss=NONE)
    recipes.play(ForecastCompleted(result=result))
    out = minitf("forecast").out
    assert "no guess: nothing is trained" in out
    assert " in all, " not in out


def test_json_has_all_of_it(minitf, recipes):
    recipes.play(ForecastCompleted(result=forecast()))
    assert json.loads(minitf("forecast", "--json").out) == asdict(forecast())


def test_what_comes_from_a_runs_name_is_made_safe(minitf, recipes):
    guess = LossGuess(loss=1.0, low=0.9, high=1.1, why="as the run \x1b[31m did")
    recipes.play(ForecastCompleted(result=forecast(final_loss=guess)))
    assert "\x1b" not in minitf("forecast").out


@pytest.mark.parametrize(
    ("flags", "called"),
    [
        (("--resume", "tiny"), (("tiny", {}), {})),
        (("--resume", "tiny", "--steps", "9"), (("tiny", {"steps": 9}), {})),
        (("--fork", "tiny@5", "--lr", "0.5"), (("tiny@5", {"lr": 0.5}), {"is_fork": True})),
    ],
)
def test_a_run_can_go_on(minitf, recipes, flags, called):
    recipes.play(ForecastCompleted(result=forecast()))
    assert minitf("forecast", *flags).code == 0
    args, kwargs = called
    assert recipes.call == ("forecasting_rest", args, kwargs | {"start_s": 0.5})


def test_what_does_not_go_together_is_refused(minitf):
    done = minitf("forecast", "--resume", "tiny", "--lr", "0.5")
    assert done.code == 2
    assert "Only --steps, --seconds or --tokens may" in done.err
    assert minitf("forecast", "--fork", "tiny", "--preset", "seed").code == 2
    assert minitf("forecast", "--replay", "tiny").code == 2
