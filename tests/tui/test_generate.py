"""The Generate pane: rare settings fold away, several texts stand side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
from textual.widgets import Input

from core.events import (
    Event,
    Generation,
    GenerationBatch,
    GenerationFinished,
    PromptRead,
    SetupProgressed,
)
from minitf_tui.app import MinitfApp
from tests.tui.pilot import screen_text, settle
from tests.tui.scripted import Endless, Script, app_with
from tests.tui.stories import generation_story, token

NARROW, BROAD = (80, 24), (120, 36)
RARE = ("repetition_penalty", "presence_penalty", "frequency_penalty", "penalty_window", "stop")


def batch_story(*rows: Sequence[str], rest: str = "") -> list[Event]:
    """Several continuations in step; `rest` is what the first one held back."""
    read = PromptRead(prompt="Once", prompt_tokens=16, context=256, prefill_ms=8.1)
    told = [
        dataclasses.replace(token(i + 1, words[i]), row=row)
        for i in range(max(map(len, rows)))
        for row, words in enumerate(rows)
        if i < len(words)
    ]
    texts = tuple(
        Generation(
            text="".join(words) + ("" if row else rest),
            prompt_tokens=16,
            tokens=tuple(event.token for event in told if event.row == row),
            ttft_ms=9.5,
            tokens_per_s=400.0,
            stop="length",
        )
        for row, words in enumerate(rows)
    )
    result = GenerationBatch(
        continuations=texts, prompt_tokens=16, ttft_ms=9.5, tokens_per_s=1234.0
    )
    return [
        SetupProgressed(stage="loading the run"),
        read,
        *told,
        GenerationFinished(result=result),
    ]


def write(app: MinitfApp, **texts: str) -> None:
    """Put texts into the fields."""
    for name, text in texts.items():
        app.query_one(f"#row-{name}").query_one(Input).value = text


@pytest.mark.parametrize("size", [NARROW, BROAD])
async def test_rare_settings_are_there_while_somebody_is_in_the_form(size) -> None:
    app = app_with()
    async with app.run_test(size=size) as pilot:
        await pilot.press("4")
        await pilot.pause()
        assert not any(name in screen_text(app) for name in RARE)
        await pilot.press("i")
        await pilot.pause()
        text = screen_text(app)
        assert all(f"{name} " in text for name in RARE)
        [end, *_] = [y for y, line in enumerate(text.splitlines()) if "╰" in line]
        assert end < 12, "the form must leave half of a small screen"
        await pilot.press("escape")
        await pilot.pause()
        assert not any(name in screen_text(app) for name in RARE)


async def test_what_is_folded_away_and_switched_on_is_told() -> None:
    app = app_with()
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("4")
        await pilot.pause()
        write(app, repetition_penalty="1.2", stop="\\n\\n | [/END]\u202e")
        await pilot.pause()
        assert "repetition_penalty 1.2   stop \\n\\n | [/END]\\u202e" in screen_text(app)
        write(app, repetition_penalty="1", stop="")
        await pilot.pause()
        assert "penalty" not in screen_text(app)


async def test_penalties_and_stop_strings_reach_core() -> None:
    app = app_with(generation=Script(generation_story()))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("4")
        await pilot.pause()
        write(app, presence_penalty="0.5", penalty_window="64", stop="\\n\\n | END")
        await pilot.press("g")
        await settle(pilot)
    sampling = app.asked[0][2]  # type: ignore[attr-defined]
    assert (sampling.presence_penalty, sampling.penalty_window) == (0.5, 64)
    assert sampling.stop == ("\n\n", "END")


async def test_the_stop_string_that_ended_a_text_is_named() -> None:
    *events, end = generation_story(stop="stop string")
    assert isinstance(end, GenerationFinished)
    result = dataclasses.replace(end.continuations[0], stop_string="\n\n")
    app = app_with(generation=Script([*events, GenerationFinished(result=result)]))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("4", "g")
        await settle(pilot)
        assert "5 tokens, then '\\n\\n'" in screen_text(app)


@pytest.mark.parametrize(("size", "is_beside"), [((60, 24), False), (BROAD, True)])
async def test_several_texts_stand_side_by_side_where_there_is_room(size, is_beside) -> None:
    app = app_with(generation=Script(batch_story(["s ", "one"], ["s two"], rest=" END")))
    async with app.run_test(size=size) as pilot:
        await pilot.press("4")
        await pilot.pause()
        write(app, count="2", seed="5")
        await pilot.press("g")
        await settle(pilot)
        lines = screen_text(app).splitlines()
    [first] = [line for line in lines if "1 of 2, seed 5" in line]
    assert ("2 of 2, seed 6" in first) == is_beside
    text = "\n".join(lines)
    assert "2 of 2, seed 6" in text
    assert "Onces one END" in text
    assert "Onces two" in text
    assert "wrote 3 tokens" in text
    assert not is_beside or "1.2 k tok/s" in text


async def test_again_takes_seeds_that_were_not_used_and_fewer_texts_leave_no_box() -> None:
    stories = [batch_story(["OLD"], ["OLDER"], ["OLDEST"]), batch_story(["B"], ["C"], ["D"])]
    app = app_with(generation=[Script(s) for s in stories] + [Script(generation_story(["NEW"]))])
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("4")
        await pilot.pause()
        write(app, count="3")
        await pilot.press("g")
        await settle(pilot)
        assert "OLDEST" in screen_text(app)
        await pilot.press("a")
        await settle(pilot)
        assert "seed 5" in screen_text(app)
        assert "OLD" not in screen_text(app)
        write(app, count="1")
        await pilot.press("g")
        await settle(pilot)
        await pilot.pause()
        text = screen_text(app)
        assert "Binary sequence typeNEW" in text
        assert "of 3" not in text
    assert [asked[2].seed for asked in app.asked] == [0, 3, 3]  # type: ignore[attr-defined]


@pytest.mark.slow
async def test_a_prompt_that_comes_before_the_boxes_waits_for_them() -> None:
    app = app_with(generation=Script(batch_story(["A"], ["B"])[:1], waits=True))
    async with app.run_test(size=BROAD) as pilot:
        await pilot.press("4")
        await pilot.pause()
        write(app, count="2")
        app.pane.act("generate")
        app.pane.hear(
            PromptRead(prompt="long\n" * 200, prompt_tokens=9, context=256, prefill_ms=1.0)
        )
        await pilot.pause()
        app.pane.tick()
        await pilot.pause()
        assert screen_text(app).count("long") > 10
        await pilot.press("s")
        await settle(pilot)


@pytest.mark.slow
async def test_a_device_that_is_busy_leaves_the_texts_that_are_there() -> None:
    stories = [Script(batch_story(["OLD"], ["OLDER"])), Script(generation_story())]
    app = app_with(training=Endless(), generation=stories)
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("4")
        await pilot.pause()
        write(app, count="2")
        await pilot.press("g")
        await settle(pilot)
        await pilot.press("1", "r", "4")
        await pilot.pause()
        write(app, count="1")
        await pilot.press("g")
        await pilot.pause()
        app.pane.tick()
        text = screen_text(app)
        assert "The device is busy" in text
        assert "OLDER" in text
        assert app.pane._sampling.count == 2  # type: ignore[attr-defined]
        await pilot.press("1", "s")
        await settle(pilot)


async def test_many_texts_scroll_and_hostile_ones_stay_text() -> None:
    rows = [["[/foo]\x1b[2J"] for _ in range(12)]
    app = app_with(generation=Script(batch_story(*rows)))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("4")
        await pilot.pause()
        write(app, count="12")
        await pilot.press("g")
        await settle(pilot)
        await pilot.pause()
        text = screen_text(app)
        assert "Once[/foo]·[2J" in text
        assert "\x1b" not in text
        assert app.query_one("#text-box").max_scroll_y > 0


async def test_a_setting_that_makes_no_sense_is_told_in_the_pane() -> None:
    app = app_with()
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("4")
        await pilot.pause()
        write(app, repetition_penalty="0")
        await pilot.press("g")
        await pilot.pause()
        assert "repetition_penalty=0 is not in [0.01, 100]." in screen_text(app)
