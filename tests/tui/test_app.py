"""The app around its panes: entry, leaving, one device, and terminals of other kinds."""

from __future__ import annotations

from typing import Any

import pytest
from textual.widgets import Input

from core.presets import QUICK
from minitf_tui.app import is_first_start
from minitf_tui.theme import DARK, LIGHT
from tests.tui.events import finished, started
from tests.tui.pilot import NARROW, SIZES, footer, reach, screen_text, settle
from tests.tui.scripted import Endless, Script, app_with
from tests.tui.stories import evaluation_story, generation_story, training_story

# Entry, panes, leaving.


async def test_nothing_is_focused_on_entry() -> None:
    app = app_with()
    async with app.run_test(size=NARROW) as pilot:
        await pilot.pause()
        assert app.focused is None


@pytest.mark.parametrize("size", SIZES[:2])
@pytest.mark.parametrize(
    ("key", "name", "next_key"),
    [("1", "train", "r"), ("2", "evaluate", "e"), ("3", "benchmark", "b"), ("4", "generate", "g")],
)
async def test_an_empty_pane_shows_its_name_and_the_next_key(
    size: tuple[int, int], key: str, name: str, next_key: str
) -> None:
    app = app_with()
    async with app.run_test(size=size) as pilot:
        await pilot.press(key)
        await pilot.pause()
        text = screen_text(app)
        assert name == app.pane.NAME
        assert f"{key} {name.capitalize()}" in text.splitlines()[0]
        assert f"{next_key}   " in text
        assert all(key in footer(app) for key in (next_key, "t theme", "q quit"))
        assert app.focused is None


async def test_fields_are_entered_by_i_or_enter_and_left_by_escape() -> None:
    app = app_with()
    async with app.run_test(size=NARROW) as pilot:
        for key in ("i", "enter"):
            await pilot.press(key)
            await pilot.pause()
            assert app.focused is not None
            await pilot.press("escape")
            await pilot.pause()
            assert app.focused is None


async def test_digits_and_q_are_text_while_a_field_is_edited() -> None:
    app = app_with()
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("4")
        await pilot.pause()
        await pilot.press("i", *"q 12")
        await pilot.pause()
        assert isinstance(app.focused, Input)
        assert app.focused.value == "q 12"
        assert app.pane.NAME == "generate"
        await pilot.press("escape", "2")
        await pilot.pause()
        assert app.pane.NAME == "evaluate"


async def test_a_tab_can_be_clicked() -> None:
    app = app_with()
    async with app.run_test(size=NARROW) as pilot:
        await pilot.pause()
        await pilot.click("#tab-benchmark")
        await pilot.pause()
        assert app.pane.NAME == "benchmark"


async def test_t_changes_the_theme_and_back() -> None:
    app = app_with()
    async with app.run_test(size=NARROW) as pilot:
        assert app.theme == DARK.name
        await pilot.press("t")
        assert app.theme == LIGHT.name
        await pilot.press("t")
        assert app.theme == DARK.name


async def test_q_leaves_at_once_when_nothing_runs() -> None:
    app = app_with()
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("q")
        await pilot.pause()
    assert app.return_code == 0


@pytest.mark.parametrize("is_paused", [False, True])
async def test_q_lets_a_run_save_first(is_paused: bool) -> None:
    session = Endless()
    app = app_with(training=session)
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("r")
        await pilot.pause()
        if is_paused:
            await pilot.press("p")
        await pilot.press("q")
        await reach(pilot, session.closed)
        await settle(pilot)
    assert session.stopped.is_set()
    assert app.return_code == 0


async def test_saving_is_said_and_a_second_q_does_not_wait() -> None:
    session = Script([started()], waits=True)
    session.stop = lambda: None  # type: ignore[method-assign]
    app = app_with(training=session)
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("r")
        await reach(pilot, session.reached_gate)
        await pilot.press("q")
        await pilot.pause()
        assert "saving" in screen_text(app).splitlines()[0]
        await pilot.press("q")
        await pilot.pause()
        assert app.return_code == 0
        session.gate.set()
        await settle(pilot)


async def test_ctrl_c_says_what_leaves() -> None:
    app = app_with()
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        await pilot.press("ctrl+c")
        await pilot.pause()
        assert "q leaves" in screen_text(app)


async def test_autostart_begins_the_quick_start() -> None:
    app = app_with(autostart=True, training=Script([started(), finished()]))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.pause()
        await settle(pilot)
    assert app.asked == [("training", QUICK)]  # type: ignore[attr-defined]


def test_first_start_means_no_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("MINITF_HOME", str(tmp_path))
    assert is_first_start()
    (tmp_path / "runs").mkdir()
    assert is_first_start()
    (tmp_path / "runs" / "one").mkdir()
    assert not is_first_start()


# The device.


async def test_a_second_job_is_refused_in_its_own_pane() -> None:
    app = app_with(training=Endless(), evaluation=Script(evaluation_story()))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("r")
        await pilot.pause()
        await pilot.press("2", "e")
        await pilot.pause()
        text = screen_text(app)
        assert "busy: training is running" in text
        assert "p pauses it and s stops it" in text
        await pilot.press("1", "p")
        while app.pane.state != "paused":
            await pilot.pause()
        await pilot.press("2", "e")
        while not app.pane.results:  # type: ignore[attr-defined]
            await pilot.pause()
        await pilot.pause()
        text = screen_text(app)
        assert "busy" not in text
        assert "training, paused" in text.splitlines()[0]
        await pilot.press("1", "s")
        await settle(pilot)


async def test_the_refusal_goes_when_the_device_is_free() -> None:
    app = app_with(training=Endless(), generation=Script(generation_story()))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("r")
        await pilot.pause()
        await pilot.press("4", "g")
        await pilot.pause()
        assert app.pane.problem.display
        app.device.stop_all()
        await settle(pilot)
        assert not app.pane.problem.display


# Terminals of other kinds.


@pytest.mark.parametrize(
    "environment", [{"NO_COLOR": "1"}, {"TERM": "linux"}, {"COLORTERM": "", "TERM": "vt100"}]
)
async def test_plain_terminals(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    app = app_with(training=Script([*training_story(120), finished()]))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("r")
        await settle(pilot)
        text = screen_text(app)
        assert "loss, nats/token" in text
        has_braille = any("\u2800" < c <= "\u28ff" for c in text)
        assert has_braille == (environment.get("TERM") != "linux")
