"""Import in the app: a model becomes a run, or is refused with a reason."""

from __future__ import annotations

import pytest

from core.errors import FormatError
from core.events import SetupProgressed
from tests.cli.scripted import imported
from tests.tui.pilot import NARROW, reach
from tests.tui.runs_on_disk import make_run
from tests.tui.runs_pane import opened, seen, two_runs
from tests.tui.scripted import Script, app_with
from tests.tui.transfer_box import box_of, done, fill, press

pytestmark = pytest.mark.usefixtures("here")


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
