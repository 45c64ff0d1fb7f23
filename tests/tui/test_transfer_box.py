"""The box of export and import alike: its keys, its sizes, and the words in it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from textual.events import Key

from core.errors import ExportError
from minitf_tui import transfer_readings as readings
from minitf_tui.app import MinitfApp
from minitf_tui.panes.runs import RunsPane
from minitf_tui.widgets.export_box import ExportBox
from minitf_tui.widgets.transfer import bare
from tests.cli.scripted import exported, imported
from tests.tui.pilot import NARROW, SIZES, screen_text
from tests.tui.runs_on_disk import make_run
from tests.tui.runs_pane import two_runs
from tests.tui.scripted import Script, app_with
from tests.tui.test_palette import choose
from tests.tui.transfer_box import box_of, done, fill, press

pytestmark = pytest.mark.usefixtures("here")


def at_once(app: Any, *keys: str) -> None:
    """Keys that come faster than any of them is heard."""
    for key in keys:
        app.post_message(Key(key, " " if key == "space" else key if len(key) == 1 else None))


# Keys and fields.


async def test_a_problem_is_taken_back_with_the_first_change() -> None:
    app = app_with(exporting=ExportError("There is something there."))
    async with app.run_test(size=NARROW) as pilot:
        app.export_run("new-one")
        await press(pilot)
        assert "something there" in await press(pilot, "enter")
        assert "something there" in await press(pilot, "down")
        assert "something there" not in await press(pilot, "2")


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


# From everywhere, at every size.


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
