"""Ctrl-C and kill: the job is asked to stop, saves, and the exit code says by what."""

from __future__ import annotations

import json
import os
import signal
import threading

import pytest

from minitf_tui.cli.running import drive


def _send(number):
    return lambda: os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def handlers_are_put_back():
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
    before = [signal.getsignal(number) for number in numbers]
    yield
    assert [signal.getsignal(number) for number in numbers] == before


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_training_saves_reports_and_leaves(minitf, recipes, make, number, code):
    session = recipes.play(
        make.started(),
        make.step(1),
        _send(number),
        make.step(2),
        last_words=(make.finished("stopped", steps=2),),
    )
    outcome = minitf("train")
    assert outcome.code == code
    assert session.is_stopped
    assert outcome.out.startswith(
        "Stopped and saved. Go on with: minitf train --resume /runs/tiny\n"
    )


def test_a_signal_of_its_own_saves_and_training_goes_on(minitf, recipes, make):
    send = _send(signal.SIGUSR1)
    session = recipes.play(make.started(), send, make.step(1), send, make.step(2), make.finished())
    assert minitf("train", "--json").code == 0
    assert session.saves == 2
    assert not session.is_stopped
    assert session.is_closed


def test_the_wish_to_save_is_acknowledged_where_there_is_something_to_save(
    recipes, make, monkeypatch
):
    said = []
    monkeypatch.setattr("minitf_tui.cli.running._acknowledge", said.append)
    session = recipes.play(_send(signal.SIGUSR1), make.step())
    drive(session, lambda event: None)
    assert said == ["Saving after this step."]
    session = recipes.play(_send(signal.SIGUSR1), make.step())
    session.save = lambda: False
    drive(session, lambda event: None)
    assert len(said) == 1


def test_a_stopped_run_has_its_json_too(minitf, recipes, make):
    recipes.play(_send(signal.SIGTERM), 0, last_words=(make.finished("stopped", steps=2),))
    outcome = minitf("train", "--json")
    assert outcome.code == 143
    assert json.loads(outcome.out)["steps"] == 2


def test_a_stopped_text_ends_its_line(minitf, recipes, make):
    read, first, end = make.generated("a", stop="stopped")
    recipes.play(read, first, _send(signal.SIGINT), first, last_words=(end,))
    outcome = minitf("generate")
    assert outcome.code == 130
    assert outcome.out == "Oncea\n"


@pytest.mark.parametrize("command", ["eval", "bench"])
def test_a_stopped_measurement_has_no_result(minitf, recipes, make, command):
    recipes.play(_send(signal.SIGINT), make.evaluated())
    outcome = minitf(command, "--json")
    assert (outcome.code, outcome.out) == (130, "")


def test_a_second_signal_goes_at_once(minitf, recipes, make):
    session = recipes.play(_send(signal.SIGINT))
    session.last_words = [make.step(), make.finished("stopped")]
    listened = []

    def listen(event):
        listened.append(event)
        os.kill(os.getpid(), signal.SIGINT)

    session.script.append(make.step())
    interruption = drive(session, listen)
    assert interruption.exit_code == 130
    assert len(listened) == 1
    assert session.is_closed


def test_nohup_is_respected(recipes, make):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        session = recipes.play(_send(signal.SIGHUP), make.step())
        assert drive(session, lambda event: None).exit_code == 0
        assert not session.is_stopped
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_thread_can_drive_too(recipes, make):
    session = recipes.play(make.step())
    seen = []
    thread = threading.Thread(target=lambda: seen.append(drive(session, seen.append).exit_code))
    thread.start()
    thread.join()
    assert seen == [make.step(), 0]
