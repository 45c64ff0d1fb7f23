"""The Generate pane: a text streams as what it is, is stopped, or is written again."""

from __future__ import annotations

import asyncio

from tests.tui.pilot import NARROW, reach, screen_text, settle
from tests.tui.scripted import Script, app_with
from tests.tui.stories import generation_story


async def test_a_text_streams_with_its_speed() -> None:
    app = app_with(generation=Script(generation_story()))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("4", "g")
        await settle(pilot)
        text = screen_text(app)
        assert "Binary sequence types are objects." in text
        assert "wrote 5 tokens" in text
        assert "812 tok/s" in text
        assert "first token 9.50 ms" in text


async def test_again_takes_the_next_seed_and_c_switches_the_cache() -> None:
    app = app_with(generation=[Script(generation_story()), Script(generation_story())])
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("4", "g")
        await settle(pilot)
        await pilot.press("c", "a")
        await settle(pilot)
    first, second = (asked[2] for asked in app.asked)  # type: ignore[attr-defined]
    assert (first.seed, first.cache) == (0, "static")
    assert (second.seed, second.cache) == (1, "none")


async def test_again_stops_what_is_being_written() -> None:
    first = Script(generation_story()[:3], waits=True)
    app = app_with(generation=[first, Script(generation_story([" new"]))])
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("4", "g")
        await reach(pilot, first.reached_gate)
        await pilot.press("a")
        await settle(pilot)
        assert first.stopped.is_set()
        assert "Binary sequence type new" in screen_text(app)


async def test_stopping_a_text_keeps_what_is_written() -> None:
    story = generation_story(stop="stopped")
    session = Script(story[:4], last=lambda: story[-1:], waits=True)
    app = app_with(generation=session)
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("4", "g")
        await reach(pilot, session.reached_gate)
        await pilot.press("s")
        await settle(pilot)
        text = screen_text(app)
        assert "stopped after 2 tokens" in text
        assert "Binary sequence types are" in text


async def test_hostile_text_streams_as_what_it_is() -> None:
    words = ["[/foo]", "\x1b[2J", "[red]x", "\u202e", "\x00", "\n"] * 300
    app = app_with(generation=Script(generation_story([*words, "THE END"])))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("4", "g")
        await settle(pilot)
        await pilot.pause()
        text = screen_text(app)
        assert "[/foo]·[2J[red]x··" in text
        assert "THE END" in text
        assert "\x1b" not in text


async def test_the_prompt_and_sampler_reach_core() -> None:
    app = app_with(generation=Script(generation_story()))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("4", "i", *"Hi ", *["down"] * 4, *["backspace"] * 3, *"20")
        await pilot.press("enter")
        await settle(pilot)
    _, run, sampling = app.asked[0]  # type: ignore[attr-defined]
    assert run == "last"
    assert (sampling.prompt, sampling.max_new_tokens) == ("Hi ", 20)


async def test_news_of_a_job_that_was_replaced_is_not_shown() -> None:
    app = app_with(
        generation=[Script(generation_story(["OLD"])), Script(generation_story(["NEW"]))]
    )
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("4", "g")
        await settle(pilot)
        old = app.pane.job
        await pilot.press("g")
        await settle(pilot)
        assert old is not None
        app.pane.post_message(app.pane.News(old, generation_story(["OLD"])[1]))
        await asyncio.sleep(0)
        await pilot.pause()
        assert screen_text(app).count("Binary sequence type") == 1
