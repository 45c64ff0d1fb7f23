"""Commands: their words, what they do between two steps, and how another process gives them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from core.config import ACTIONS, Command, read_command
from core.errors import ConfigError
from core.events import (
    CheckpointDue,
    Controlled,
    Paused,
    SampleCompleted,
    StepCompleted,
    ValidationCompleted,
)
from core.store import inbox
from core.training.budget import Budget
from core.training.wishes import LOOK_S, Wishes
from tests.core.small_trainers import make_trainer


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ("pause", Command(action="pause")),
        ("lr 0.5", Command(action="lr", value=0.5)),
        ("lr x2", Command(action="lr", value=2)),
        ("budget +500", Command(action="budget", value=500, sign="+")),
        ("budget -30 s", Command(action="budget", value=30, sign="-", unit="seconds")),
        ("budget =5e6 tokens", Command(action="budget", value=5e6, sign="=", unit="tokens")),
        ("budget 90 second", Command(action="budget", value=90, sign="=", unit="seconds")),
    ],
)
def test_words_become_a_command_and_back(words: str, command: Command) -> None:
    assert read_command(words.split()) == command
    assert read_command(command.words) == command
    third = Command(action="lr", value=1 / 3)
    assert read_command(third.words) == third


@pytest.mark.parametrize(
    ("words", "sentence", "hint"),
    [
        ("", "A run cannot ''.", "Known: budget, lr, pause, resume, sample, save, step, stop."),
        ("puase", "A run cannot 'puase'.", "Did you mean pause?"),
        ("lr", "The command lr takes one FACTOR, not ''.", "As in lr 0.5, or lr 2."),
        ("lr no", "'no' is not a number that a run could use.", "As in lr 0.5, or lr 2."),
        ("lr nan", "'nan' is not a number that a run could use.", "As in lr 0.5, or lr 2."),
        (
            "lr -1",
            "A learning rate cannot be multiplied by -1: that is not between 1e-06 and 1e+06.",
            "As in lr 0.5, or lr 2.",
        ),
        ("save it", "The command save takes no more words, not 'it'.", "Try save alone."),
        (
            "budget",
            "The command budget takes an AMOUNT, not ''.",
            "As in budget +500 steps, budget -30 seconds or budget =5e6 tokens.",
        ),
        (
            "budget +5 miles",
            "A budget cannot change by +5 'miles'.",
            "As in budget +500 steps, budget -30 seconds or budget =5e6 tokens.",
        ),
        (
            "budget =0",
            "A budget of 0 is not between 0 and 1e+15.",
            "As in budget +500 steps, budget -30 seconds or budget =5e6 tokens.",
        ),
    ],
)
def test_words_that_ask_nothing_a_run_could_do(words: str, sentence: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_command(words.split())
    assert (str(caught.value), caught.value.hint) == (sentence, hint)


@pytest.mark.parametrize(
    ("budget", "words", "limits"),
    [
        ((100, 0.0), "budget +50", (150, 0.0)),
        ((100, 0.0), "budget -30", (70, 0.0)),
        ((100, 0.0), "budget -99", (40, 0.0)),
        ((100, 0.0), "budget =60", (60, 0.0)),
        ((100, 0.0), "budget +65 tokens", (103, 0.0)),
        ((100, 9.0), "budget +1 seconds", (100, 10.0)),
        ((100, 9.0), "budget =20 seconds", (0, 20.0)),
        ((100, 9.0), "budget +1", (101, 9.0)),
        ((0, 9.0), "budget +10", (0, 19.0)),
        ((0, 9.0), "budget +10 steps", (50, 0.0)),
        ((0, 9.0), "budget -10 steps", (0, 9.0)),
        ((0, 9.0), "budget -8 seconds", (0, 4.0)),
    ],
)
def test_a_budget_moves_and_never_to_before_here(
    budget: tuple[int, float], words: str, limits: tuple[int, float]
) -> None:
    """After 40 steps of 32 tokens, and 4 seconds."""
    before = Budget(*budget)
    moved = before.changed(before.named(read_command(words.split())), 40, 4.0, 32)
    assert (moved.steps, moved.seconds) == limits


def story(wishes: Wishes, script: dict[int, str], **changes: Any) -> list[Any]:
    """Events of a run to which is said, after the k-th event, what the script says."""
    told = []
    for event in make_trainer(wishes=wishes, **changes).run():
        told.append(event)
        if words := script.get(len(told)):
            for one in words.split("; "):
                wishes.ask(read_command(one.split()))
    return told


def test_a_paused_run_waits_takes_single_steps_and_obeys_meanwhile() -> None:
    asked = iter(["step", "sample; lr 0.5", "step; step", "save; resume"])
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) % 3 == 0:  # some time later
            for one in next(asked).split("; "):
                wishes.ask(read_command(one.split()))

    wishes = Wishes(sleep=sleep)
    told = story(wishes, {3: "pause"}, eval_interval=0, sample_interval=0, warmup_steps=0)
    kinds = [
        (e.action if isinstance(e, Controlled) else type(e).__name__, e.step)
        for e in told
        if not isinstance(e, Paused)
    ]
    assert kinds[:14] == [
        ("CheckpointDue", 0),
        ("StepCompleted", 1),
        ("StepCompleted", 2),
        ("pause", 2),
        ("step", 2),
        ("StepCompleted", 3),
        ("sample", 3),
        ("SampleCompleted", 3),
        ("lr", 3),
        ("step", 3),
        ("step", 3),
        ("StepCompleted", 4),
        ("StepCompleted", 5),
        ("save", 5),
    ]
    assert kinds[-1] == ("CheckpointDue", 8)
    assert set(waits) == {LOOK_S}
    assert [e.step for e in told if isinstance(e, Paused)] == [2] * 3 + [3] * 6 + [5] * 3


def test_a_factor_holds_from_the_next_step_on() -> None:
    plain = [e.lr for e in story(Wishes(), {}) if isinstance(e, StepCompleted)]
    told = [e.lr for e in story(Wishes(), {4: "lr 0.5; lr 3"}) if isinstance(e, StepCompleted)]
    assert told == plain[:3] + [rate * 1.5 for rate in plain[3:]]


def test_a_stop_ends_a_pause() -> None:
    wishes = Wishes(sleep=lambda _: wishes.stop())
    told = story(wishes, {3: "pause"})
    assert [e.action for e in told if isinstance(e, Controlled)] == ["pause", "stop"]
    assert isinstance(told[-1], CheckpointDue)


def test_an_end_that_is_moved_is_validated_once() -> None:
    """Cut after a validation that was due, after a step, and while the last one is made."""
    for k, words, end in ((5, "budget =1", 3), (3, "budget =1", 2), (16, "budget +3", 11)):
        told = story(Wishes(), {k: words}, sample_interval=0, checkpoint_interval=0)
        steps = [e.step for e in told if isinstance(e, StepCompleted)]
        validated = [e.step for e in told if isinstance(e, ValidationCompleted)]
        assert steps[-1] == validated[-1] == end
        assert len(set(validated)) == len(validated)
        assert told[-1].step == end
        assert isinstance(told[-1], CheckpointDue)


def test_another_process_is_heard_in_order_and_at_most_four_times_a_second(tmp_path: Path) -> None:
    now, looks = [0.0], []
    wishes = Wishes(now=lambda: now[0])
    wishes.listen(lambda: looks.append(now[0]) or inbox.take(tmp_path))
    ids = [inbox.send(tmp_path, Command(action=a)) for a in ("pause", "sample", "stop")]
    assert all(inbox.is_waiting(tmp_path, id) for id in ids)
    assert wishes.is_stopping()
    assert not any(inbox.is_waiting(tmp_path, id) for id in ids)
    assert [wishes.take() for _ in ids] == [
        Command(action=a, id=id) for a, id in zip(("pause", "sample", "stop"), ids, strict=True)
    ]
    inbox.send(tmp_path, Command(action="save"))
    for _ in range(100):
        assert wishes.take() is None
    now[0] = LOOK_S
    assert wishes.has_news()
    assert looks == [0.0, LOOK_S]


def test_what_lies_in_the_inbox_and_is_no_command_goes(tmp_path: Path) -> None:
    folder = tmp_path / inbox.FOLDER
    folder.mkdir()
    bad = [
        b"",
        b"{",
        b"\xff" * 10,
        b"[" * 100_000,
        b'{"format": 2, "words": ["stop"]}',
        b'{"format": 1}',
        b'{"format": 1, "words": "stop"}',
        b'{"format": 1, "words": [1]}',
        b'{"format": 1, "words": ["rm", "-rf"]}',
        b'{"format": 1, "words": ["lr", "1e400"]}',
        b'{"format": 1, "words": ["stop"]}' + b" " * inbox.LONGEST,
    ]
    for n, data in enumerate(bad[:-1]):
        (folder / f"{n}.json").write_bytes(data)
    (folder / "folder.json").mkdir()
    secret = tmp_path / "secret"
    secret.write_bytes(b'{"format": 1, "words": ["stop"]}')
    if hasattr(os, "mkfifo"):
        (folder / "link.json").symlink_to(secret)
        os.mkfifo(folder / "pipe.json")
    (folder / ".partial-x").write_bytes(b"being written")
    id = inbox.send(tmp_path, Command(action="save"))
    assert inbox.take(tmp_path) == [Command(action="save", id=id)]
    assert [path.name for path in folder.iterdir()] == [".partial-x"]
    assert secret.exists()
    (folder / "long.json").write_bytes(bad[-1])
    assert inbox.take(tmp_path) == [Command(action="stop", id="long")]  # blanks say nothing
    inbox.clear(tmp_path)
    assert inbox.take(tmp_path) == []


def test_every_action_says_what_it_does() -> None:
    values = {"lr": "lr 2", "budget": "budget +1"}
    assert {read_command(values.get(a, a).split()).action for a in ACTIONS} == set(ACTIONS)
    told = story(Wishes(), {3: "sample"}, sample_interval=0)
    at = next(i for i, e in enumerate(told) if isinstance(e, Controlled))
    assert isinstance(told[at + 1], SampleCompleted)
