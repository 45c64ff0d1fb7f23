"""What the Runs pane does with a run: use it everywhere, resume it, delete it."""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot

from core import paths
from core.store.files import FileLock
from minitf_tui.panes.runs import RunsPane
from tests.tui.pilot import BROAD, NARROW, screen_text, settle
from tests.tui.runs_pane import opened, seen, two_runs
from tests.tui.scripted import Script, app_with
from tests.tui.stories import generation_story

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
