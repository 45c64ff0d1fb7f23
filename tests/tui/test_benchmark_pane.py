"""The Benchmark pane: a grid is asked for, settles, is looked at in views, and is saved."""

from __future__ import annotations

import pytest
from textual.widgets import Input

from core.events import BenchmarkCompleted, RepetitionCompleted, Variant
from minitf_tui import bench_files
from minitf_tui.widgets.bench_form import PLANS
from minitf_tui.widgets.fields import Completer
from tests.tui.bench_story import FAST, NONE, STATIC, bench_story, variant
from tests.tui.pilot import reach, screen_text, settle
from tests.tui.scripted import Script, app_with
from tests.tui.stories import repetitions

NARROW, BROAD = (80, 24), (120, 36)


@pytest.mark.parametrize("size", [NARROW, BROAD])
async def test_a_benchmark_settles_and_every_view_has_its_words(size: tuple[int, int]) -> None:
    app = app_with(benchmarking=Script(bench_story(broken=(FAST,))))
    seen = []
    async with app.run_test(size=size) as pilot:
        await pilot.press("3", "b")
        await settle(pilot)
        for _ in range(7):
            app.look()
            await pilot.pause()
            seen.append(screen_text(app))
            await pilot.press("v")
            await pilot.pause()
    text = "\n".join(seen)
    for words in (
        "torch no cache f32",
        "≈ fast KV cache int4",
        "✗ failed",
        "fastest over first",
        "crossing at",
        "repetition 5",
        "warm-up",
        "KLD, nats",
        "decode time of",
        "95 % interval",
        "this machine: 3.2 µs a dispatch",
        "62.0 %",
        "so not ranked",
    ):
        assert words in text, words


async def test_it_tells_what_it_does_while_it_does_it() -> None:
    story = bench_story((NONE, STATIC))
    session = Script(story[:5], then=story[5:], waits=True)
    app = app_with(benchmarking=session)
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("3", "b")
        await reach(pilot, session.reached_gate)
        text = screen_text(app)
        assert "warming up, not counted" in text
        assert "0 of 2 variants settled" in text
        assert "w save" not in text
        session.gate.set()
        await settle(pilot)
        text = screen_text(app)
        assert "python-docs-1, step 940" in text
        assert "w save" in text


async def test_the_grid_in_the_form_reaches_core() -> None:
    app = app_with(benchmarking=Script(bench_story((STATIC,))))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("3")
        await pilot.pause()
        for name, text in {"engines": "torch", "bits": "0, 8", "depths": "16,64"}.items():
            app.query_one(f"#row-{name}").query_one(Input).value = text
        await pilot.pause()
        assert "a plan of your own: up to 8 variants" in screen_text(app)
        await pilot.press("b")
        await settle(pilot)
    bench = app.asked[0][2]  # type: ignore[attr-defined]
    assert (bench.engines, bench.bits, bench.depths) == (("torch",), (0, 8), (16, 64))


async def test_p_goes_through_the_plans() -> None:
    app = app_with()
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("3")
        await pilot.pause()
        for name, _ in (*PLANS[1:], PLANS[0]):
            await pilot.press("p")
            await pilot.pause()
            assert f"{name}: up to" in screen_text(app)


async def test_a_grid_that_makes_no_sense_is_told_in_the_pane() -> None:
    app = app_with()
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("3")
        await pilot.pause()
        app.query_one("#row-bits").query_one(Input).value = "3"
        await pilot.press("b")
        await pilot.pause()
        assert "bits=3 is not one of" in screen_text(app)


async def test_another_variant_is_highlighted_and_its_steps_are_shown() -> None:
    app = app_with(benchmarking=Script(bench_story((NONE, STATIC, FAST))))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("3", "b")
        await settle(pilot)
        await pilot.press("v", "v", "j")
        await pilot.pause()
        assert "torch KV cache  ms/token" in screen_text(app)
        await pilot.press("j", "j")
        await pilot.pause()
        assert "has no time of each" in screen_text(app)
        await pilot.press("k", "V")
        await pilot.pause()
        assert "crossing at" in screen_text(app)
        await pilot.press("y")
        await pilot.pause()
        assert "(log)" in screen_text(app)


async def test_it_is_saved_under_a_new_name_and_the_path_can_be_copied(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bench_files, "has_pictures", lambda: False)
    app = app_with(benchmarking=Script(bench_story((NONE, STATIC))))
    copied: list[str] = []
    monkeypatch.setattr(app, "copy_to_clipboard", copied.append)
    async with app.run_test(size=BROAD) as pilot:
        await pilot.press("3", "b")
        await settle(pilot)
        for _ in range(2):
            await pilot.press("w")
            await pilot.app.workers.wait_for_complete()
            await pilot.pause()
        await pilot.press("c")
        text = screen_text(app)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["bench-python-docs-1-940-2.csv", "bench-python-docs-1-940.csv"]
    assert copied == [str(tmp_path / "bench-python-docs-1-940-2.csv")]
    assert "saved " in text
    assert "pip install matplotlib" in text or len(str(tmp_path)) > 60


async def test_a_folder_that_refuses_is_told_in_the_pane(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(bench_files, "has_pictures", lambda: False)
    monkeypatch.setattr(bench_files, "folder", lambda: tmp_path / "gone")
    app = app_with(benchmarking=Script(bench_story((STATIC,))))
    async with app.run_test(size=BROAD) as pilot:
        await pilot.press("3", "b")
        await settle(pilot)
        await pilot.press("w")
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        assert "The benchmark cannot be written to" in screen_text(app)


async def test_hostile_names_stay_text() -> None:
    evil = Variant(
        engine="[/foo]\x1b[2J",
        cache="[b]\x9b",
        dtype="\u202e",
        bits=0,
        threads=1,
        prompt_tokens=16,
        depth=16,
        rival="[/bar]\x1b",
    )
    told = bench_story((STATIC,), run="[/r]\x1b", skipped=("[/no]\x1b[2J",))
    *head, done = told
    assert isinstance(done, BenchmarkCompleted)
    strange = [
        RepetitionCompleted(
            variant=evil, index=1, prefill_ms=1.0, decode_ms=5.0, tokens=5, is_stable=True
        )
    ]
    app = app_with(benchmarking=Script([*head, *strange, done]))
    async with app.run_test(size=BROAD) as pilot:
        await pilot.press("3", "b")
        await settle(pilot)
        for _ in range(6):
            await pilot.press("v")
            await pilot.pause()
            text = screen_text(app)
            assert "\x1b" not in text
            assert "\x9b" not in text
            assert "\u202e" not in text
        assert "[/r]·" in text
        assert "[/no]·[2J" in text


async def test_a_benchmark_can_be_stopped() -> None:
    session = Script(repetitions()[:3], waits=True)
    app = app_with(benchmarking=session)
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("3", "b")
        await reach(pilot, session.reached_gate)
        await pilot.press("s")
        await settle(pilot)
        assert "b starts again" in screen_text(app)


async def test_a_benchmark_that_is_stopped_keeps_what_was_seen() -> None:
    session = Script(bench_story((NONE, STATIC))[:9], waits=True)
    app = app_with(benchmarking=session)
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("3", "b")
        await reach(pilot, session.reached_gate)
        await pilot.press("s")
        await settle(pilot)
        text = screen_text(app)
        assert "b starts again" in text
        assert "KV cache" in text


@pytest.mark.parametrize(
    ("typed", "whole"),
    [("", "none"), ("st", "static"), ("none,", "none,static"), ("none,static,", None), ("x", None)],
)
async def test_the_last_word_of_a_list_is_completed(typed: str, whole: str | None) -> None:
    assert await Completer(("none", "static")).get_suggestion(typed) == whole


async def test_many_variants_scroll() -> None:
    story = bench_story(tuple(variant(depth=16 * n) for n in range(1, 31)), reps=3, warmups=0)
    app = app_with(benchmarking=Script(story))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("3", "b")
        await settle(pilot)
        assert "at 16 " in screen_text(app)
        assert "at 480" not in screen_text(app)
        await pilot.press(*["j"] * 29)
        await pilot.pause()
        assert "at 480" in screen_text(app)
