"""What a run has told is kept whole, whatever the screen does."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest

from minitf_tui.history import Average, History, Table
from minitf_tui.smoothing import BLOCK, Smoothed
from tests.tui.events import step, validation


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


def test_the_time_of_steps_that_were_undone_is_not_counted_to_the_others() -> None:
    whole, returned = History(), History()
    for n in range(1, 401):
        returned.add_step(step(n))
    undone = 390 * 0.095
    for n in range(11, 41):
        returned.add_step(step(n, train_s=undone + n * 0.095))
    for n in range(1, 41):
        whole.add_step(step(n))
    assert returned.seconds_left(400, 0.0) == pytest.approx(whole.seconds_left(400, 0.0))
    assert returned.last_step(0, undone + 38.0) == pytest.approx(400)


def test_before_the_first_step_all_the_time_is_left() -> None:
    assert History().seconds_left(0, 90.0) == 90.0
    assert History().seconds_left(100, 0.0) is None
    assert History().share_done(100, 90.0) == 0.0


def one_by_one(values: list[float], keep: float) -> list[float]:
    """The definition, a value at a time."""
    average = Average(keep)
    return [average.add(value) for value in values]


@pytest.mark.parametrize("keep", [0.0, 0.8, 0.95, 0.99])
@pytest.mark.parametrize("n", [1, BLOCK - 1, BLOCK, BLOCK + 1, 1000])
def test_smoothing_at_once_equals_smoothing_one_by_one(keep: float, n: int) -> None:
    rng = np.random.default_rng(n)
    values = rng.normal(3, 1, n)
    values[rng.random(n) < 0.05] = math.nan
    values[rng.random(n) < 0.01] = math.inf
    wanted = one_by_one(values.tolist(), keep)
    np.testing.assert_allclose(Smoothed(keep).of(values), wanted, rtol=1e-12)


def test_smoothing_goes_on_where_it_was() -> None:
    values = np.random.default_rng(0).normal(3, 1, 3000)
    smoothed, given = Smoothed(0.98), 0
    for more in (1, 0, 127, 129, 1, 700, 2042):
        given += more
        got = smoothed.of(values[:given])
    np.testing.assert_allclose(got, one_by_one(values.tolist(), 0.98), rtol=1e-12)


def test_the_loss_is_smoothed_at_the_level_that_is_asked_for() -> None:
    history = History()
    for n in range(1, 201):
        history.add_step(step(n))
    losses = history.steps["loss"].tolist()
    for keep in (0.9, 0.0, 0.99, 0.9):
        assert history.smoothed(keep).tolist() == pytest.approx(one_by_one(losses, keep))
    assert history.smoothed(0.0).tolist() == losses


def test_steps_that_are_taken_again_replace_what_they_were() -> None:
    history = History()
    for n in range(1, 101):
        history.add_step(step(n, loss=9.0))
    history.add_validation(validation(40))
    history.add_validation(validation(80))
    before = history.steps["loss"]
    assert history.smoothed(0.9)[-1] == pytest.approx(9.0)
    for n in range(51, 61):
        history.add_step(step(n, loss=1.0))
    assert history.steps["step"].tolist() == list(range(1, 61))
    assert history.validations["step"].tolist() == [40]
    assert before.tolist() == [9.0] * 100
    wanted = one_by_one([9.0] * 50 + [1.0] * 10, 0.9)
    assert history.smoothed(0.9).tolist() == pytest.approx(wanted)


def test_the_past_of_a_run_is_read_with_its_gaps() -> None:
    history = History()
    told = {"event": "StepCompleted", "loss": None, "lr": 0.1, "grad_norm": 1.0, "tokens": 9}
    history.add_past(
        [
            {"event": "RunStarted", "step": 0},
            {**told, "step": 1, "tokens_per_s": 5.0, "train_s": 0.5, "of_a_later_version": 1},
            {"event": "ValidationCompleted", "step": 1, "loss": 2.0, "loss_ci95": [1.9, 2.1]},
        ]
    )
    assert math.isnan(history.steps.last("loss"))
    assert history.steps.last("train_s") == 0.5
    assert (history.validations.last("low"), history.validations.last("high")) == (1.9, 2.1)


@pytest.mark.parametrize(
    ("steps", "seconds", "last"),
    [(1000, 0.0, 1000), (0, 90.0, 90 / 0.095), (500, 90.0, 500), (2000, 90.0, 90 / 0.095)],
)
def test_the_last_step_is_told_by_the_budget_or_by_the_pace(
    steps: int, seconds: float, last: float
) -> None:
    history = History()
    assert history.last_step(0, 90.0) is None
    for n in range(1, 101):
        history.add_step(step(n))
    assert history.last_step(steps, seconds) == pytest.approx(last)
    assert history.last_step(0, 0.0) is None
