"""`minitf ctl`: what it says of a run, and what becomes of what is asked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core import controlling, recipes
from core.config import UNITS, RunConfig, read_command
from core.controlling import control, status
from core.errors import ConfigError, RunError
from core.events import Controlled, StepCompleted
from core.store import inbox
from core.store.find import find_run
from core.store.summary import list_runs
from core.testing import tiny_run_config
from minitf_tui.cli.completing import answers
from minitf_tui.cli.ctl import answer_line, status_line
from minitf_tui.cli.main import main


@pytest.fixture
def config(text_file: str) -> RunConfig:
    return tiny_run_config(text_file, steps=6, warmup_steps=0, threads=1)


def test_a_run_is_controlled_from_elsewhere(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever asks waits; the run goes on meanwhile and obeys."""
    session = recipes.training(config, name="here")
    events = session.run()
    told: list[Any] = []

    def go_on(_: float) -> None:
        session._wishes._due = 0.0  # a quarter of a second is over
        told.append(next(events))

    while not isinstance(event := next(events), StepCompleted) or event.step < 2:
        pass
    answer = control("here", "lr", 0.5, sleep=go_on)
    assert (answer.words, answer.step, answer.lr_factor) == ("lr 0.5", 2, 0.5)
    assert answer_line(answer) == (
        "here, after step 2: lr 0.5; the schedule is multiplied by 0.5 now"
    )
    monkeypatch.setattr(controlling.control, "__kwdefaults__", {"wait_s": 10.0, "sleep": go_on})
    assert main(["ctl", "here", "budget", "+4", "steps", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["words"], said["steps"]) == ("budget +4 steps", 10)
    assert main(["ctl", "here", "budget", "-1"]) == 0
    assert "budget -1 steps; it ends after 9 steps now" in capsys.readouterr().out
    assert main(["ctl", "here", "pause"]) == 0
    assert main(["ctl", "here", "status"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    step = max(e.step for e in told if isinstance(e, Controlled))
    assert line.startswith(f"here: paused, step {step} of 9, loss ")
    assert "(schedule x 0.5)" in line
    found = status("here")
    assert (found.state, found.steps, found.lr_factor) == ("paused", 9, 0.5)
    assert status_line(found) == line
    (listed,) = list_runs()
    assert (listed.state, listed.is_trained) == ("paused", True)
    session.control(read_command(["resume"]))
    *_, last = events
    assert last.result.steps == 9
    assert [e.words for e in told if isinstance(e, Controlled)][-1] == "pause"


def test_a_run_that_nobody_trains_answers_with_a_sentence(
    config: RunConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    list(recipes.training(config, name="done").run())
    with pytest.raises(RunError) as caught:
        control("done", "pause")
    assert str(caught.value) == "The run done is not under way, so it cannot be controlled."
    assert caught.value.hint == "Go on with it: minitf train --resume done"
    with pytest.raises(RunError) as caught:
        control("done@3", "pause")
    assert str(caught.value) == "A whole run is controlled, not the checkpoint 'done@3'."
    assert caught.value.hint == ("Leave out @3; minitf train --fork done@3 makes a new run of it.")
    with pytest.raises(ConfigError):
        control("done", "dance")
    assert main(["ctl", "done", "status"]) == 0
    assert capsys.readouterr().out.startswith("done: finished, step 6 of 6, loss ")
    assert main(["ctl", "done", "save"]) == 2


def test_a_run_that_ends_meanwhile_leaves_no_command_behind(config: RunConfig) -> None:
    session = recipes.training(config, name="short")
    events = session.run()
    next(e for e in events if isinstance(e, StepCompleted))
    with pytest.raises(RunError, match="The run short is not under way"):
        control("short", "sample", wait_s=0.05, sleep=lambda _: events.close())
    assert list((find_run("short").run.path / inbox.FOLDER).iterdir()) == []
    later = recipes.resuming("short").run()
    next(e for e in later if isinstance(e, StepCompleted))
    answer = control("short", "sample", wait_s=0.05, sleep=lambda _: None)
    assert answer_line(answer) == "short was asked: sample. It has not come to it yet."
    later.close()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["last", "fork"], "A fork is a new run.\nStart it with: minitf train --fork 'last'"),
        (["last", "puase"], "minitf ctl cannot 'puase'.\nDid you mean pause?"),
        (["last", "x9"], "minitf ctl cannot 'x9'.\nThere are status, pause, resume, step, save"),
        (["last"], "minitf ctl needs a COMMAND."),
    ],
)
def test_words_that_ctl_does_not_know(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ctl", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_fork_on_the_command_line(config: RunConfig, capsys: pytest.CaptureFixture[str]) -> None:
    list(recipes.training(config, name="root").run())
    assert main(["train", "--fork", "root", "--steps", "7", "--lr", "1e-4", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["run"], said["steps"]) == ("root-fork", 7)
    assert main(["train", "--fork", "root", "--preset", "seed"]) == 2
    assert capsys.readouterr().err == (
        "minitf: --preset does not go with --fork.\n"
        "A fork has the settings of its run; change some by their flags.\n"
    )


def test_the_tab_key_knows_commands_and_units() -> None:
    assert [a.word for a in answers(["ctl", "last", "s"])] == [
        "status",
        "step",
        "save",
        "stop",
        "sample",
    ]
    assert [a.word for a in answers(["ctl", "last", "budget", "+5", ""])] == list(UNITS)
