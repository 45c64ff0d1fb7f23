"""Export in the app: what the form asks for, its job, and what is left when it is over."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input

from core.errors import ExportError
from core.events import SetupProgressed
from minitf_tui.widgets.export_box import place_of
from tests.cli.scripted import exported
from tests.tui.pilot import NARROW, reach, screen_text, settle
from tests.tui.runs_pane import opened, two_runs
from tests.tui.scripted import Endless, Script, app_with
from tests.tui.transfer_box import box_of, done, fill, press

pytestmark = pytest.mark.usefixtures("here")


async def test_the_highlighted_run_is_exported_as_the_form_says(here: Path) -> None:
    two_runs()
    app = app_with(exporting=Script([exported("gguf", run="old-one", number_type="q8_0")]))
    async with app.run_test(size=(120, 36)) as pilot:
        await opened(pilot)
        text = await press(pilot, "j", "e")
        assert "export old-one" in text
        assert box_of(app).form.texts()["place"] == str(here / "old-one-hf")
        assert "f32" not in text
        text = await press(pilot, "g", "down", "right", "right")
        assert "q8_0" in text
        assert box_of(app).form.texts()["place"] == str(here / "old-one-q8_0.gguf")
        await press(pilot, "enter")
        text = await done(pilot)
        for part in ("exported old-one", "llama.cpp and Ollama", "3.2 MiB", "llama-server -m"):
            assert part in text
        how = {"out": str(here / "old-one-q8_0.gguf"), "number_type": "q8_0", "overwrite": False}
        assert app.asked == [("exporting", "old-one", {"format": "gguf", **how})]  # type: ignore[attr-defined]


async def test_a_place_that_was_typed_stays_and_a_type_goes_with_gguf_alone() -> None:
    app = app_with(exporting=Script([exported()]))
    async with app.run_test(size=NARROW) as pilot:
        app.export_run("new-one")
        await press(pilot)
        await press(pilot, "g")
        await fill(app, pilot, type="q4_0", place=" '~/mine' ", overwrite="on")
        await press(pilot, "h", "enter")
        await done(pilot)
        how = {"format": "hf", "out": "~/mine", "number_type": "f32", "overwrite": True}
        assert app.asked == [("exporting", "new-one", how)]  # type: ignore[attr-defined]


async def test_the_path_stands_on_a_line_of_its_own_and_is_copied_with_a_key() -> None:
    app = app_with(exporting=Script([exported("gguf", path="/models/a [b]/x\udcff.gguf")]))
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        app.export_run("new-one")
        await press(pilot)
        await press(pilot, "c")  # not to be copied yet: it is the first letter of capsule
        await press(pilot, "enter")
        assert "│ /models/a [b]/x·.gguf   " in await done(pilot)
        assert app.clipboard == ""
        text = await press(pilot, "c")
        assert "The path is copied, if this terminal lets programs copy." in text
        assert app.clipboard == "/models/a [b]/x?.gguf"
        await press(pilot, "escape")
        assert len(app.screen_stack) == 1


async def test_a_stage_and_how_far_it_is_are_seen_also_in_the_top_line() -> None:
    story = [SetupProgressed(stage="writing [w]"), SetupProgressed(stage="writing [w]", share=0.4)]
    script = Script(story, waits=True)
    app = app_with(exporting=script)
    async with app.run_test(size=NARROW) as pilot:
        app.export_run("new-one")
        await press(pilot)
        await press(pilot, "enter")
        await reach(pilot, script.reached_gate)
        app._ticks = -1
        app.look()
        await pilot.pause()
        text = screen_text(app)
        assert "writing [w]  ━" in text
        assert "export 40 %" in text.splitlines()[0]
        assert "Esc stop it" in text.splitlines()[-1]
        script.gate.set()
        await done(pilot)


async def test_escape_stops_it_and_it_can_be_started_again() -> None:
    script = Script([SetupProgressed(stage="writing")], then=[exported()], waits=True)
    app = app_with(exporting=[script, Script([exported()])])
    async with app.run_test(size=NARROW) as pilot:
        app.export_run("new-one")
        await press(pilot)
        await press(pilot, "g", "enter")
        await reach(pilot, script.reached_gate)
        await press(pilot, "escape")
        assert script.stopped.is_set()
        script.gate.set()
        text = await done(pilot)
        assert script.closed.is_set()
        assert "stopped, and nothing was written; Enter starts again" in text
        assert box_of(app).form.texts()["format"] == "gguf"
        await press(pilot, "enter")
        assert "exported new-one" in await done(pilot)


async def test_a_second_escape_leaves_while_it_is_still_stopping() -> None:
    script = Script([SetupProgressed(stage="writing")], waits=True)
    app = app_with(exporting=script)
    async with app.run_test(size=NARROW) as pilot:
        app.export_run("new-one")
        await press(pilot)
        await press(pilot, "enter")
        await reach(pilot, script.reached_gate)
        await press(pilot, "escape", "escape")
        assert len(app.screen_stack) == 1
        script.gate.set()
        await settle(pilot)
        assert script.closed.is_set()


async def test_a_refusal_stands_in_the_box_and_what_was_typed_stays() -> None:
    refusal = ExportError("No [/architecture] has logit_softcap=30.0.", hint="Train without it.")
    app = app_with(exporting=[Script([], error=refusal), Script([exported()])])
    async with app.run_test(size=NARROW) as pilot:
        app.export_run("new-one")
        await press(pilot)
        await press(pilot, "down", *"/x", "enter")
        text = await done(pilot)
        assert "No [/architecture] has logit_softcap=30.0." in text
        assert "Train without it." in text
        assert isinstance(app.focused, Input)
        assert app.focused.value.endswith("new-one-hf/x")
        assert "Runs !" not in text.splitlines()[0]
        await press(pilot, "enter")
        text = await done(pilot)
        assert "exported new-one" in text
        assert "logit_softcap" not in text


async def test_a_busy_device_is_said_until_it_is_free_and_the_form_waits() -> None:
    two_runs()
    training = Endless()
    app = app_with(training=training, exporting=Script([exported()]))
    async with app.run_test(size=(120, 36)) as pilot:
        await press(pilot, "r")
        await opened(pilot)
        await press(pilot, "e", "g", "enter")
        assert "The device is busy: training is running." in screen_text(app)
        await press(pilot, "escape")
        app.device.stop_all()
        await settle(pilot)
        text = await press(pilot, "e")
        assert "The device is busy" not in text
        assert box_of(app).form.texts()["place"].endswith("new-one.gguf")  # as it was left
        await press(pilot, "escape", "e", "enter")
        await done(pilot)
        assert app.asked[-1][2]["format"] == "gguf"  # type: ignore[attr-defined]
        await press(pilot, "escape", "e")  # done: the next one begins anew
        assert box_of(app).form.texts()["place"].endswith("new-one-hf")


async def test_leaving_the_app_ends_an_export_first() -> None:
    script = Script([SetupProgressed(stage="writing")], waits=True)
    app = app_with(exporting=script)
    async with app.run_test(size=NARROW) as pilot:
        app.export_run("new-one")
        await press(pilot)
        await press(pilot, "enter")
        await reach(pilot, script.reached_gate)
        await pilot.press("ctrl+q")
        await pilot.pause()
        script.gate.set()
        await settle(pilot)
    assert script.closed.is_set()
    assert app.return_code == 0


def test_a_working_folder_that_is_gone_or_no_text_costs_a_longer_name_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gone(_name: str) -> Path:
        raise FileNotFoundError

    assert Path(place_of("a", "gguf", "q8_0")) == Path.cwd() / "a-q8_0.gguf"
    assert Path(place_of("a", "hf", "q8_0")) == Path.cwd() / "a-hf"
    monkeypatch.setattr("core.paths.absolute", lambda name: Path("/x\udcff") / name)
    assert place_of("a", "capsule", "f32") == "a.tar.gz"
    monkeypatch.setattr("core.paths.absolute", gone)
    assert place_of("a", "capsule", "f32") == "a.tar.gz"
