"""Sweeps: the plan of a file, runs that are trained once whatever happens, and the law."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import core
from core import paths, recipes
from core.config.sweep import read_sweep
from core.errors import ConfigError, MinitfError
from core.events import (
    RunStarted,
    StepCompleted,
    SweepCompleted,
    SweepPlanned,
    SweepRow,
    SweepRunEnded,
)
from core.measure.scaling import fit_law
from core.presets import PRESETS
from core.store.find import run_names
from core.sweeping import settings_of
from core.testing import tiny_run_config
from minitf_tui.cli.main import main
from minitf_tui.cli.sweep import COMMAND, Watch

TINY = {"checkpoint_interval": 0, "sample_interval": 0, "sample_tokens": 0, "eval_interval": 0}


@pytest.fixture
def file(text_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two rates, one of which is no good, and an impossible width, with two seeds each."""
    config = tiny_run_config(text_file, steps=3, warmup_steps=0, grad_clip=0.0, **TINY)
    monkeypatch.setitem(PRESETS, "quick", config)
    path = tmp_path / "sweep.toml"
    path.write_text("seeds = 2\n[set]\nsteps = 4\n[grid]\nlr = [1e-3, 1e30]\nd_model = [16, 15]\n")
    return path


def rows_of(file: Path) -> tuple[SweepRow, ...]:
    return core.sweep(file).rows


def test_a_grid_is_trained_once_and_failures_are_rows(file: Path) -> None:
    result = core.sweep(file)
    states = [row.state for row in result.rows]
    assert (
        states
        == ["finished", "finished", "failed", "failed", "diverged", "diverged"] + ["failed"] * 2
    )
    assert [row.seed for row in result.rows] == [0, 1] * 4
    assert result.rows[0].run == "sweep-001"
    assert result.rows[2].remark.startswith("d_model=15 ")
    best, *others = result.settings
    assert dict(best.changes) == {"lr": 1e-3, "d_model": 16}
    assert best.val_loss == np.mean([row.val_loss for row in result.rows[:2]])
    assert best.val_loss_sd is not None
    assert [s.state for s in others] == ["2 failed", "2 diverged", "2 failed"]
    told: list[Any] = []
    again = core.sweep(file, on_event=told.append)
    assert again == result
    assert not any(isinstance(event, RunStarted) for event in told)


def test_a_sweep_goes_on_where_it_was_stopped(file: Path) -> None:
    session, steps = recipes.sweeping(file), 0
    for event in session.run():
        steps += isinstance(event, StepCompleted)
        if steps == 6:  # in the middle of the second run
            session.stop()
    assert isinstance(event, SweepCompleted)
    assert [row.state for row in event.result.rows[:2]] == ["finished", "stopped"]
    told: list[Any] = []
    assert [row.steps for row in core.sweep(file, on_event=told.append).rows[:2]] == [4, 4]
    planned = next(e for e in told if isinstance(e, SweepPlanned))
    assert planned.rows[1].state == "stopped"
    assert next(e.run for e in told if isinstance(e, RunStarted)) == "sweep-002"
    assert run_names() == ["sweep-001", "sweep-002", "sweep-005", "sweep-006"]


def test_a_run_that_is_dropped_half_way_is_resumed(file: Path) -> None:
    events = recipes.sweeping(file).run()
    while not isinstance(next(events), StepCompleted):
        pass
    events.close()
    assert rows_of(file)[0].state == "finished"


def test_a_run_stopped_before_its_last_validation_is_validated_later(file: Path) -> None:
    session = recipes.sweeping(file)
    for event in session.run():
        if isinstance(event, StepCompleted) and event.step == 4:
            session.stop()
    assert isinstance(event, SweepCompleted)
    first = event.result.rows[0]
    assert (first.state, first.steps, first.val_loss) == ("stopped", 4, None)
    told: list[Any] = []
    again = core.sweep(file, on_event=told.append).rows[0]
    ended = next(i for i, e in enumerate(told) if isinstance(e, SweepRunEnded))
    assert not any(isinstance(e, StepCompleted) for e in told[:ended])
    assert (again.state, again.steps) == ("finished", 4)
    assert again.val_loss is not None


def test_the_table_in_every_format(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", str(file)]) == 0
    said = capsys.readouterr()
    assert "sweep sweep: 8 runs, 8 to train" in said.err
    assert "sweep-001 ... sweep-002" in said.out
    assert "sweep-003: failed, d_model=15 " in said.out
    assert said.out.index("2/2") < said.out.index("0/2")
    assert main(["sweep", str(file), "--list", "--format", "csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("run,lr,d_model,seed,state,val_loss")
    assert lines[1].startswith("sweep-001,0.001,16,0,finished,")
    assert main(["sweep", str(file), "--list", "--format", "markdown"]) == 0
    assert capsys.readouterr().out.startswith("| lr | d_model | loss | sd | ")
    assert main(["sweep", str(file), "--list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["changes"] == [
        ["lr", 0.001],
        ["d_model", 16],
    ]


def test_who_stops_a_sweep_reads_how_it_goes_on(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, kills = Watch.hear, iter([True])

    def hear(watch: Watch, event: Any) -> None:
        if isinstance(event, StepCompleted) and next(kills, False):
            os.kill(os.getpid(), signal.SIGINT)
        begin(watch, event)

    monkeypatch.setattr(Watch, "hear", hear)
    assert main(["sweep", str(file), "--name", "halted"]) == 130
    assert "Stopped with 8 runs to train; the same command goes on." in capsys.readouterr().err


def test_the_file_that_the_help_shows_is_a_sweep() -> None:
    lines = [note[2:] for note in COMMAND.notes if note.startswith("  ")]
    sweep = read_sweep("\n".join(lines))
    assert (sweep.base, sweep.seeds, len(sweep.settings)) == ("quick", 3, 4)


def test_a_sweep_of_which_nothing_could_be_trained_has_failed(file: Path) -> None:
    file.write_text("[grid]\nd_model = [15, 17]\n")
    assert main(["sweep", str(file)]) == 1


def test_a_folder_in_place_of_the_lock_is_one_sentence(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (paths.data_dir() / "sweeps" / "sweep.lock").mkdir(parents=True)
    assert main(["sweep", str(file)]) == 2
    said = capsys.readouterr().err
    assert "The sweep sweep cannot be locked: " in said
    assert "Remove it, or rename it." in said


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no file without end")
def test_a_file_without_end_is_read_only_so_far(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "/dev/zero"]) == 2
    assert "at most 1,000,000" in capsys.readouterr().err


def test_another_plan_is_another_sweep(file: Path, tmp_path: Path) -> None:
    record = paths.data_dir() / "sweeps" / "sweep.json"

    def refused() -> tuple[str, str]:
        with pytest.raises(MinitfError) as caught:
            list(recipes.sweeping(file, trains=False).run())
        return str(caught.value), caught.value.hint

    list(recipes.sweeping(file, trains=False).run())
    file.write_text(file.read_text().replace("steps = 4", "steps = 5"))
    assert refused() == (
        "The file of the sweep sweep has changed since its first run.",
        "Restore it, or give another --name: that is another sweep.",
    )
    record.write_text("{")
    sentence, hint = refused()
    assert sentence == "The record of the sweep sweep is damaged: it is not what minitf wrote."
    assert hint == f"Delete {record}, and give the file another name: the old runs stay."
    file.unlink()
    assert refused() == (
        f"The sweep file {file} cannot be read: No such file or directory.",
        "Name a TOML file with [grid] or [random].",
    )
    (tmp_path / "grid.toml").write_text("[grid]\nlr = [1.0]\n")
    with pytest.raises(ConfigError) as caught:
        core.sweep(tmp_path / "grid.toml", name="No")
    assert str(caught.value) == "'No' cannot name a sweep."
    assert caught.value.hint == (
        "Use a-z, 0-9, '.', '_' and '-', at most 58; --name gives another."
    )


def test_draws_are_within_their_ranges_and_repeat() -> None:
    text = (
        "[random]\nn = 50\nseed = 3\n[random.ranges]\n"
        'lr = "1e-4..1e-2 log"\nn_layers = "1..3"\nactivation = ["relu2", "gelu"]\n'
    )
    sweep = read_sweep(text)
    assert sweep == read_sweep(text)
    drawn = [dict(changes) for changes in sweep.settings]
    assert all(1e-4 <= d["lr"] <= 1e-2 for d in drawn)
    assert 15 <= sum(d["lr"] < 1e-3 for d in drawn) <= 35
    assert {d["n_layers"] for d in drawn} == {1, 2, 3}
    assert {d["activation"] for d in drawn} == {"relu2", "gelu"}


@pytest.mark.parametrize(
    ("text", "sentence", "hint"),
    [
        ("grd = 1", "A sweep has no 'grd'.", "Did you mean grid?"),
        ("base = 1", "base=1 does not name a config.", "Name a preset, a file or a run."),
        ("seeds = 0", "A sweep cannot have seeds=0.", "Give a whole number up to 999."),
        ("seeds = 1", "sweep has neither of [grid] and [random].", "Give one of them."),
        ("[grid]", "[grid] changes nothing.", "As in lr = [1e-3, 3e-3]."),
        ("[grid]\nlr = 1", "lr=1 is not a list of values.", "As in lr = [1e-3, 3e-3]."),
        ("[grid]\nlrr = [1]", "[grid] has 'lrr', which is no setting.", "Did you mean lr?"),
        (
            "[grid]\nseed = [1]",
            "[grid] has seed, which a sweep counts up itself.",
            "seeds = 3 trains each setting with three of them.",
        ),
        (
            "seeds = 500\n[grid]\nlr = [1.0, 2.0]",
            "2 settings with 500 seeds are more than 999 runs.",
            "Try fewer, or [random].",
        ),
        ("[random]\nm = 1", "[random] has no 'm'.", "It has n, seed, and a table [random.ranges]."),
        ("[random]\nn = 0", "[random] cannot have n=0.", "Give 1 to 999."),
        ("[random]\nseed = -1", "[random] cannot have seed=-1.", "Give a whole number."),
        (
            '[random.ranges]\nlr = "0..1 log"',
            "lr='0..1 log' is neither a list nor a range.",
            'As in lr = "1e-4..1e-2 log", or d_model = [64, 128].',
        ),
    ],
)
def test_files_that_ask_nothing(text: str, sentence: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_sweep(text)
    assert (str(caught.value), caught.value.hint) == (sentence, hint)


def test_what_is_no_toml() -> None:
    with pytest.raises(ConfigError, match=r"^sweep is not valid TOML: ") as caught:
        read_sweep("[")
    assert caught.value.hint == "A sweep has base, seeds, [set], and [grid] or [random]."


def law(noise: float) -> Any:
    n, d = (a.ravel() for a in np.meshgrid(np.geomspace(1e5, 1e7, 5), np.geomspace(1e6, 1e8, 5)))
    luck = np.random.default_rng(1).normal(0, 1, 25) * noise
    return fit_law(n, d, (1.69 + 406.4 / n**0.34 + 410.7 / d**0.28) * np.exp(luck))


def test_a_law_is_found_again() -> None:
    exact = law(0.0)
    found = (exact.e, exact.a, exact.alpha, exact.b, exact.beta)
    assert found == pytest.approx((1.69, 406.4, 0.34, 410.7, 0.28), rel=1e-6)
    noisy = law(1e-2)
    assert noisy.alpha_ci95[0] < 0.34 < noisy.alpha_ci95[1]
    assert noisy.beta_ci95[0] < 0.28 < noisy.beta_ci95[1]
    assert noisy.warnings == ()


def test_a_law_says_what_its_runs_cannot_tell() -> None:
    d = np.geomspace(1e6, 2e6, 7)
    found = fit_law(np.full(7, 1e6), d, 1.5 + 300 / d**0.3)
    assert (found.a, found.alpha) == (0.0, 0.0)
    assert found.warnings == (
        "All runs have the same parameters: alpha cannot be told.",
        "The runs span 2.0 times in tokens, with 7 different values: beta means little below 4"
        " times or 3 values.",
        "7 runs are few for 5 numbers: the intervals are too narrow.",
    )


def test_too_few_runs_have_no_law(file: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        core.sweep(file, fit=True)
    assert str(caught.value) == (
        "A scaling law has 5 numbers, and 2 finished runs cannot tell them."
    )
    assert caught.value.hint == "Finish 6 or more that differ in parameters and in tokens."


def test_settings_without_a_loss_come_last() -> None:
    rows = [
        SweepRow(run="a", changes=(("lr", 1.0),), seed=0, state="planned"),
        SweepRow(run="b", changes=(("lr", 2.0),), seed=0, state="finished", val_loss=2.0),
    ]
    assert [s.runs for s in settings_of(rows)] == [("b",), ("a",)]


@pytest.mark.parametrize(
    "record", ["[" * 100_000, '{"format": 1, "plan": [], "failed": {"a": [1]}}']
)
def test_a_garbled_record_is_told_and_left_alone(tmp_path: Path, record: str) -> None:
    file = tmp_path / "garbled.toml"
    file.write_text('base = "seed"\n[grid]\nlr = [1e-3]\n')
    kept = paths.data_dir() / "sweeps" / "garbled.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(record)
    with pytest.raises(MinitfError, match="The record of the sweep garbled is damaged"):
        list(recipes.sweeping(file, trains=False).run())
    assert kept.read_text() == record
