"""One device, one job on it; pausing hands it on, stopping always comes to an end."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from core.config import Command
from core.errors import DataError
from core.events import CheckpointFailed, CheckpointSaved, Controlled, Event, StepCompleted
from minitf_tui import job
from minitf_tui.job import Device, DeviceBusyError, Job
from tests.tui.events import step
from tests.tui.scripted import Commanded, Endless, Script


class Lab:
    """A device, and jobs that note what they are told."""

    def __init__(self) -> None:
        self.device = Device()
        self.heard: list[Event] = []
        self.ends: list[BaseException | None] = []

    def job(self, session: Any, title: str = "training") -> Job:
        return Job(
            self.device,
            session,
            title=title,
            way_out=f"Stop {title}.",
            on_event=lambda _, event: self.heard.append(event),
            on_end=lambda _, error: self.ends.append(error),
        )

    def start(self, session: Any, title: str = "training") -> Job:
        job = self.job(session, title)
        self.device.start(job)
        return job


@pytest.fixture
def lab() -> Iterator[Lab]:
    lab = Lab()
    yield lab
    lab.device.stop_all()
    assert lab.device.wait(10)


def until(condition: Any) -> None:
    """Wait on another thread, without sleeping on a guess."""
    pause = threading.Event()
    for _ in range(5000):
        if condition():
            return
        pause.wait(0.002)
    raise AssertionError("it never came to that")


def test_every_event_is_heard_in_order(lab: Lab) -> None:
    story = [step(n) for n in range(1, 100)]
    job = lab.start(Script(story))
    assert job.finished.wait(10)
    assert lab.heard == story
    assert lab.ends == [None]
    assert job.state == "finished"


def test_an_error_is_handed_over_and_frees_the_device(lab: Lab) -> None:
    error = DataError("The text is empty.")
    lab.start(Script([step(1)], error=error)).finished.wait(10)
    assert lab.ends == [error]
    lab.start(Script([step(2)])).finished.wait(10)
    assert lab.heard == [step(1), step(2)]


def test_a_listener_that_fails_ends_the_job_and_closes_the_session(lab: Lab) -> None:
    def fail(job: Job, event: Event) -> None:
        raise ZeroDivisionError

    script, ends = Script([step(1), step(2)]), []
    job = Job(
        lab.device,
        script,
        title="t",
        way_out="",
        on_event=fail,
        on_end=lambda _, error: ends.append(error),
    )
    lab.device.start(job)
    assert job.finished.wait(10)
    assert script.closed.is_set()
    assert isinstance(ends[0], ZeroDivisionError)


def test_a_second_job_is_refused_in_a_sentence_that_names_the_way_out(lab: Lab) -> None:
    lab.start(Endless())
    with pytest.raises(DeviceBusyError, match="The device is busy: training is running") as caught:
        lab.start(Script([]), "evaluation")
    assert caught.value.hint == "Stop training."


def test_a_paused_job_keeps_still_and_lets_another_run(lab: Lab) -> None:
    session = Endless()
    job = lab.start(session)
    until(lambda: session.step > 3)
    job.pause()
    until(lambda: job.state == "paused")
    at = session.step
    other = lab.start(Script([step(7000)]), "evaluation")
    assert other.finished.wait(10)
    assert step(7000) in lab.heard
    assert session.step == at
    job.resume()
    until(lambda: session.step > at)


def test_resuming_waits_until_the_device_is_free(lab: Lab) -> None:
    session, other = Endless(), Script([step(7000)], waits=True)
    job = lab.start(session)
    until(lambda: session.step > 3)
    job.pause()
    until(lambda: job.state == "paused")
    lab.start(other, "evaluation")
    assert other.reached_gate.wait(10)
    job.resume()
    until(lambda: job.state == "waiting")
    at = session.step
    other.gate.set()
    until(lambda: session.step > at)


def test_a_job_that_was_paused_again_while_it_waited_stays_paused(lab: Lab) -> None:
    job, session = paused(lab)
    at, other = session.step, Script([step(7000)], waits=True)
    lab.start(other, "evaluation")
    assert other.reached_gate.wait(10)
    job.resume()
    until(lambda: lab.device._queue == [job])
    job.pause()
    assert job.state == "paused"
    let_through(lab, other)
    assert session.step == at
    assert job.state == "paused"
    job.resume()
    until(lambda: session.step > at)


def test_a_job_that_was_paused_before_its_turn_does_not_begin(lab: Lab) -> None:
    first = Script([step(1)], waits=True)
    leaving = lab.start(first)
    assert first.reached_gate.wait(10)
    first.stop = lambda: None  # type: ignore[method-assign]
    leaving.stop()
    session = Script([step(2)])
    job = lab.start(session)
    until(lambda: lab.device._queue == [job])
    job.pause()
    let_through(lab, first)
    assert session.told == 0
    assert job.state == "paused"
    job.resume()
    assert job.finished.wait(10)
    assert session.told == 1


def let_through(lab: Lab, session: Script) -> None:
    """End a job, and see who takes the device then; a job of ours comes after them."""
    session.gate.set()
    last = Script([step(8000)])
    until(lambda: lab.device.is_free)
    assert lab.start(last, "evaluation").finished.wait(10)


def test_a_job_may_start_while_another_is_on_its_way_out(lab: Lab) -> None:
    first = Script([step(1)], waits=True)
    job = lab.start(first)
    assert first.reached_gate.wait(10)
    job._session.stop = lambda: None  # type: ignore[method-assign]
    job.stop()
    assert job.state == "stopping"
    second = lab.start(Script([step(2)]))
    assert second.state == "waiting"
    assert step(2) not in lab.heard
    first.gate.set()
    assert second.finished.wait(10)
    assert lab.heard == [step(1), step(2)]


@pytest.mark.parametrize("is_paused", [False, True])
def test_stopping_lets_the_session_save(lab: Lab, is_paused: bool) -> None:
    session = Endless()
    job = lab.start(session)
    until(lambda: session.step > 3)
    if is_paused:
        job.pause()
        until(lambda: job.state == "paused")
    lab.device.stop_all()
    assert lab.device.wait(10)
    assert [type(e).__name__ for e in lab.heard[-2:]] == ["CheckpointSaved", "RunFinished"]
    assert lab.device.jobs == []


def test_waiting_has_an_end(lab: Lab) -> None:
    script = Script([], waits=True)
    lab.start(script)
    assert not lab.device.wait(0.01)
    script.gate.set()
    assert lab.device.wait(10)


def paused(lab: Lab) -> tuple[Job, Endless]:
    session = Endless()
    job = lab.start(session)
    until(lambda: session.step > 3)
    job.pause()
    until(lambda: job.state == "paused")
    return job, session


def test_a_paused_job_takes_one_step_at_a_time(lab: Lab) -> None:
    job, session = paused(lab)
    at = session.step
    for n in (1, 2, 3):
        job.step()
        until(lambda n=n: session.step == at + n and job.state == "paused")
        assert lab.heard[-1] == step(at + n)
    job.resume()
    until(lambda: session.step > at + 3)


def test_a_job_that_takes_commands_pauses_steps_and_goes_on_by_them(lab: Lab) -> None:
    session = Commanded()
    job = lab.start(session)
    until(lambda: session.step > 3)
    job.pause()
    job.save()
    until(lambda: job.state == "paused")
    at = session.step
    other = lab.start(Script([step(7000)]), "evaluation")
    assert other.finished.wait(10)
    job.step()
    until(lambda: session.step == at + 1 and job.state == "paused")
    assert job.control(Command(action="lr", value=0.5))
    until(lambda: session.lr_factor == 0.5 and job.state == "paused")
    job.resume()
    until(lambda: session.step > at + 3)
    told = [e.action for e in lab.heard if isinstance(e, Controlled)]
    assert told == ["pause", "save", "step", "lr", "resume"]
    assert job.state == "running"


def test_a_job_is_paused_and_goes_on_as_another_process_wants(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What others ask comes by the session alone, and the device is free meanwhile."""
    monkeypatch.setattr(job, "LOOK_S", 0.01)
    session = Commanded()
    ours = lab.start(session)
    until(lambda: session.step > 3)
    session.control(Command(action="pause"))
    until(lambda: ours.state == "paused")
    at = session.step
    assert lab.start(Script([step(7000)]), "evaluation").finished.wait(10)
    session.control(Command(action="step"))
    until(lambda: session.step == at + 1 and ours.state == "paused")
    session.control(Command(action="save"))
    until(lambda: any(isinstance(e, CheckpointSaved) for e in lab.heard))
    until(lambda: ours.state == "paused")
    session.control(Command(action="resume"))
    until(lambda: session.step > at + 2)
    assert ours.state == "running"


def test_a_running_job_is_not_made_to_step(lab: Lab) -> None:
    session = Endless()
    job = lab.start(session)
    until(lambda: session.step > 3)
    job.step()
    job.pause()
    until(lambda: job.state == "paused")
    at = session.step
    other = lab.start(Script([step(7000)]), "evaluation")
    assert other.finished.wait(10)
    assert session.step == at


def test_a_step_waits_for_the_device(lab: Lab) -> None:
    job, session = paused(lab)
    at, other = session.step, Script([step(7000)], waits=True)
    lab.start(other, "evaluation")
    assert other.reached_gate.wait(10)
    job.step()
    assert session.step == at
    other.gate.set()
    until(lambda: session.step == at + 1 and job.state == "paused")


def saved_steps(lab: Lab) -> list[int]:
    return [e.step for e in lab.heard if isinstance(e, CheckpointSaved)]


def test_a_paused_job_saves_and_stays_paused(lab: Lab) -> None:
    job, session = paused(lab)
    for n in (1, 2):
        job.save()
        until(lambda n=n: len(saved_steps(lab)) == n and job.state == "paused")
    assert saved_steps(lab) == [session.step] * 2
    assert isinstance(lab.heard[-3], StepCompleted)


def test_a_save_that_fails_leaves_a_paused_job_paused(lab: Lab) -> None:
    job, session = paused(lab)
    session.saving_fails = True
    job.save()
    until(lambda: isinstance(lab.heard[-1], CheckpointFailed) and job.state == "paused")
    assert lab.heard[-1].step == session.step


def test_a_running_job_saves_and_runs_on(lab: Lab) -> None:
    session = Endless()
    job = lab.start(session)
    until(lambda: session.step > 3)
    job.save()
    until(lambda: saved_steps(lab))
    until(lambda: session.step > saved_steps(lab)[0])
    assert job.state == "running"


def test_pausing_does_not_forget_a_wish_to_save(lab: Lab) -> None:
    session = Endless()
    job = lab.start(session)
    until(lambda: session.step > 3)
    job.save()
    job.pause()
    until(lambda: job.state == "paused" and saved_steps(lab))


def test_a_job_that_cannot_save_ignores_it(lab: Lab) -> None:
    story = [step(n) for n in range(1, 5)]
    session = Script(story[:1], then=story[1:], waits=True)
    job = lab.start(session)
    assert session.reached_gate.wait(10)
    job.pause()
    session.gate.set()
    until(lambda: job.state == "paused")
    told = session.told
    job.save()
    other = lab.start(Script([step(7000)]), "evaluation")
    assert other.finished.wait(10)
    assert session.told == told
    assert job.state == "paused"


def test_once_torch_is_there_the_collector_leaves_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    monkeypatch.setattr(job.gc, "freeze", lambda: calls.append("freeze"))
    monkeypatch.setattr(job.gc, "set_threshold", lambda *given: calls.append(given))
    monkeypatch.setattr(job, "_frozen", threading.Event())
    monkeypatch.setitem(sys.modules, "torch", sys.modules.get("torch") or object())
    job.freeze_imports()
    job.freeze_imports()
    assert calls == ["freeze", job.COLLECTIONS]
