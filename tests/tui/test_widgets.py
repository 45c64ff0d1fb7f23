"""The widgets' own drawing, which is pure: numbers in, text out."""

from __future__ import annotations

import pytest

from core.config import BenchConfig, SamplingConfig
from core.errors import ConfigError
from core.events import RunStarted
from core.presets import QUICK
from minitf_tui.readings import perplexity, run_group, training_groups
from minitf_tui.widgets.bars import Bar, drawn
from minitf_tui.widgets.form import Item, items_of, shown
from minitf_tui.widgets.readout import Group, Reading, bar_line, column_count, table
from minitf_tui.widgets.stream import _after
from tests.tui.events import started

GROUPS = (
    Group("one", (Reading("loss", "1.234", "nats"), Reading("lr", "0.1"))),
    Group("two", (Reading("step", "12"),)),
)


@pytest.mark.parametrize("width", [24, 40, 80, 200])
def test_every_line_of_a_table_is_as_long_as_the_others(width: int) -> None:
    lines = table(GROUPS, width).plain.split("\n")
    assert len({len(line) for line in lines if line}) == 1
    assert all(len(line) <= width for line in lines)


def test_groups_stand_side_by_side_where_there_is_room() -> None:
    assert column_count(GROUPS, 80) == 2
    assert column_count(GROUPS, 30) == 1
    assert table(GROUPS, 80).plain.split("\n")[0].count("─ ") == 1


def test_a_value_that_does_not_fit_says_so() -> None:
    long = Group("g", (Reading("label", "x" * 50, "unit"),))
    assert "…" in table((long,), 24).plain


def test_a_table_of_nothing() -> None:
    assert table((), 40).plain == ""


@pytest.mark.parametrize(("share", "done"), [(0.0, 0), (0.5, 5), (1.0, 10), (7.0, 10), (-1.0, 0)])
def test_a_bar_shows_its_share(share: float, done: int) -> None:
    text = bar_line("", share, "", 10).plain
    assert (text.count("━"), len(text)) == (done, 10)


def test_a_bar_gives_way_to_its_texts() -> None:
    assert "━" not in bar_line("left text", 0.5, "right text", 20).plain
    assert bar_line("left", None, "right", 20).plain == "left           right"


def test_a_bar_of_measurements_ends_at_mean_plus_sd() -> None:
    bars = (Bar("no cache", (100.0, 110.0, 90.0), 10, "red"), Bar("cache", (50.0,), 10, "green"))
    heading, first, second = drawn("decode", bars, 80).plain.split("\n")
    assert heading.startswith("decode ─")
    assert first.count("▒") >= 2
    assert "100 ± 10 ms" in first
    assert "100 tok/s" in first
    assert second.count("█") == pytest.approx(first.count("█") * 50 / 90, abs=1.5)
    assert max(len(first), len(second)) <= 80


def test_bars_before_the_first_repetition() -> None:
    assert "–" in drawn("decode", (Bar("cache", (), 10, "red"),), 60).plain


def test_the_form_shows_a_config_and_reads_it_back() -> None:
    names = ["lr", "steps", "tokenizer", "corpus", "qk_norm", "seconds"]
    items = items_of(QUICK, names)
    assert [item.name for item in items] == names
    for item in items:
        assert item.help
        value = item.parse(shown(item.value))
        assert (value, type(value)) == (item.value, type(item.value))


@pytest.mark.parametrize("config", [BenchConfig(), SamplingConfig()])
def test_flat_configs_too(config: object) -> None:
    names = list(type(config).__dataclass_fields__)  # type: ignore[attr-defined]
    assert [item.value for item in items_of(config, names)] == [getattr(config, n) for n in names]


@pytest.mark.parametrize(("text", "value"), [("1,024", 1024), (" 7 ", 7), ("1_000", 1000)])
def test_numbers_are_read_kindly(text: str, value: int) -> None:
    assert Item("n", 1, "").parse(text) == value


@pytest.mark.parametrize("text", ["", "1.5", "[/x]", "1e3"])
def test_what_is_no_whole_number_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a whole number") as caught:
        Item("n", 16, "").parse(text)
    assert caught.value.hint == "Try 16."


def test_what_is_left_of_a_stream_after_freezing() -> None:
    pieces = [("abc", "dim"), ("def", ""), ("ghi", "")]
    assert _after(pieces, 0) == pieces
    assert _after(pieces, 4) == [("ef", ""), ("ghi", "")]
    assert _after(pieces, 9) == []


def test_readings_before_anything_is_known_are_dashes() -> None:
    values = [r.value for group in training_groups(None, None) for r in group.readings]
    assert set(values) == {"–"}


def test_a_perplexity_too_large_to_mean_anything_is_none() -> None:
    assert perplexity(1000.0) is None
    assert perplexity(None) is None
    assert perplexity(0.0) == 1.0


def test_the_run_is_told_with_its_units() -> None:
    event: RunStarted = started()
    units = {r.label: r.unit for r in run_group(event).readings}
    assert units["vocabulary"] == "tokens"
    assert units["density"] == "bytes/tok"
