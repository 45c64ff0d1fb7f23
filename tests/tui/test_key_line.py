"""The bottom line: what it names, what a click does, that it leaves nothing behind."""

from __future__ import annotations

import gc

from textual.widget import Widget

from minitf_tui.widgets.key_line import Key, KeyLine, fitting
from tests.tui.pilot import screen_text
from tests.tui.scripted import app_with

KEYS = tuple(Key(k, k, word) for k, word in (("r", "run"), ("f", "forecast"), ("?", "help")))
LAST = Key("q", "q", "quit")


def test_the_last_two_keys_stay_where_there_is_no_room() -> None:
    keys = (*KEYS, LAST)
    full = sum(key.width for key in keys) - 1
    assert fitting(keys, full) == keys
    assert fitting(keys, full - 1) == (KEYS[0], KEYS[2], LAST)
    assert fitting(keys, 3) == (KEYS[2], LAST)


async def test_a_click_presses_the_key_and_the_gap_presses_nothing() -> None:
    app = app_with()
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        line = screen_text(app).splitlines()[-1]
        await pilot.click(KeyLine, offset=(line.index("? help") - 1, 0))
        await pilot.pause()
        assert len(app.screen_stack) == 1
        await pilot.click(KeyLine, offset=(line.index("? help") + 3, 0))
        await pilot.pause()
        assert len(app.screen_stack) == 2


async def test_keys_leave_no_widgets_behind() -> None:
    """Textual's own footer kept every one of its keys."""
    earlier = {id(found): found for found in gc.get_objects() if isinstance(found, Widget)}
    app = app_with()
    async with app.run_test(size=(80, 24)) as pilot:
        for _ in range(3):
            await pilot.press("2", "1", "question_mark", "escape")
            await pilot.pause()
        gc.collect()
        found = [w for w in gc.get_objects() if isinstance(w, Widget) and id(w) not in earlier]
        assert [widget for widget in found if not widget.is_attached] == []
