"""The Runs pane over runs on disk."""

from __future__ import annotations

import asyncio
import math
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from core import paths
from core.events import Baseline, BaselinesCounted
from core.store import summary
from core.store.files import FileLock
from core.store.metrics import MetricsWriter
from core.store.run_names import NAME_PATTERN
from minitf_tui import comparison
from minitf_tui.comparison import (
    COLOURS,
    comparison_figure,
    config_differences,
    curve_of,
    is_per_byte,
)
from minitf_tui.panes.runs import RunsPane
from minitf_tui.run_list import RunReader, Seen
from minitf_tui.run_readings import (
    COLUMNS,
    baseline_groups,
    budget,
    checkpoints_line,
    columns_for,
    difference_table,
    heading,
    moment,
    row,
)
from tests.tui.events import step
from tests.tui.pilot import screen_text, settle
from tests.tui.runs_on_disk import CONFIG, make_run
from tests.tui.scripted import Script, app_with
from tests.tui.stories import generation_story

NARROW, BROAD, VAST = (80, 24), (120, 36), (200, 60)


async def seen(pilot: Pilot[Any]) -> str:
    """The screen, once the disk has been read after all that happened."""
    app: Any = pilot.app
    pane = app.pane
    for _ in range(3):
        pane.look_again()
        app.look()
        await app.workers.wait_for_complete()
        await pilot.pause()
    return screen_text(app)


async def opened(pilot: Pilot[Any]) -> str:
    await pilot.press("5")
    return await seen(pilot)


def two_runs() -> None:
    make_run("old-one", steps=60, loss=2.25, age_s=100, lr=0.003)
    make_run("new-one", steps=40, loss=1.75, n_layers=2)


# The list.


async def test_an_empty_pane_says_which_key_comes_next() -> None:
    app = app_with()
    async with app.run_test(size=NARROW) as pilot:
        text = await opened(pilot)
        assert "There are no runs yet." in text
        assert "1   go to Train, where r starts one" in text
        for key in ("o", "u", "space", "d", "x", "v", "j", "G", "enter"):
            await pilot.press(key)  # nothing to act on: nothing happens
        assert "t theme" in screen_text(app)
        assert "d delete" not in screen_text(app)


async def test_nothing_is_said_of_runs_before_the_disk_was_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    is_read = threading.Event()

    def slow(*_: Any) -> Seen:
        is_read.wait(10)
        return Seen()

    monkeypatch.setattr("minitf_tui.run_list.RunReader.look", slow)
    app = app_with()
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("5")
        await pilot.pause()
        assert "There are no runs yet." not in screen_text(app)
        is_read.set()
        assert "There are no runs yet." in await seen(pilot)


@pytest.mark.parametrize("size", [NARROW, BROAD, VAST, (60, 16)])
async def test_runs_are_listed_newest_first_and_every_line_fits(size: tuple[int, int]) -> None:
    two_runs()
    app = app_with()
    async with app.run_test(size=size) as pilot:
        text = await opened(pilot)
        lines = text.splitlines()
        assert len(lines) <= size[1]
        assert all(len(line) <= size[0] for line in lines)
        assert text.index("new-one") < text.index("old-one")
        assert "1.750" in text
        assert "2.250" in text


async def test_the_details_of_the_highlighted_run_stand_beside_the_list() -> None:
    two_runs()
    app = app_with()
    async with app.run_test(size=BROAD) as pilot:
        text = await opened(pilot)
        for part in (
            "454.0 k",
            "1.750 at 40",
            "0, 40",
            "2 × 128",
            "finished",
            "sample",
            "wrote this",
        ):
            assert part in text, part
        await pilot.press("j")
        text = await seen(pilot)
        assert "2.250 at 60" in text
        assert "1 × 128" in text


def test_a_run_with_odd_files_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    two_runs()
    for module, reader in ((summary, "summarise"), (comparison, "curve_of")):
        monkeypatch.setattr(module, reader, _choking_on_old_one(getattr(module, reader)))
    found = RunReader().look(["old-one", "new-one"], 0.9)
    assert [run.name for run in found.runs] == ["new-one"]
    assert found.unreadable == ("old-one",)
    assert list(found.details) == ["new-one"]


def _choking_on_old_one(read: Any) -> Any:
    def choke(run: Any, *others: Any) -> Any:
        if getattr(run, "name", run) == "old-one":
            raise TypeError("int() argument must be a number, not 'NoneType'")
        return read(run, *others)

    return choke


async def test_the_disk_is_left_alone_for_a_while_after_a_look_that_failed() -> None:
    def fail(*_: Any) -> Any:
        raise ZeroDivisionError

    app = app_with()
    async with app.run_test(size=NARROW) as pilot:
        await opened(pilot)
        pane = app.query_one(RunsPane)
        pane._reader.look = fail  # type: ignore[method-assign]
        pane.look_again()
        with pytest.raises(ZeroDivisionError):
            await pane._look()
        assert pane._due > time.monotonic()


async def test_a_new_run_and_a_deleted_one_are_noticed_and_the_highlight_stays() -> None:
    two_runs()
    app = app_with()
    async with app.run_test(size=NARROW) as pilot:
        await opened(pilot)
        await pilot.press("j")
        make_run("newest")
        text = await seen(pilot)
        assert text.index("newest") < text.index("new-one")
        assert "›" in next(line for line in text.splitlines() if "old-one" in line)


@pytest.mark.slow
async def test_vim_keys_page_keys_and_the_mouse_move_the_highlight() -> None:
    for n in range(30):
        make_run(f"run-{n:02d}", steps=1, age_s=1000 + n)
    app = app_with()
    async with app.run_test(size=NARROW) as pilot:
        await opened(pilot)
        table = app.pane._table  # type: ignore[attr-defined]

        async def after(key: str) -> str:
            await pilot.press(key)
            await pilot.pause()
            return table.run.name

        assert await after("j") == "run-01"
        assert await after("down") == "run-02"
        assert await after("k") == "run-01"
        assert await after("G") == "run-29"
        assert "run-29" in screen_text(app)
        assert await after("up") == "run-28"
        assert await after("g") == "run-00"
        assert await after("pagedown") == f"run-{table.page:02d}"
        assert await after("pageup") == "run-00"
        assert await after("end") == "run-29"
        assert await after("home") == "run-00"
        await pilot.click(table, offset=(5, 3))
        assert table.run.name == "run-02"
        await pilot.click(table, offset=(5, 0))
        assert table.run.name == "run-02"
        await pilot._post_mouse_events([_scroll()], table)
        await pilot.pause()
        assert table.run.name == "run-05"


def _scroll() -> Any:
    from textual.events import MouseScrollDown

    return MouseScrollDown


async def test_a_folder_that_cannot_be_read_is_named_and_the_rest_is_listed() -> None:
    two_runs()
    broken = paths.runs_dir() / "broken"
    broken.mkdir()
    (broken / "run.toml").write_text("format = [")
    (paths.runs_dir() / "[no] \x1b[2J run").mkdir()
    app = app_with()
    async with app.run_test(size=BROAD) as pilot:
        text = await opened(pilot)
        assert "unreadable: broken" in text
        assert "2 runs" in text
        assert "[no]" not in text


async def test_a_folder_of_runs_that_cannot_be_read_is_told_until_it_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(reader: RunReader) -> None:
        raise PermissionError(13, "Permission denied", "/runs")

    two_runs()
    app = app_with()
    async with app.run_test(size=NARROW) as pilot:
        await opened(pilot)
        with monkeypatch.context() as patched:
            patched.setattr(RunReader, "_summaries_now", refuse)
            text = await seen(pilot)
            assert "The system denies access: '/runs'." in text
            assert "new-one" in text
        assert "denies" not in await seen(pilot)


async def test_hostile_names_of_texts_and_samples_are_shown_as_what_they_are(
    tmp_path: Path,
) -> None:
    evil = tmp_path / "[foo] \x1b[31m.txt"
    make_run("evil", corpus=str(evil), text="[/bar]\x1b[2J\u202e end")
    app = app_with()
    async with app.run_test(size=VAST) as pilot:
        text = await opened(pilot)
        assert "[foo] ·[31m.txt" in text
        assert "[/bar]·[2J· end" in text
        assert "\x1b" not in text


# Using and going on.


@pytest.mark.slow
@pytest.mark.parametrize("key", ["o", "enter"])
async def test_using_a_run_puts_it_into_all_panes_and_says_so(key: str) -> None:
    two_runs()
    app = app_with(generation=Script(generation_story()))
    async with app.run_test(size=BROAD, notifications=True) as pilot:
        await pilot.press("2")
        await opened(pilot)
        await pilot.press("j", key)
        text = await seen(pilot)
        assert "in use: old-one" in text
        assert "All panes work with old-one now." in text
        await pilot.press("2")
        assert app.pane.query_one("#row-run").field.value == "old-one"  # type: ignore[attr-defined]
        await pilot.press("4", "g")
        await settle(pilot)
    assert app.asked[0][:2] == ("generation", "old-one")  # type: ignore[attr-defined]


async def test_a_double_click_uses_the_run() -> None:
    two_runs()
    app = app_with()
    async with app.run_test(size=BROAD) as pilot:
        await opened(pilot)
        await pilot.click("#table", offset=(5, 2), times=2)
        assert "in use: old-one" in await seen(pilot)


async def test_resuming_goes_to_the_train_pane(monkeypatch: pytest.MonkeyPatch) -> None:
    two_runs()
    asked: list[str] = []
    app = app_with()
    async with app.run_test(size=NARROW) as pilot:
        monkeypatch.setattr(app.pane, "resume", asked.append)
        await opened(pilot)
        await pilot.press("u")
        await pilot.pause()
        assert app.pane.NAME == "train"
    assert asked == ["new-one"]


# Comparing.


async def test_marked_runs_and_the_highlighted_one_share_the_plot() -> None:
    two_runs()
    make_run("third", loss=3.125, age_s=200)
    app = app_with()
    async with app.run_test(size=BROAD) as pilot:
        await opened(pilot)
        assert [c.name for c in app.pane._plot.figure.curves if c.name] == ["new-one"]  # type: ignore[attr-defined]
        await pilot.press("space")
        text = await seen(pilot)
        figure = app.pane._plot.figure  # type: ignore[attr-defined]
        assert [c.name for c in figure.curves if c.name] == ["new-one", "old-one"]
        assert "● new-one" in text
        assert "›○ old-one" in text
        assert "differences" in text
        assert [part in text for part in ("n_layers", "lr", "d_model")] == [True, True, False]
        await pilot.press("space")
        text = await seen(pilot)
        names = [c.name for c in app.pane._plot.figure.curves if c.name]  # type: ignore[attr-defined]
        assert names == ["new-one", "old-one", "third"]
        assert "differences" not in text
        await pilot.press("g", "space")
        await seen(pilot)
        assert app.pane._marked == ["old-one"]  # type: ignore[attr-defined]


async def test_x_goes_round_the_axes_and_y_is_remembered() -> None:
    two_runs()
    app = app_with()
    async with app.run_test(size=NARROW) as pilot:
        await opened(pilot)
        labels = []
        for _ in range(4):
            labels.append(app.pane._plot.figure.x_label)  # type: ignore[attr-defined]
            await pilot.press("x")
        assert labels == ["step", "tokens", "training seconds", "step"]
        await pilot.press("y")
        assert "nats/token (log)" in await seen(pilot)
        assert app.settings.log_y


async def test_v_shows_details_where_there_is_no_room_for_both() -> None:
    two_runs()
    app = app_with()
    async with app.run_test(size=NARROW) as pilot:
        assert "parameters" not in await opened(pilot)
        await pilot.press("v")
        text = await seen(pilot)
        assert "parameters" in text
        assert "nats/token" not in text
        await pilot.press("v")
        assert "nats/token" in await seen(pilot)


# Deleting.


async def test_deleting_asks_names_run_and_size_and_no_keeps_it() -> None:
    two_runs()
    app = app_with()
    async with app.run_test(size=NARROW) as pilot:
        await opened(pilot)
        for no in ("n", "escape", "enter", "q"):
            await pilot.press("d")
            await pilot.pause()
            text = screen_text(app)
            assert "Delete the run new-one" in text
            assert "KiB" in text
            assert "2 checkpoints" in text
            await pilot.press(no)
            await pilot.pause()
            assert len(app.screen_stack) == 1
        assert (paths.runs_dir() / "new-one").is_dir()


@pytest.mark.parametrize("is_clicked", [False, True])
async def test_yes_deletes_it_and_what_used_it_uses_the_last(is_clicked: bool) -> None:
    two_runs()
    app = app_with()
    async with app.run_test(size=NARROW) as pilot:
        await opened(pilot)
        await pilot.press("o", "d")
        await pilot.pause()
        await (pilot.click("Answer") if is_clicked else pilot.press("y"))
        text = await seen(pilot)
        assert not (paths.runs_dir() / "new-one").exists()
        assert "new-one" not in text
        assert "in use: last" in text


@pytest.mark.slow
async def test_a_run_in_training_is_never_deleted_nor_resumed_and_the_refusal_stays() -> None:
    two_runs()
    app, lock = app_with(), FileLock(paths.runs_dir() / "new-one" / "lock")
    assert lock.acquire()
    async with app.run_test(size=NARROW) as pilot:
        assert "running" in await opened(pilot)
        await pilot.press("d")
        text = await seen(pilot)
        assert "The run new-one is being trained and cannot be deleted." in text
        assert "Stop it first: with s in the Train pane, or where it was started." in text
        assert "Stop it first: with s in the Train pane, or where it was started." in text
        assert "Runs !" in text.splitlines()[0]
        assert len(app.screen_stack) == 1
        await pilot.press("u")
        assert "The run new-one is being trained already." in await seen(pilot)
        assert app.pane.NAME == "runs"
        await pilot.press("1")
        assert "Runs !" in await at_train(pilot)
        lock.release()  # noticed from another pane, too
        app.query_one(RunsPane).look_again()
        await at_train(pilot)
        await app.workers.wait_for_complete()
        assert "Runs !" not in await at_train(pilot)
        await pilot.press("5")
        assert "being trained" not in await seen(pilot)
        assert (paths.runs_dir() / "new-one").is_dir()


async def at_train(pilot: Pilot[Any]) -> str:
    await settle(pilot)
    return screen_text(pilot.app).splitlines()[0]


async def test_a_trainer_that_was_faster_than_the_yes_is_not_deleted() -> None:
    two_runs()
    app = app_with()
    async with app.run_test(size=NARROW) as pilot:
        await opened(pilot)
        await pilot.press("d")
        await pilot.pause()
        lock = FileLock(paths.runs_dir() / "new-one" / "lock")
        assert lock.acquire()
        await pilot.press("y")
        assert "is in use by another minitf" in await seen(pilot)
        assert (paths.runs_dir() / "new-one" / "run.toml").is_file()
        lock.release()


async def test_a_refusal_of_the_system_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    two_runs()

    def refuse(name: str) -> None:
        raise PermissionError(13, "Permission denied", f"/runs/{name}")

    monkeypatch.setattr("minitf_tui.widgets.deleting.delete", refuse)
    app = app_with()
    async with app.run_test(size=NARROW) as pilot:
        await opened(pilot)
        await pilot.press("d", "y")
        await seen(pilot)
        assert "The system denies access: '/runs/new-one'." in await seen(pilot)


# The reader.


def test_only_what_changed_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    two_runs()
    reader, read = RunReader(), []
    monkeypatch.setattr("core.store.summary.summarise", _counted(read))
    assert [run.name for run in reader.look([], 0.9).runs] == ["new-one", "old-one"]
    assert sorted(read) == ["new-one", "old-one"]
    reader.look([], 0.9)
    assert len(read) == 2
    path = paths.runs_dir() / "old-one"
    with MetricsWriter(path) as metrics:
        metrics.write(step(61))
    os.utime(path / "metrics.jsonl", (time.time() + 5, time.time() + 5))
    seen_now = reader.look([], 0.9)
    assert [(run.name, run.step) for run in seen_now.runs] == [("old-one", 61), ("new-one", 40)]
    assert read[2:] == ["old-one"]


def _counted(read: list[str]) -> Any:
    from core.store.summary import summarise

    def counting(run: Any) -> Any:
        read.append(run.name)
        return summarise(run)

    return counting


def test_a_run_whose_trainer_was_killed_does_not_run_for_ever() -> None:
    make_run("a")
    reader, lock = RunReader(), FileLock(paths.runs_dir() / "a" / "lock")
    assert lock.acquire()
    assert reader.look([], 0.9).runs[0].state == "running"
    lock.release()
    assert reader.look([], 0.9).runs[0].state == "finished"


def test_details_are_kept_until_the_files_or_the_smoothing_change() -> None:
    make_run("a")
    reader = RunReader()
    first = reader.look(["a", "gone"], 0.9).details
    assert list(first) == ["a"]
    assert reader.look(["a"], 0.9).details["a"] is first["a"]
    again = reader.look(["a"], 0.0).details["a"]
    assert again.curve.steps["loss"][-1] == pytest.approx(step(40).loss)
    assert first["a"].curve.steps["loss"][-1] != pytest.approx(step(40).loss)


# Figures and words.


def events(run: str = "a", **about: Any) -> list[dict[str, Any]]:
    return [
        {"event": "RunStarted", "run": run, "bytes_per_token": 3.0, "vocab_size": 512} | about,
        *(
            {"event": "StepCompleted", "step": n, "loss": 4.0, "tokens": 10 * n, "train_s": n / 2}
            for n in (1, 2, 3)
        ),
        {"event": "ValidationCompleted", "step": 2, "loss": 3.0},
    ]


def test_validations_stand_at_the_tokens_of_their_step() -> None:
    curve = curve_of("a", events(), 0.9)
    assert curve.validations["tokens"].tolist() == [20.0]
    assert curve.validations["train_s"].tolist() == [1.0]
    assert curve.steps["loss"].tolist() == pytest.approx([4.0, 4.0, 4.0])


def test_lines_that_lack_a_number_are_left_out() -> None:
    bad: list[dict[str, Any]] = [
        {"event": "StepCompleted", "step": 4, "loss": None, "tokens": 40, "train_s": 2.0},
        {"event": "StepCompleted", "step": "x", "loss": 1.0, "tokens": 40, "train_s": 2.0},
        {"event": "StepCompleted"},
    ]
    assert len(curve_of("a", [*events(), *bad], 0.9).steps["step"]) == 3
    assert len(curve_of("a", [], 0.9).steps["step"]) == 0
    assert curve_of("a", [{"event": "RunStarted", "vocab_size": "?"}], 0.9).vocab_size == 0


def test_runs_of_one_tokenizer_are_compared_in_nats_and_of_several_in_bits_per_byte() -> None:
    a, b = curve_of("a", events("a"), 0.9), curve_of("b", events("b", vocab_size=256), 0.9)
    same = comparison_figure((a, a), x_axis="step", dots="braille")
    assert same.title == "loss, nats/token"
    assert same.curves[0].y[0] == 4.0
    both = comparison_figure((a, b), x_axis="tokens", dots="braille")
    assert both.title == "bits/byte"
    assert both.curves[0].y[0] == pytest.approx(4.0 / math.log(2) / 3.0)
    assert both.curves[1].value == f"{3.0 / math.log(2) / 3.0:.3f}"
    unknown = curve_of("c", events("c", vocab_size=9, bytes_per_token=None), 0.9)
    assert not is_per_byte((a, unknown))


def test_colours_begin_again() -> None:
    curves = [curve_of(str(n), events(), 0.9) for n in range(len(COLOURS) + 1)]
    figure = comparison_figure(curves, x_axis="step", dots="*", log_y=True)
    assert figure.curves[0].colour == figure.curves[-1].colour
    assert figure.log_y


def test_only_what_differs_is_in_the_differences() -> None:
    other = CONFIG.with_changes(lr=0.5, qk_norm=not CONFIG.model.qk_norm, corpus="[/x]")
    found = config_differences(CONFIG, other)
    assert [name for name, _, _ in found] == ["qk_norm", "corpus", "lr"]
    assert found[2] == ("lr", "0.001", "0.5")
    assert config_differences(CONFIG, CONFIG) == []
    same = difference_table(("a", "b"), ("accent", "warning"), [], 40).plain
    assert "a and b have the same settings." in same


def test_a_long_name_keeps_its_end_in_the_differences() -> None:
    names = ("a-very-long-name-of-a-run-1", "a-very-long-name-of-a-run-2")
    table = difference_table(names, ("accent", "warning"), [("lr", "1", "2")], 40).plain
    assert "run-1" in table
    assert "run-2" in table
    assert all(len(line) <= 40 for line in table.split("\n"))


@pytest.mark.parametrize("width", [30, 48, 76, 116, 160])
def test_every_row_of_the_list_is_as_wide_as_the_list(width: int) -> None:
    make_run("a" * 64)
    run = RunReader().look([], 0.9).runs[0]
    assert len(heading(width).plain) == width
    assert len(row(run, width, mark="accent", is_kept=True, is_here=True).plain) == width
    assert NAME_PATTERN.fullmatch(run.name)


def test_the_most_wanted_columns_stay_longest() -> None:
    assert [c.heading for c in columns_for(40)] == ["state", "loss"]
    assert columns_for(200) == list(COLUMNS)


def test_words_of_the_list() -> None:
    make_run("a", steps=40)
    run = RunReader().look([], 0.9).runs[0]
    assert budget(run) == "40 of 100"
    assert checkpoints_line(()) == "none yet"
    assert checkpoints_line(range(0, 1000, 100)) == "…, 600, 700, 800, 900"
    assert moment("[/x] \x1b no date") == "[/x] · no d"
    assert moment("") == "–"
    assert moment("2026-11-24T12:00:00").startswith("11-")


@pytest.mark.slow
async def test_two_hundred_runs_do_not_hold_up_a_key() -> None:
    for n in range(200):
        make_run(f"run-{n:03d}", steps=20, age_s=n)
    app = app_with()
    async with app.run_test(size=BROAD) as pilot:
        await opened(pilot)
        assert isinstance(app.pane, RunsPane)
        await pilot.press("G")
        assert "run-199" in await seen(pilot)
        await asyncio.sleep(0)


def test_baselines_stand_beside_the_run_with_what_they_were_counted_on() -> None:
    make_run("one", loss=3.0)
    kinds = [Baseline(name="2-gram", loss=2.5, kind="ngram")]
    kinds.append(Baseline(name="uniform", loss=7.0, kind="uniform"))
    told = BaselinesCounted(baselines=tuple(kinds), counted_tokens=2_000_000, scored_tokens=9)
    with MetricsWriter(paths.runs_dir() / "one") as metrics:
        metrics.write(told)
    seen = RunReader().look(["one"], 0.0)
    (group,) = baseline_groups(seen.runs[0], seen.details["one"])
    assert [(r.label, r.value, r.unit) for r in group.readings] == [
        ("uniform", "7.000", "passed"),
        ("2-gram", "2.500", ""),
        ("counted in the last", "2.0 M", "tokens"),
    ]
    make_run("bare")
    seen = RunReader().look(["bare"], 0.0)
    assert baseline_groups(seen.runs[0], seen.details["bare"]) == ()
