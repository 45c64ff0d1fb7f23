"""What a run has told is kept whole, whatever the screen does."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest

from minitf_tui.history import Average, History, Table
from tests.tui.scripted import step, validation


def test_a_table_keeps_every_row_while_it_grows() -> None:
    table = Table("a", "b", capacity=2)
    for n in range(1000):
        table.append(n, -n)
    assert len(table) == 1000
    assert table["a"].tolist() == list(range(1000))
    assert table["b"].tolist() == [-n for n in range(1000)]


def test_a_view_never_changes() -> None:
    table = Table("a", capacity=4)
    for n in range(3):
        table.append(n)
    view = table["a"]
    for n in range(100):
        table.append(100 + n)
    assert view.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 7


def test_the_newest_of_an_empty_column_is_not_a_number() -> None:
    assert math.isnan(Table("a").last("a"))


def test_columns_read_beside_a_writer_hold_only_whole_rows() -> None:
    table = Table("a", "b", capacity=1)
    done = threading.Event()

    def write() -> None:
        for n in range(20_000):
            table.append(n, 2 * n)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        b = table["b"]
        a = table["a"][: len(b)]
        assert np.array_equal(2 * a, b)
    writer.join()


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.9, 0.99])
def test_the_average_of_a_constant_is_that_constant_from_the_first_step(keep: float) -> None:
    average = Average(keep)
    assert [average.add(3.0) for _ in range(50)] == pytest.approx([3.0] * 50)


def test_the_average_lies_between_what_it_saw() -> None:
    average, values = Average(0.9), [5.0, 1.0, 4.0, 2.0, 3.0]
    for n, value in enumerate(values, 1):
        assert min(values[:n]) <= average.add(value) <= max(values[:n])


def test_a_value_that_is_not_finite_leaves_the_average_alone() -> None:
    average = Average(0.9)
    average.add(2.0)
    assert average.add(math.nan) == average.add(math.inf) == pytest.approx(2.0)


def test_an_average_of_nothing_is_not_a_number() -> None:
    assert math.isnan(Average().add(math.nan))


def test_steps_and_validations_are_kept_in_order() -> None:
    history = History()
    for n in range(1, 51):
        history.add_step(step(n))
    history.add_validation(validation(50))
    assert history.steps["step"].tolist() == list(range(1, 51))
    assert history.steps["loss"].tolist() == [step(n).loss for n in range(1, 51)]
    assert history.validations.last("bits_per_byte") == validation(50).bits_per_byte


@pytest.mark.parametrize(
    ("steps", "seconds", "share", "left"),
    [
        (0, 90.0, 9.5 / 90, 80.5),
        (200, 0.0, 0.5, 9.5),
        (200, 12.0, 9.5 / 12, 2.5),
        (0, 0.0, 0.0, None),
        (50, 5.0, 1.0, 0.0),
    ],
    ids=["seconds", "steps", "both: the nearer one", "no budget", "spent"],
)
def test_budget(steps: int, seconds: float, share: float, left: float | None) -> None:
    history = History()
    for n in range(1, 101):
        history.add_step(step(n))  # 0.095 s each
    assert history.share_done(steps, seconds) == pytest.approx(share)
    assert history.seconds_left(steps, seconds) == (
        None if left is None else pytest.approx(left, abs=1e-6)
    )


def test_before_the_first_step_all_the_time_is_left() -> None:
    assert History().seconds_left(0, 90.0) == 90.0
    assert History().seconds_left(100, 0.0) is None
    assert History().share_done(100, 90.0) == 0.0
