"""The layouts, character by character, with the name of each cell's colour.

A golden is a screen as text, and below it the same cells as letters for the colours of the theme.
Both themes must give the same file: a colour that is not the theme's own is a `?`.

`MINITF_GOLDEN=write python -m pytest tests/tui/test_golden.py` writes them anew; look at the
difference before it is committed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.style import Style
from textual.color import Color
from textual.pilot import Pilot

from core.events import ExportCompleted, GenerationProved
from minitf_tui.theme import DARK, LIGHT
from tests.cli.scripted import exported
from tests.tui.bench_story import FAST, FAST8, PROOFS, bench_story
from tests.tui.events import finished
from tests.tui.pilot import screen_text, settle
from tests.tui.runs_on_disk import make_run
from tests.tui.scripted import Script, app_with
from tests.tui.stories import evaluation_story, generation_story, health_story, training_story

FOLDER = Path(__file__).parents[1] / "golden"
SIZES = ((80, 24), (120, 36), (200, 60))
LETTERS = {
    "foreground": ".",
    "quiet": "q",
    "ghost": "h",
    "accent": "a",
    "warning": "w",
    "secondary": "s",
    "success": "+",
    "error": "!",
    "panel": "p",
    "surface": "f",
    "background": "b",
}


async def run(pilot: Pilot[Any], *keys: str) -> None:
    """Press keys and let everything that follows come to its end."""
    for key in keys:
        await pilot.press(key)
        await pilot.pause()
        await pilot.app.workers.wait_for_complete()
    await settle(pilot)


def trained() -> Script:
    return Script([*training_story(300), finished(steps=300)])


def watched() -> Script:
    return Script([*health_story(300), finished(steps=300)])


def benched() -> Script:
    return Script(bench_story(broken=(FAST,)))


def proved() -> Script:
    note = "There is no fast engine for this model."
    return Script([GenerationProved(engine="torch", proof=PROOFS[FAST8], note=note)])


def written() -> ExportCompleted:
    """A file in a place that every machine has."""
    remark = "output.weight is kept in f16: a block of q4_0 holds 32 numbers, and a row has 260."
    place = {"path": "/models/new-one.gguf", "number_type": "q4_0", "architecture": "qwen3"}
    return exported("gguf", run="new-one", remarks=(remark,), **place)


SCREENS: dict[str, tuple[dict[str, Callable[[], Any]], tuple[str, ...]]] = {
    "train-empty": ({}, ()),
    "train-editing": ({}, ("i",)),
    "train-finished": ({"training": trained}, ("r",)),
    "train-health": ({"training": watched}, ("r", "h")),
    "evaluate": ({"evaluation": lambda: Script(evaluation_story())}, ("2", "e")),
    "benchmark": ({"benchmarking": benched}, ("3", "b")),
    "benchmark-views": ({"benchmarking": benched}, ("3", "b", "v", "v", "j")),
    "benchmark-proof": ({"benchmarking": benched}, ("3", "b", "V")),
    "generate": ({"generation": lambda: Script(generation_story())}, ("4", "g")),
    "generate-proved": (
        {"generation": lambda: Script(generation_story()), "proving": proved},
        ("4", "b", "g", "p"),
    ),
    "runs": ({}, ("5", "space", "j", "space")),
    "export": ({}, ("5", "e", "g", "down", "right", "right")),
    "exported": ({"exporting": lambda: Script([written()])}, ("5", "e", "g", "enter")),
    "help": ({}, ("question_mark",)),
}
"""What a screen is called; what the engine will tell; which keys lead there."""


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", SCREENS)
async def test_the_screen_is_as_it_was_agreed_in_both_themes(
    name: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    makers, keys = SCREENS[name]
    monkeypatch.chdir("/")  # where an export goes is part of its screen
    if name in ("runs", "export", "exported"):
        make_run("old-one", steps=60, loss=2.25, age_s=100, lr=0.003)
        make_run("new-one", steps=40, loss=1.75, n_layers=2)
    app = app_with(**{kind: make() for kind, make in makers.items()})
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        await run(pilot, *keys)
        shots = {}
        for theme in (DARK, LIGHT):
            app.theme = theme.name
            await pilot.pause()
            await pilot.pause()
            shots[theme.name] = f"{timeless(screen_text(app))}\n\n{colours(app)}\n"
    path = FOLDER / f"{name}-{size[0]}x{size[1]}.txt"
    if os.environ.get("MINITF_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(shots[DARK.name], encoding="utf-8")
    wanted = path.read_text(encoding="utf-8")
    for theme_name, shot in shots.items():
        assert shot.splitlines() == wanted.splitlines(), f"{name} at {size} in {theme_name}"


def timeless(text: str) -> str:
    """Without the moment that a run was made, of which a box may cover the beginning."""
    return re.sub(r"(?:\d\d)?-\d\d \d\d:\d\d", _without_digits, text)


def _without_digits(moment: re.Match[str]) -> str:
    return re.sub(r"\d", "0", moment[0])


def colours(app: Any) -> str:
    """A letter a cell: the name that its colour has in the theme."""
    names = {
        Color.parse(app.theme_variables[name]).rgb: letter
        for name, letter in reversed(LETTERS.items())
    }
    rows = []
    for strip in app.screen._compositor.render_strips():
        letters = [
            _letter(character, segment.style, names)
            for segment in strip
            for character in segment.text
        ]
        rows.append("".join(letters).rstrip())
    return "\n".join(rows)


def _letter(character: str, style: Style | None, names: dict[tuple[int, int, int], str]) -> str:
    if character == " ":
        return " "
    colour = style.color if style else None
    if colour is None or colour.triplet is None:
        return "?"
    return names.get(tuple(colour.triplet), "?")  # type: ignore[arg-type]
