"""`minitf train`: which settings arrive, what is shown, and the exit code."""

from __future__ import annotations

import dataclasses
import json

import pytest

from core.config import write_toml
from core.events import (
    AlertRaised,
    Diverged,
    ReturnedToCheckpoint,
    SampleCompleted,
    SetupProgressed,
    TrainResult,
)
from core.presets import QUICK, SEED

FIELDS = [
    *("run", "path", "steps", "tokens", "params", "context"),
    *("train_s", "eval_s", "sample_s", "save_s", "setup_s", "wall_s"),
    *(
        "val_loss",
        "val_perplexity",
        "bits_per_byte",
        "floor_loss",
        "accuracy",
        "baselines",
        "agreement",
    ),
]


def _asked(recipes):
    name, args, kwargs = recipes.call
    assert name == "training"
    return args[0], kwargs


def test_quick_is_what_nobody_asked_for(minitf, recipes, make):
    recipes.play(make.finished())
    assert minitf("train").code == 0
    config, kwargs = _asked(recipes)
    assert config == QUICK
    assert kwargs == {"name": None, "init_from": "", "given": set()}


def test_flags_win_over_the_file_and_the_file_over_the_preset(minitf, recipes, make, tmp_path):
    (tmp_path / "c.toml").write_text("[train]\nlr = 0.5\nbatch_size = 3\n[model]\nn_layers = 2\n")
    recipes.play(make.finished())
    minitf("train", "--preset", "seed", "--config", "c.toml", "--batch-size", "7", "--name", "x")
    config, kwargs = _asked(recipes)
    assert config == SEED.with_changes(lr=0.5, batch_size=7, n_layers=2)
    given = {"preset", "config", "batch_size", "name", "lr", "n_layers"}
    assert kwargs == {"name": "x", "init_from": "", "given": given}


def test_a_run_can_begin_with_another(minitf, recipes, make):
    recipes.play(make.finished())
    assert minitf("train", "--init-from", "tiny@5", "--lr", "0.1").code == 0
    config, kwargs = _asked(recipes)
    assert config == QUICK.with_changes(lr=0.1)
    assert kwargs == {"name": None, "init_from": "tiny@5", "given": {"init_from", "lr"}}
    hint = "A replay takes the same steps again; for other settings start a new run."
    done = minitf("train", "--replay", "tiny", "--init-from", "tiny")
    assert (done.code, done.err) == (
        2,
        f"minitf: --init-from cannot change when a run is replayed.\n{hint}\n",
    )


def test_a_whole_config_as_a_file_is_that_config(minitf, recipes, make, tmp_path):
    wanted = SEED.with_changes(positions="learned", qk_norm=True, seed=5)
    (tmp_path / "c.toml").write_text(write_toml(wanted))
    recipes.play(make.finished())
    minitf("train", "--config", "c.toml")
    assert _asked(recipes)[0] == wanted


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        (["--steps", "5"], {"steps": 5, "seconds": 0.0}),
        (["--seconds", "5"], {"seconds": 5.0}),
        (["--steps", "5", "--seconds", "9"], {"steps": 5, "seconds": 9.0}),
        (["--no-qk-norm", "--tied-head"], {"qk_norm": False, "tied_head": True}),
        (["--device", "cpu", "--dtype", "float32", "--threads", "1"], None),
    ],
)
def test_flags_become_settings(minitf, recipes, make, words, changes):
    recipes.play(make.finished())
    assert minitf("train", *words).code == 0
    changes = changes or {"device": "cpu", "dtype": "float32", "threads": 1}
    assert _asked(recipes)[0] == QUICK.with_changes(**changes)


def test_resume_hands_over_only_the_budget_that_was_given(minitf, recipes, make):
    recipes.play(make.finished())
    assert minitf("train", "--resume", "tiny@5", "--steps", "9").code == 0
    assert recipes.call == ("resuming", ("tiny@5",), {"steps": 9})


def test_resume_takes_a_budget_in_tokens(minitf, recipes, make):
    recipes.play(make.finished())
    assert minitf("train", "--resume", "tiny", "--tokens", "5e6").code == 0
    assert recipes.call == ("resuming", ("tiny",), {"tokens": 5_000_000})


def test_replay_hands_over_the_run_and_a_name(minitf, recipes, make):
    recipes.play(make.finished())
    assert minitf("train", "--replay", "tiny", "--name", "again", "--json").code == 0
    assert recipes.call == ("replaying", ("tiny",), {"name": "again"})


@pytest.mark.parametrize("words", [("--lr", "1"), ("--steps", "5"), ("--preset", "seed")])
def test_a_replay_takes_the_steps_as_they_were(recipes, refused, words):
    assert refused("train", "--replay", "tiny", *words).splitlines() == [
        f"minitf: {words[0]} cannot change when a run is replayed.",
        "A replay takes the same steps again; for other settings start a new run.",
    ]
    assert recipes.calls == []


def test_json_is_the_result_and_nothing_else(minitf, recipes, make):
    recipes.play(make.started(), make.step(), make.validated(), make.finished())
    outcome = minitf("train", "--json")
    assert outcome.code == 0
    assert outcome.out.count("\n") == 1
    assert list(json.loads(outcome.out)) == FIELDS
    assert json.loads(outcome.out)["val_loss"] == 2.5
    assert [f.name for f in dataclasses.fields(TrainResult)] == FIELDS


def test_a_known_floor_is_shown_at_the_start_beside_validations_and_in_the_report(
    minitf, recipes, make
):
    floor = {"floor_loss": 2.25, "floor_se": 0.0125, "entropy_per_char": 0.7}
    recipes.play(
        make.started(**floor), make.validated(50), make.finished(val_loss=2.5, floor_loss=2.25)
    )
    outcome = minitf("train")
    assert outcome.err.splitlines()[1:] == [
        "Floor of the validation loss: 2.250 ± 0.013 nats per token; "
        "entropy of the source: 1.010 bits per character",
        "step 50: validation loss 2.500, floor +0.250, perplexity 12.2, 1.0 s of training",
    ]
    assert "  floor            2.250 nats per token: loss +0.250\n" in outcome.out


def test_a_known_floor_is_beside_the_validation_on_the_progress_line(
    minitf, recipes, make, terminal
):
    screen = terminal("stderr")
    recipes.play(make.started(floor_loss=2.6), make.validated(), make.step(), make.finished())
    minitf("train", "--json")
    assert "val 2.500  floor -0.100  12.3 k tok/s" in screen.getvalue()


def test_json_has_null_for_what_is_not_a_number(minitf, recipes, make):
    recipes.play(make.finished(val_loss=float("nan"), val_perplexity=float("inf")))
    result = json.loads(minitf("train", "--json").out)
    assert result["val_loss"] is None
    assert result["val_perplexity"] is None


def test_the_report_has_the_figures_a_sample_and_what_to_type_next(minitf, recipes, make):
    sample = SampleCompleted(step=100, prompt="def ", text="main():\n    pass")
    recipes.play(make.started(), make.step(), make.validated(), sample, make.finished())
    outcome = minitf("train")
    assert outcome.code == 0
    for words in (
        "validation loss  2.500 nats per token",
        "perplexity       12.2",
        "bits per byte    3.607",
        "20.5 k tokens/s",
        "100 steps, 204.8 k tokens",
        "/runs/tiny",
        "  | def main():\n  |     pass",
        "minitf generate /runs/tiny",
        "minitf eval /runs/tiny",
    ):
        assert words in outcome.out
    assert "\x1b" not in outcome.out


def test_without_a_terminal_progress_is_plain_lines(minitf, recipes, make):
    stage = SetupProgressed(stage="training a tokenizer")
    recipes.play(stage, make.started(), make.step(), make.validated(50), make.finished())
    outcome = minitf("train", "--json")
    assert outcome.err.splitlines() == [
        "training a tokenizer ...",
        "Run tiny: 819.2 k parameters, 419.0 k tokens to learn from, on cpu in float32; 100 steps",
        "step 50: validation loss 2.500, perplexity 12.2, 1.0 s of training",
    ]


def test_on_a_terminal_progress_is_one_line_that_goes_away(minitf, recipes, make, terminal):
    screen = terminal("stderr")
    recipes.play(make.started(), make.validated(), make.step(25, train_s=5.0), make.finished())
    minitf("train", "--json")
    shown = screen.getvalue()
    assert "step 25  loss 3.210  val 2.500  12.3 k tok/s  15.0 s left" in shown
    assert "███░" in shown
    assert shown.endswith("\r\x1b[K")


def test_a_limit_in_seconds_has_progress_too(minitf, recipes, make, terminal):
    screen = terminal("stderr")
    started = make.started(steps=0, seconds=20.0)
    recipes.play(started, make.step(25, train_s=10.0), make.finished())
    minitf("train", "--json")
    assert "10.0 s left" in screen.getvalue()
    assert "20.0 s of training" in screen.getvalue()


def test_a_budget_says_how_many_tokens_it_is(minitf, recipes, make):
    started = make.started(steps=2442, tokens_per_step=2048)
    recipes.play(started, make.finished())
    assert "2,442 steps (5.0 M tokens)" in minitf("train", "--json").err


def test_a_return_to_a_checkpoint_is_told(minitf, recipes, make):
    back = ReturnedToCheckpoint(
        step=57, what="the loss is nan", to_step=50, lr_factor=0.25, returns=2
    )
    recipes.play(make.started(), make.step(56), back, make.step(51), make.finished())
    outcome = minitf("train", "--json")
    assert outcome.code == 0
    words = "step 57: the loss is nan; back to step 50, learning rate x 0.25 from there"
    assert words in outcome.err.splitlines()


def test_an_alert_is_a_line_with_what_to_try(minitf, recipes, make):
    said = {"sentence": "The loss rose\x1b to 4.", "hint": "Try a lower lr than 0.003."}
    alerts = [AlertRaised(step=57, kind=kind, **said) for kind in ("spike", "nan")]
    recipes.play(make.started(), make.step(57), *alerts, make.finished())
    lines = minitf("train", "--json").err.splitlines()
    words = "step 57, spike: The loss rose\\x1b to 4. Try a lower lr than 0.003."
    assert [line for line in lines if line.startswith("step 57")] == [words]


def test_a_run_that_diverges_says_where_to_go_back_to(minitf, recipes, make):
    event = Diverged(step=12, what="loss is nan", checkpoint_step=10)
    recipes.play(make.started(), make.step(), event)
    outcome = minitf("train", "--json")
    assert outcome.code == 1
    assert outcome.out == ""
    assert outcome.err.splitlines()[-2:] == [
        "minitf: Training ended at step 12: loss is nan.",
        "The checkpoint of step 10 stays. Try a lower --lr, or --grad-clip 1.",
    ]


def test_resuming_what_is_finished_says_so(minitf, recipes, make):
    recipes.play(make.finished("finished already"))
    outcome = minitf("train", "--resume", "tiny")
    assert outcome.code == 0
    assert outcome.out.startswith("This run is finished already")


def test_metrics_gather_in_one_file(minitf, recipes, make, tmp_path):
    recipes.play(make.finished())
    assert minitf("train", "--metrics", "out/metrics.json").code == 0
    recipes.play(make.evaluated())
    assert minitf("eval", "--metrics", "out/metrics.json").code == 0
    figures = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert list(figures) == ["train", "eval"]
    assert figures["train"]["val_loss"] == figures["eval"]["loss"] == 2.5
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["metrics.json"]


@pytest.mark.parametrize("content", ["not json", "[1]"])
@pytest.mark.parametrize("command", ["train", "eval", "bench"])
def test_a_file_with_something_else_is_not_overwritten(
    recipes, refused, tmp_path, content, command
):
    (tmp_path / "notes.txt").write_text(content)
    assert "notes.txt cannot take the figures" in refused(command, "--metrics", "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == content
    assert recipes.calls == []


def test_a_metrics_file_that_cannot_be_made_is_known_before_the_work(recipes, refused, tmp_path):
    (tmp_path / "file").write_text("")
    assert "metrics.json cannot" in refused("train", "--metrics", "file/metrics.json")
    assert recipes.calls == []


def test_without_a_terminal_minitf_alone_trains_the_quick_preset(minitf, recipes, make):
    recipes.play(make.started(), make.validated(), make.finished())
    outcome = minitf()
    assert outcome.code == 0
    assert _asked(recipes)[0] == QUICK
    assert outcome.out.startswith("Run tiny")
    assert outcome.err


def test_the_next_command_works_where_it_will_be_typed(minitf, recipes, make, home, monkeypatch):
    recipes.play(make.finished(path=str(home / "runs" / "tiny")))
    assert "minitf generate home/runs/tiny " in minitf("train").out
    monkeypatch.delenv("MINITF_HOME")
    recipes.play(make.finished())
    assert "minitf generate tiny " in minitf("train").out


def test_the_name_of_a_folder_cannot_reach_the_terminal(minitf, recipes, make, home):
    recipes.play(make.finished("stopped", path=str(home / "a\x1b[2Jb")))
    out = minitf("train").out
    assert "\x1b" not in out
    assert r"minitf train --resume 'home/a\x1b[2Jb'" in out
    assert r"minitf generate 'home/a\x1b[2Jb'" in out


def test_a_run_without_a_validation_says_so(minitf, recipes, make):
    recipes.play(make.finished(val_loss=None, val_perplexity=None, bits_per_byte=None))
    assert "validation  none yet" in minitf("train").out


def test_the_sample_is_made_safe(minitf, recipes, make):
    sample = SampleCompleted(step=1, prompt="\x1b[2J", text="a\x9bb")
    recipes.play(sample, make.finished())
    out = minitf("train").out
    assert "\x1b" not in out
    assert "\x9b" not in out
