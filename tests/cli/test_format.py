from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitf_tui import format as fmt


@pytest.mark.parametrize(
    ("call", "value", "shown"),
    [
        (fmt.count, 0, "0"),
        (fmt.count, 999, "999"),
        (fmt.count, 12_345, "12.3 k"),
        (fmt.count, 999_960, "1.0 M"),
        (fmt.count, 1_200_000, "1.2 M"),
        (fmt.count, -1500, "-1.5 k"),
        (fmt.size_bytes, 512, "512 B"),
        (fmt.size_bytes, 1.1 * 2**30, "1.1 GiB"),
        (fmt.whole, 466_123, "466,123"),
        (fmt.seconds, 0, "0 s"),
        (fmt.seconds, 2.5e-4, "250 µs"),
        (fmt.seconds, 0.0034, "3.40 ms"),
        (fmt.seconds, 3.4, "3.4 s"),
        (fmt.seconds, 59.97, "1 min 00 s"),
        (fmt.seconds, 75, "1 min 15 s"),
        (fmt.seconds, 7500, "2 h 05 min"),
        (fmt.seconds, -3.4, "-3.4 s"),
        (fmt.milliseconds, 1500, "1.5 s"),
        (fmt.percent, 0.4567, "45.7 %"),
        (fmt.share_of_limit, 1.0, "100.0 %"),
        (fmt.share_of_limit, 1.0001, ">100 %"),
        (fmt.loss_change, -0.00001, "+0.0000"),
        (fmt.loss_change, -0.01234, "-0.0123"),
        (fmt.loss, 1.40449, "1.404"),
        (fmt.perplexity, 3.312, "3.31"),
        (fmt.perplexity, 1045.4, "1,045"),
        (fmt.perplexity, 2.5e7, "25.0 M"),
        (fmt.rate, 12_345, "12.3 k tokens/s"),
        (fmt.times, 2.345, "2.35×"),
    ],
)
def test_numbers_as_a_person_reads_them(call, value, shown):
    assert call(value) == shown


def test_a_difference_shows_its_sign():
    assert fmt.difference(2.5, 2.25) == "+0.250"
    assert fmt.difference(2.0, 2.25) == "-0.250"
    assert fmt.difference(None, 2.25) == fmt.difference(math.nan, 2.25) == fmt.NONE
    assert fmt.difference(2.0, None) == fmt.NONE


@pytest.mark.parametrize(
    "name",
    [
        *("count", "size_bytes", "whole", "seconds", "milliseconds", "percent"),
        *("loss", "perplexity", "rate", "times"),
    ],
)
@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_what_is_not_a_number_is_a_dash(name, value):
    assert getattr(fmt, name)(value) == fmt.NONE


def test_the_deviation_decides_how_many_digits_a_mean_has():
    assert fmt.mean_sd(12.3456, 0.0512) == "12.346 ± 0.051"
    assert fmt.mean_sd(1234.5, 56.0) == "1,234 ± 56"
    assert fmt.mean_sd(3.0, 0.0) == "3.00"
    assert fmt.mean_sd(3.0, None) == "3.00"
    assert fmt.mean_sd(None, 1.0) == fmt.NONE


def test_one_and_many():
    assert fmt.plural(1, "step") == "1 step"
    assert fmt.plural(1200, "step") == "1,200 steps"


@given(st.floats(0, 1e12))
def test_a_time_is_always_short(value):
    assert len(fmt.seconds(value)) <= 20


@given(st.integers(0, 10**15))
def test_a_count_is_never_off_by_more_than_its_digits(n):
    number, _, prefix = fmt.count(n).partition(" ")
    factor = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}[prefix]
    assert float(number.replace(",", "")) * factor == pytest.approx(n, rel=0.051, abs=0.51)


def test_steps_and_their_limit():
    assert fmt.budget(940, 2000, 90.0) == "940 of 2,000"
    assert fmt.budget(940, 0, 90.0) == "940 · 90 s"
    assert fmt.budget(940, 0, 7200.0) == "940 · 2 h 00 min"
    assert fmt.budget(940, 0, 0.0) == "940"
