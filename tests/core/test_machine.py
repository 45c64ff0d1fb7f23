"""The examination of the machine: what is timed, against what was really done."""

from __future__ import annotations

import os
import statistics

import pytest
import torch

from core import recipes
from core.device import Device
from core.errors import DeviceError
from core.events import MachineExamined, SetupProgressed
from core.measure import machine

CPU = Device("cpu", "float32", 1)


class Clock:
    """Time that passes only when work is done."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(machine.time, "perf_counter", found)
    return found


def test_the_time_of_one_call_is_found_however_short_it_is(clock):
    for cost in (1e-6, 3e-3, 0.2):
        calls = 0

        def work(cost=cost):
            nonlocal calls
            calls += 1
            clock.now += cost

        samples = machine.seconds_of(work, CPU)
        assert samples == pytest.approx([cost] * len(samples))
        assert machine.LEAST_REPETITIONS <= len(samples) <= machine.REPETITIONS
        # Each repetition is long beside the clock's errors, and all of them end soon.
        assert calls * cost >= machine.SAMPLE_S * len(samples) * 0.9
        assert calls * cost < max(1.0, 6 * cost)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_product_counts_two_operations_for_each_multiply_and_add(clock, monkeypatch, dtype):
    shapes = []

    def mm(left, right, *, out):
        shapes.append((tuple(left.shape), tuple(right.shape), tuple(out.shape), str(out.dtype)))
        clock.now += 0.01
        return out

    monkeypatch.setattr(torch, "mm", mm)
    speed = machine._product(CPU, dtype, 4, 6, 5)
    assert set(shapes) == {((4, 5), (5, 6), (4, 6), f"torch.{dtype}")}
    assert (speed.what, speed.unit, speed.dtype) == ("product 4 × 5 × 6", "GFLOP/s", dtype)
    assert speed.mean == pytest.approx(2 * 4 * 5 * 6 / 0.01 / 1e9)
    assert speed.sd == pytest.approx(0.0, abs=1e-9)


@pytest.mark.slow
def test_everything_is_timed_and_summed_up():
    *stages, last = recipes.examination(threads=1).run()
    assert all(isinstance(event, SetupProgressed) for event in stages)
    assert isinstance(last, MachineExamined)
    found = last.result
    assert {speed.unit for speed in found.speeds} == {"GFLOP/s", "GB/s", "µs"}
    assert {s.dtype for s in found.speeds if s.unit == "GFLOP/s"} == {"float32", "bfloat16"}
    for speed in found.speeds:
        assert speed.mean == pytest.approx(statistics.fmean(speed.samples))
        assert speed.sd == pytest.approx(statistics.stdev(speed.samples))
        assert min(speed.samples) > 0
    assert found.devices[-1] == "cpu"
    assert found.environment["threads"] == 1


def test_looking_alone_times_nothing():
    *_, last = recipes.examination(is_measuring=False, threads=1).run()
    assert isinstance(last, MachineExamined)
    assert last.result.speeds == ()
    with pytest.raises(DeviceError, match="This machine has no 'mps'"):
        list(recipes.examination(is_measuring=False, device="mps").run())


def test_it_stops_when_it_is_asked_to():
    session = recipes.examination(threads=1)
    events = session.run()
    next(events), next(events)
    session.stop()
    assert [type(event) for event in events] == []


def test_memory_is_that_of_the_machine(monkeypatch):
    whole, free = machine.memory_bytes()
    assert whole is not None
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert whole == pytest.approx(pages, rel=0.1)
    assert free is None or 0 < free <= whole

    def nothing(self, **kwargs):
        raise FileNotFoundError

    monkeypatch.setattr(machine.Path, "read_text", nothing)
    assert machine.memory_bytes() == (pages, None)
    monkeypatch.delattr(os, "sysconf")
    assert machine.memory_bytes() == (None, None)
