"""Plots may cost a share of the processor, and no more."""

from __future__ import annotations

import pytest

from minitf_tui.pacing import Pace


class Clock:
    def __init__(self) -> None:
        self.now = self.cpu = 0.0


@pytest.mark.parametrize(
    ("cost", "interval"), [(0.0001, 0.2), (0.008, 0.2), (0.02, 0.5), (0.4, 10.0)]
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


def test_a_key_is_answered_at_once() -> None:
    clock = Clock()
    pace = Pace(clock=lambda: clock.now, cpu=lambda: clock.cpu)
    with pace.measured():
        clock.cpu += 5
    pace.hurry()
    assert pace.is_due
