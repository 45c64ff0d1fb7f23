"""The Runs pane lists what is on disk, newest first, and notices what changes there."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from core import paths
from minitf_tui.panes.runs import RunsPane
from minitf_tui.run_list import RunReader, Seen
from tests.tui.pilot import BROAD, NARROW, VAST, screen_text
from tests.tui.runs_on_disk import make_run
from tests.tui.runs_pane import opened, seen, two_runs
from tests.tui.scripted import app_with


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
