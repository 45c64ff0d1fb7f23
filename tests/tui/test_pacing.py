"""Plots may cost a share of the processor, and no more."""

from __future__ import annotations

import pytest

from minitf_tui.pacing import LONGEST_INTERVAL_S, Pace


class Clock:
    def __init__(self) -> None:
        self.now = self.cpu = 0.0


@pytest.mark.parametrize(
    ("cost", "interval"), [(0.0001, 0.2), (0.008, 0.2), (0.02, 0.5), (0.4, LONGEST_INTERVAL_S)]
)
def test_the_next_drawing_waits_until_its_share_is_earned(cost: float, interval: float) -> None:
    clock = Clock()
    pace = Pace(0.04, 0.2, clock=lambda: clock.now, cpu=lambda: clock.cpu)
    assert pace.is_due
    with pace.measured():
        clock.cpu += cost
    clock.now = interval - 0.001
    assert not pace.is_due
    clock.now = interval + 0.001
    assert pace.is_due


def test_what_the_framework_paints_after_a_drawing_counts_too() -> None:
    clock = Clock()
    pace = Pace(0.04, 0.2, clock=lambda: clock.now, cpu=lambda: clock.cpu)
    with pace.measured():
        clock.cpu += 0.01
    clock.now, clock.cpu = 0.3, 0.02
    assert not pace.is_due
    clock.now = 0.51
    assert pace.is_due


def test_a_key_is_answered_at_once() -> None:
    clock = Clock()
    pace = Pace(clock=lambda: clock.now, cpu=lambda: clock.cpu)
    with pace.measured():
        clock.cpu += 5
    pace.hurry()
    assert pace.is_due
