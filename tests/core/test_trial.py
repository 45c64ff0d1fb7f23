"""The trial of engines, with a clock that others wind."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, repeat

import pytest

from core.infer.engines import trial
from core.infer.engines.trial import LEAST_ROUNDS, TRIAL_S, fastest


class Scripted:
    """Takes the given seconds for its tokens, the first two turns left out."""

    max_seq_len = 40

    def __init__(self, clock: Clock, seconds: list[float]) -> None:
        self._clock = clock
        self._seconds: Iterator[float] = chain([0.1, 0.1], seconds, repeat(seconds[-1]))
        self.turns = -2
        self.most_tokens = 0

    def rewind(self, length: int) -> None:
        assert length == 0

    def write(self, token: int, n: int) -> list[int]:
        self.turns, self.most_tokens = self.turns + 1, max(n, self.most_tokens)
        self._clock.now += n * next(self._seconds)
        return [token] * n


class Clock:
    now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(trial.time, "perf_counter", clock.perf_counter)
    return clock


def test_takes_the_simplest_of_equals(clock: Clock) -> None:
    seconds = {"a": [0.0100], "b": [0.0099], "c": [0.0050]}
    engines = {name: Scripted(clock, times) for name, times in seconds.items()}
    assert fastest(engines) == ("c", True)  # type: ignore[arg-type]
    assert [engine.turns for engine in engines.values()] == [LEAST_ROUNDS] * 3
    assert all(engine.most_tokens == 2 for engine in engines.values())
    del engines["c"]
    assert fastest(engines) == ("a", True)  # type: ignore[arg-type]


def test_turns_that_others_disturb_do_not_count(clock: Clock) -> None:
    """Two threads, twice as fast, had to wait for another program in most of their turns."""
    one = Scripted(clock, [0.010, 0.011, 0.010, 0.010, 0.014])
    two = Scripted(clock, [0.030, 0.005, 0.040, 0.0051, 0.020, 0.030, 0.025, 0.0052])
    assert fastest({"1": one, "2": two}) == ("2", True)  # type: ignore[dict-item]
    assert two.turns == 8


def test_what_never_settles_ends_and_is_told(clock: Clock) -> None:
    noisy = [0.01 * 1.2**i for i in range(20, 0, -1)]
    engines = {"1": Scripted(clock, [0.01]), "2": Scripted(clock, noisy)}
    assert fastest(engines) == ("1", False)  # type: ignore[arg-type]
    longest_turn = 2 * (0.01 + noisy[0])
    assert clock.now < 4 * 0.5 + LEAST_ROUNDS * longest_turn + TRIAL_S
