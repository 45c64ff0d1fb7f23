"""The command palette: what it offers, and that choosing it does it."""

from __future__ import annotations

from typing import Any

import pytest
from textual.command import CommandPalette
from textual.pilot import Pilot
from textual.widgets import Input

from core.presets import ABOUT
from minitf_tui import commands
from minitf_tui.commands import Command, pane_commands, run_commands, run_names, setting_commands
from minitf_tui.settings import load_settings
from tests.tui.events import finished, started
from tests.tui.pilot import screen_text, settle
from tests.tui.runs_on_disk import make_run
from tests.tui.scripted import Endless, Script, app_with

SIZE = (120, 36)


async def choose(pilot: Pilot[Any], words: str, *, opener: str = "ctrl+p") -> None:
    app: Any = pilot.app
    await pilot.press(opener)
    await pilot.pause()
    assert isinstance(app.screen, CommandPalette)
    app.screen.query_one(Input).value = words
    await pilot.pause()
    await app.workers.wait_for_complete()
    await pilot.pause()
    assert words.lower() in screen_text(app).lower()
    await pilot.press("enter")
    await pilot.pause()
    await app.workers.wait_for_complete()
    await pilot.pause()


async def offered(pilot: Pilot[Any]) -> str:
    app: Any = pilot.app
    await pilot.press("ctrl+p")
    await pilot.pause()
    await app.workers.wait_for_complete()
    await pilot.pause()
    return screen_text(app)


@pytest.mark.parametrize("opener", ["ctrl+p", "colon"])
async def test_a_pane_can_be_gone_to(opener: str) -> None:
    app = app_with()
    async with app.run_test(size=SIZE) as pilot:
        await choose(pilot, "Go to Benchmark", opener=opener)
        assert app.pane.NAME == "benchmark"


async def test_what_the_pane_can_do_now_comes_first_with_its_key() -> None:
    app = app_with(training=Endless())
    async with app.run_test(size=SIZE) as pilot:
        text = await offered(pilot)
        assert "Train: run" in text
        assert "start a run with these settings" in text
        assert "Train: pause" not in text
        await pilot.press("escape")
        await choose(pilot, "Train: run")
        assert app.pane.is_active
        names = [command.name for command in pane_commands(app)]
        assert "Train: pause" in names
        assert "Train: run" not in names
        app.device.stop_all()
        await settle(pilot)


async def test_an_import_is_offered_once_also_in_the_pane_that_has_a_key_for_it() -> None:
    app = app_with()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("5")
        await pilot.pause()
        assert "Runs: import" not in [command.name for command in pane_commands(app)]
        (found,) = [c for c in run_commands(app, []) if c.name == "Import a model"]
        assert found.help == "make a run of a model from elsewhere"


async def test_a_preset_fills_the_form_of_the_train_pane() -> None:
    app = app_with()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("2")
        await choose(pilot, "Train: preset seed")
        assert app.pane.NAME == "train"
        assert app.pane.form.config().train.steps == 100  # type: ignore[attr-defined]
    assert "seed" in ABOUT


async def test_a_theme_is_chosen_and_remembered() -> None:
    app = app_with()
    async with app.run_test(size=SIZE) as pilot:
        await choose(pilot, "Theme: dracula")
        assert app.theme == "dracula"
    assert load_settings()[0].theme == "dracula"


async def test_every_setting_can_be_changed_by_name() -> None:
    app = app_with()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        names = [command.name for command in setting_commands(app)]
        for name in (
            "Theme: minitf-light",
            "Log y: on",
            "Markers: ascii",
            "Low bandwidth: on",
            "Smoothing: 0.99",
            "Plot share: 0.01",
        ):
            assert name in names
        assert "Markers: braille" not in names  # it is so already
        for command in list(setting_commands(app)):
            command.do()
        await app.workers.wait_for_complete()
    assert load_settings()[0] == app.settings
    assert app.settings.low_bandwidth


async def test_runs_are_used_and_resumed_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    make_run("one-run")
    make_run("other-run")
    resumed: list[str] = []
    app = app_with()
    async with app.run_test(size=SIZE) as pilot:
        monkeypatch.setattr(app.pane, "resume", resumed.append)
        await choose(pilot, "Use run other-run")
        assert app.used_run == "other-run"
        await pilot.press("3")
        assert app.pane.query_one("#row-run").field.value == "other-run"  # type: ignore[attr-defined]
        await choose(pilot, "Resume run one-run")
        assert app.pane.NAME == "train"
    assert resumed == ["one-run"]


def test_run_names_of_no_folder_and_of_folders_that_are_none(minitf_home: Any) -> None:
    assert run_names() == []
    make_run("a")
    (minitf_home / "runs" / "[x]").mkdir()
    (minitf_home / "runs" / "empty").mkdir()
    assert run_names() == ["a"]


async def test_hostile_words_are_shown_and_found_as_what_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[str] = []

    def hostile(*_: Any) -> list[Command]:
        return [Command("[/foo] [b]x", "[/bar] what", lambda: done.append("x"), "z")]

    monkeypatch.setattr(commands, "pane_commands", hostile)
    app = app_with()
    async with app.run_test(size=SIZE) as pilot:
        text = await offered(pilot)
        assert "[/foo] [b]x" in text
        assert "[/bar] what" in text
        await pilot.press("escape")
        await choose(pilot, "[b]x")
    assert done == ["x"]


async def test_help_and_quit_are_there() -> None:
    app = app_with(training=Script([started(), finished()]))
    async with app.run_test(size=SIZE) as pilot:
        await choose(pilot, "Help")
        assert "in the settings" in screen_text(app)
        await pilot.press("escape")
        await choose(pilot, "Quit")
    assert app.return_code == 0


async def test_low_bandwidth_looks_less_often() -> None:
    app = app_with()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        looks: list[int] = []
        app.pane.tick = lambda: looks.append(1)  # type: ignore[method-assign]
        for _ in range(40):
            app.look()
        often = len(looks)
        app.change_settings(low_bandwidth=True)
        looks.clear()
        for _ in range(40):
            app.look()
        assert often >= 40
        assert len(looks) <= 5
