"""Export and import in the app: the box, its job, and what is left when it is over."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Input

from core.errors import ExportError, FormatError
from core.events import SetupProgressed
from minitf_tui import transfer_readings as readings
from minitf_tui.app import MinitfApp
from minitf_tui.panes.runs import RunsPane
from minitf_tui.widgets.export_box import ExportBox, place_of
from minitf_tui.widgets.transfer import Transfer, TransferScreen, bare
from tests.cli.scripted import exported, imported
from tests.tui.pilot import NARROW, reach, screen_text, settle
from tests.tui.runs_on_disk import make_run
from tests.tui.runs_pane import opened, seen, two_runs
from tests.tui.scripted import Endless, Script, app_with
from tests.tui.test_palette import choose

SIZES = [NARROW, (120, 36), (200, 60), (60, 16)]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def box_of(app: Any) -> Transfer[Any]:
    assert isinstance(app.screen, TransferScreen)
    return app.screen.box


async def press(pilot: Pilot[Any], *keys: str) -> str:
    for key in keys:
        await pilot.press(key)
        await pilot.pause()
    await pilot.pause()
    return screen_text(pilot.app)


def at_once(app: Any, *keys: str) -> None:
    """Keys that come faster than any of them is heard."""
    for key in keys:
        app.post_message(Key(key, " " if key == "space" else key if len(key) == 1 else None))


async def done(pilot: Pilot[Any]) -> str:
    await settle(pilot)
    return screen_text(pilot.app)


async def fill(app: Any, pilot: Pilot[Any], **values: str) -> None:
    box_of(app).form.fill(values)
    await pilot.pause()


# Export.


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


# Import.


async def test_a_model_becomes_a_run_that_is_highlighted_and_used_with_one_key() -> None:
    two_runs()
    script = Script([SetupProgressed(stage="reading")], then=[imported(run="newcomer")], waits=True)
    app = app_with(importing=script)
    async with app.run_test(size=NARROW) as pilot:
        await opened(pilot)
        await press(pilot, "i", *"m.bin", "enter")
        await reach(pilot, script.reached_gate)
        make_run("newcomer", age_s=1000)  # what the real one does
        script.gate.set()
        text = await done(pilot)
        for part in ("imported stories15M.bin", "newcomer", "15.2 M parameters", "32,000 tokens"):
            assert part in text
        assert "o use it in all panes" in text.splitlines()[-1]
        await press(pilot, "escape")
        text = await seen(pilot)
        assert "›" in next(line for line in text.splitlines() if "newcomer" in line)
        await press(pilot, "o")
        assert "in use: newcomer" in await seen(pilot)
    corpus = {"corpus": "python-docs", "max_seq_len": 0}
    how = {"name": None, "tokenizer": None, **corpus}
    assert app.asked == [("importing", "m.bin", how)]  # type: ignore[attr-defined]


async def test_it_can_be_used_from_the_box_itself() -> None:
    app = app_with(importing=Script([imported(run="newcomer")]))
    async with app.run_test(size=NARROW, notifications=True) as pilot:
        assert "i   import a model from elsewhere" in await opened(pilot)
        await press(pilot, "i", "x", "enter")
        await done(pilot)
        text = await press(pilot, "o")
        assert "All panes work with newcomer now." in text
        assert app.used_run == "newcomer"
        assert len(app.screen_stack) == 1


async def test_every_field_of_an_import_is_handed_over() -> None:
    app = app_with(importing=Script([imported()]))
    async with app.run_test(size=NARROW) as pilot:
        app.import_model()
        await press(pilot)
        await press(
            pilot,
        )
        typed = {"source": " hub:a/b ", "name": "mine", "tokenizer": "'t.bin' ", "corpus": "c.txt"}
        await fill(app, pilot, **typed, max_seq_len="2,048")
        await press(pilot, "enter")
        await done(pilot)
    how = {"name": "mine", "tokenizer": "t.bin", "corpus": "c.txt", "max_seq_len": 2048}
    assert app.asked == [("importing", "hub:a/b", how)]  # type: ignore[attr-defined]


async def test_mistakes_in_the_form_are_said_in_the_box() -> None:
    app = app_with(importing=Script([imported()]))
    async with app.run_test(size=NARROW) as pilot:
        app.import_model()
        await press(pilot)
        text = await press(pilot, "enter")
        assert "There is no source yet." in text
        assert "Name a file, a folder, or hub:OWNER/NAME." in text
        await press(pilot, *"x")
        await fill(app, pilot, max_seq_len="many")
        text = await press(pilot, "enter")
        assert "max_seq_len='many' is not a whole number." in text
        assert box_of(app).form.texts()["source"] == "x"
    assert app.asked == []  # type: ignore[attr-defined]


async def test_a_problem_is_taken_back_with_the_first_change() -> None:
    app = app_with(exporting=ExportError("There is something there."))
    async with app.run_test(size=NARROW) as pilot:
        app.export_run("new-one")
        await press(pilot)
        assert "something there" in await press(pilot, "enter")
        assert "something there" in await press(pilot, "down")
        assert "something there" not in await press(pilot, "2")


async def test_what_is_no_model_is_refused_and_the_list_is_as_it_was() -> None:
    two_runs()
    app = app_with(importing=Script([], error=FormatError("'x': config.json is not JSON.")))
    async with app.run_test(size=NARROW) as pilot:
        await opened(pilot)
        await press(pilot, "i", "x", "enter")
        assert "'x': config.json is not JSON." in await done(pilot)
        await press(pilot, "escape")
        assert "2 runs" in await seen(pilot)
        assert "x" in await press(pilot, "i")


async def test_letters_right_behind_a_move_land_where_it_leads() -> None:
    app = app_with()
    async with app.run_test(size=NARROW) as pilot:
        app.import_model()
        await press(pilot)
        at_once(app, *"ab", "down", *"cd", "down", "down", *"ef", "up", "up", *"gh")
        await press(pilot)
        texts = box_of(app).form.texts()
        assert (texts["source"], texts["name"], texts["tokenizer"]) == ("ab", "cdgh", "ef")
        at_once(app, "down", "escape")  # left in the middle of a move
        await press(pilot)
        app.export_run("new-one")
        await press(pilot)
        await press(pilot, "g")
        at_once(app, "down", "down", "down", "space", "up", *"/x")
        await press(pilot)
        texts = box_of(app).form.texts()
        assert (texts["format"], texts["overwrite"]) == ("gguf", "on")
        assert texts["place"].endswith("new-one.gguf/x")


async def test_keys_that_come_before_the_box_is_drawn_go_into_it() -> None:
    app = app_with(importing=Script([imported()]))
    async with app.run_test(size=NARROW) as pilot:
        app.import_model()
        at_once(app, *"qjc", "enter")
        await press(pilot)
        await done(pilot)
        assert app.asked[0][1] == "qjc"  # type: ignore[attr-defined]
        await press(pilot, "escape")
        app.import_model()
        at_once(app, "a", "escape", "escape")
        await press(pilot)
        assert len(app.screen_stack) == 1


async def test_what_a_program_wrote_is_gone_on_with_at_its_end() -> None:
    app = app_with()
    async with app.run_test(size=NARROW) as pilot:
        app.export_run("new-one")
        await press(pilot)
        await press(pilot, "c", "down", *".old")  # from -hf to .tar.gz
        assert box_of(app).form.texts()["place"].endswith("new-one.tar.gz.old")
        await fill(app, pilot, place="/a/longer/place")
        await press(pilot, "b")
        assert box_of(app).form.texts()["place"] == "/a/longer/placeb"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("'/a/b c.gguf' ", "/a/b c.gguf"),
        ('"/a"', "/a"),
        ("'/a\"", "'/a\""),
        ("'", "'"),
        ("it's", "it's"),
    ],
)
def test_a_path_that_was_dropped_on_the_terminal_is_taken_without_its_quotes(
    text: str, path: str
) -> None:
    assert bare(text) == path


async def test_the_bottom_line_shows_the_keys_of_the_box_whatever_has_the_focus() -> None:
    app = app_with()
    async with app.run_test(size=NARROW) as pilot:
        app.export_run("new-one")
        for key in ("g", "down", "down"):
            assert (await press(pilot, key)).splitlines()[-1] == " Enter start  Esc close"
        app.screen.set_focus(None)
        assert (await press(pilot)).splitlines()[-1] == " Enter start  Esc close"


# From everywhere.


async def test_the_palette_exports_any_run_and_imports_from_any_pane() -> None:
    two_runs()
    app = app_with(importing=Script([imported(run="new-one")]))
    async with app.run_test(size=(120, 36)) as pilot:
        await choose(pilot, "Export run old-one")
        assert box_of(app).title == "export old-one"
        await press(pilot, "escape")
        assert app.pane.NAME == "train"
        await choose(pilot, "Import a model")
        await press(pilot, "x", "enter")
        await done(pilot)
        await press(pilot, "enter")
        assert len(app.screen_stack) == 1
        assert not app.query(RunsPane)


@pytest.mark.parametrize(
    "size", [pytest.param(s, marks=pytest.mark.slow) for s in SIZES[1:]] + SIZES[:1]
)
async def test_every_state_fits_every_size(size: tuple[int, int]) -> None:
    make_run("r" * 64)
    remarks = tuple(f"Remark {n}: " + "words and more words " * 8 for n in range(12))
    app = app_with(exporting=[ExportError("x " * 200), Script([exported("gguf", remarks=remarks)])])

    def fits() -> bool:
        lines = screen_text(app).splitlines()
        return len(lines) <= size[1] and all(len(line) <= size[0] for line in lines)

    async with app.run_test(size=size) as pilot:
        app.export_run("new-one")
        await press(pilot)
        await press(pilot, "g")
        assert fits()
        await press(pilot, "enter")
        assert fits()
        await press(pilot, "enter")
        await done(pilot)
        assert fits()
        assert "numbers" in screen_text(app)
        await press(pilot, *["pagedown"] * 8)  # the box scrolls to its last line
        assert "ollama create" in screen_text(app)
        assert "Esc close" in screen_text(app)


async def test_a_key_that_does_nothing_in_a_state_does_nothing() -> None:
    app: MinitfApp = app_with(exporting=Script([exported()]))
    async with app.run_test(size=NARROW) as pilot:
        app.export_run("new-one")
        await press(pilot)
        await press(
            pilot,
        )
        app.screen.set_focus(None)
        text = await press(pilot, "c", "o")
        assert "Enter starts   Esc leaves" in text
        assert isinstance(box_of(app), ExportBox)
        await press(pilot, "enter")
        assert "exported new-one" in await done(pilot)
        await press(pilot, "o", "q")
        assert app.used_run == "last"
        assert len(app.screen_stack) == 1


def test_words_from_files_are_shown_as_what_they_are() -> None:
    export = exported("hf", architecture="[/a]\x1b[2J", remarks=("[b]\u202e",)).result
    arrival = imported(architecture="[/a]\x1b[2J", remarks=("[b]\u202e",)).result
    for text in (readings.export_lines(export).plain, readings.import_lines(arrival).plain):
        assert "[/a]·[2J" in text
        assert "[b]·" in text
        assert all(c.isprintable() or c == "\n" for c in text)
    assert "as" not in readings.export_lines(exported("capsule").result).plain.split()


def test_the_boxes_bring_no_torch_to_the_screen() -> None:
    code = (
        "import sys, minitf_tui.widgets.export_box, minitf_tui.widgets.import_box;"
        "print({'torch', 'numpy', 'tokenizers'} & set(sys.modules))"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout == "set()\n"
