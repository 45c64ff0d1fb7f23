"""The help is made from the bindings: what it names is bound, and what is bound it names."""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot

from minitf_tui.app import PANES, MinitfApp
from minitf_tui.widgets.help import HelpScreen, Section, key_name, sections
from tests.tui.pilot import screen_text
from tests.tui.scripted import app_with

NAMES = [pane.NAME for pane in PANES]
ENDS_THE_APP = {"q"}


async def shown(pilot: Pilot[Any], name: str) -> list[Section]:
    app: Any = pilot.app
    await app.action_show(name)
    await pilot.pause()
    return sections(app.pane, MinitfApp.BINDINGS)


@pytest.mark.parametrize("name", NAMES)
async def test_help_opens_closes_and_names_every_key_of_the_pane(name: str) -> None:
    app = app_with()
    async with app.run_test(size=(120, 60)) as pilot:
        found = await shown(pilot, name)
        await pilot.press("question_mark")
        await pilot.pause()
        text = screen_text(app)
        for section in found:
            assert section.heading in text
            assert all((key.tooltip or key.description) in text for key in section.bindings)
        assert "Ctrl+C" in text
        assert "Ctrl+P" in text
        await pilot.press("escape")
        await pilot.pause()
        assert len(app.screen_stack) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
async def test_every_key_that_the_help_names_is_bound_and_does_not_fail(name: str) -> None:
    app = app_with()
    async with app.run_test(size=(80, 24)) as pilot:
        for section in await shown(pilot, name):
            for key in (key for binding in section.bindings for key in binding.key.split(",")):
                owners = [app]
                if section.heading == "in the settings":
                    app.pane.edit()
                    form = app.pane.query("Form, RunForm").first()
                    owners = [form, *form.query("*")]
                assert any(key in node._bindings.key_to_bindings for node in owners), key
                if key in ENDS_THE_APP:
                    continue
                await pilot.press(key)
                assert app.is_running, key
                while len(app.screen_stack) > 1:
                    await app.pop_screen()
                app.set_focus(None)
                if name != app.pane.NAME:
                    await app.action_show(name)


@pytest.mark.parametrize("name", NAMES)
async def test_every_key_that_is_in_the_footer_is_in_the_help(name: str) -> None:
    app = app_with()
    async with app.run_test(size=(120, 36)) as pilot:
        named = {
            key
            for section in await shown(pilot, name)
            for binding in section.bindings
            for key in binding.key.split(",")
        }
        bound = app.screen.active_bindings.items()
        assert {key for key, active in bound if active.binding.show} <= named


async def test_keys_that_would_do_nothing_now_are_known() -> None:
    app = app_with()
    async with app.run_test(size=(80, 24)) as pilot:
        train = (await shown(pilot, "train"))[0]
        assert {"p", "s", "y"} <= train.idle
        assert "r" not in train.idle


async def test_a_long_page_scrolls_on_a_small_screen() -> None:
    app = app_with()
    async with app.run_test(size=(80, 16)) as pilot:
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(app.screen, HelpScreen)
        top = screen_text(app)
        await pilot.press("G")
        await pilot.pause()
        assert screen_text(app) != top
        await pilot.press("g")
        await pilot.pause()
        assert screen_text(app) == top
        for key in ("j", "k", "pagedown", "pageup", "space", "down", "up", "end", "home"):
            await pilot.press(key)
        await pilot.press("q")
        await pilot.pause()
        assert len(app.screen_stack) == 1


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("question_mark", "?"),
        ("left_square_bracket", "["),
        ("ctrl+p", "Ctrl+P"),
        ("G", "G"),
        ("g", "g"),
        ("up", "↑"),
        ("space", "Space"),
        ("escape", "Escape"),
    ],
)
def test_a_key_is_called_as_on_the_keyboard(key: str, name: str) -> None:
    assert key_name(key) == name


async def test_brackets_go_round_the_panes() -> None:
    app = app_with()
    async with app.run_test(size=(80, 24)) as pilot:
        seen = []
        for _ in NAMES:
            await pilot.press("right_square_bracket")
            seen.append(app.pane.NAME)
        assert seen == [*NAMES[1:], NAMES[0]]
        await pilot.press("left_square_bracket")
        assert NAMES[-1] == app.pane.NAME
