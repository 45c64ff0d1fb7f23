"""The app as somebody uses it: keys in, screen out."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from textual.widgets import Input

from core.errors import DataError, RunError
from core.events import Diverged, SetupProgressed
from core.presets import QUICK
from minitf_tui.app import is_first_start
from minitf_tui.theme import DARK, LIGHT
from tests.tui.events import finished, sample, started, step, validation
from tests.tui.pilot import footer, reach, screen_text, settle
from tests.tui.scripted import Endless, Script, app_with
from tests.tui.stories import (
    benchmark_story,
    evaluation_story,
    generation_story,
    repetitions,
    training_story,
)

SIZES = [(80, 24), (120, 36), (200, 60), (60, 16)]
NARROW, BROAD = (80, 24), (120, 36)


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


# Train.


async def test_training_at_80x24_shows_plots_numbers_and_sample() -> None:
    session = Script(training_story(640), waits=True)
    app = app_with(training=session)
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("r")
        await reach(pilot, session.reached_gate)
        await pilot.pause(0.3)
        text = screen_text(app)
        for part in (
            "python-docs-1",
            "29.2 s left",
            "nats/tok",
            "21.5 k tok/s",
            "1.353",  # held out
            "0.666",  # bits per byte
            "9.30e-04",
            "grad norm",
            "loss, nats/token",
            "● held out 1.353",
            "learning rate",
            "sample at step 600",
            "support the buffer protocol",
            "p pause",
        ):
            assert part in text, part
        assert "training 67 %" in text.splitlines()[0]
        assert any("\u2800" < c <= "\u28ff" for c in text)
        session.stop()
        await settle(pilot)


@pytest.mark.parametrize("size", SIZES)
async def test_every_line_fits_its_screen(size: tuple[int, int]) -> None:
    app = app_with(training=Script([*training_story(300), finished()]))
    async with app.run_test(size=size) as pilot:
        await pilot.press("r")
        await settle(pilot)
        lines = screen_text(app).splitlines()
        assert len(lines) <= size[1]
        assert all(len(line) <= size[0] for line in lines)


async def test_the_form_gives_way_to_the_plots_where_it_is_small_and_comes_back_for_i() -> None:
    app = app_with(training=Script([*training_story(20), finished()]))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("r")
        await settle(pilot)
        assert "d_model" not in screen_text(app)
        await pilot.press("i")
        await pilot.pause()
        await pilot.pause()
        assert "d_model" in screen_text(app)
        assert app.focused is not None
        await pilot.press("escape")
        await pilot.pause()
        await pilot.pause()
        assert "d_model" not in screen_text(app)


async def test_form_and_plots_share_a_larger_screen() -> None:
    app = app_with(training=Script([*training_story(120), finished()]))
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.press("r")
        await settle(pilot)
        text = screen_text(app)
        assert all(part in text for part in ("d_model", "gradient norm", "parameters", "1.1 M"))


async def test_p_pauses_and_resumes() -> None:
    session = Endless()
    app = app_with(training=session)
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("r")
        await pilot.pause()
        await pilot.press("p")
        while app.pane.state != "paused":
            await pilot.pause()
        at = session.step
        await pilot.pause(0.1)
        assert "paused; p goes on" in screen_text(app)
        assert session.step == at
        await pilot.press("p")
        while session.step == at:
            await pilot.pause()
        await pilot.press("s")
        await settle(pilot)
        assert "stopped: " in screen_text(app)
        assert "r run" in footer(app)


async def test_a_problem_stays_until_it_is_solved() -> None:
    bad = Script([step(1)], error=DataError("The text [/foo] \x1b[2J is empty.", hint="Try [x]."))
    app = app_with(training=[bad, Script([started(), finished()])])
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("r")
        await settle(pilot)
        text = screen_text(app)
        assert "The text [/foo] \\x1b[2J is empty." in text
        assert "Try [x]." in text
        assert "\x1b" not in text
        await pilot.press("2", "1")
        await pilot.pause()
        assert app.pane.problem.display
        await pilot.press("r")
        await settle(pilot)
        assert not app.pane.problem.display


async def test_a_fault_of_ours_is_told_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("MINITF_HOME", str(tmp_path))
    app = app_with(training=Script([], error=ZeroDivisionError("[oops]")))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("r")
        await settle(pilot)
        text = screen_text(app)
        assert "fault in minitf" in text
        assert "Traceback" not in text


async def test_divergence_is_told_with_a_way_on() -> None:
    story = [started(), step(1), Diverged(step=2, what="loss is nan", checkpoint_step=0)]
    app = app_with(training=Script(story))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("r")
        await settle(pilot)
        text = screen_text(app)
        assert "The run ended at step 2: loss is nan." in text
        assert "The checkpoint of step 0 is kept. Try a lower lr, then press r." in text


async def test_numbers_that_are_not_finite_do_not_hurt() -> None:
    nan, inf = float("nan"), float("inf")
    story = [started(), *(step(n) for n in range(1, 30)), step(30, loss=nan, grad_norm=inf, lr=nan)]
    app = app_with(training=Script([*story, validation(30), finished()]))
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.press("r")
        await settle(pilot)
        await pilot.press("y")
        await pilot.pause()
        assert "loss, nats/token (log)" in screen_text(app)


async def test_a_sample_cannot_reach_the_terminal() -> None:
    app = app_with(training=Script([started(), sample(1, "[/x] \x1b[31m \x9b \u202e\x00 end")]))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("r")
        await settle(pilot)
        text = screen_text(app)
        assert "[/x] ·[31m · ·· end" in text


async def test_setting_up_says_what_is_being_done() -> None:
    session = Script([SetupProgressed(stage="training a tokenizer")], waits=True)
    app = app_with(training=session)
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("r")
        await reach(pilot, session.reached_gate)
        await pilot.pause(0.1)
        assert "training a tokenizer" in screen_text(app)
        session.stop()
        await settle(pilot)


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


# Evaluate.


async def test_the_card_has_the_protocol_beside_the_number() -> None:
    app = app_with(evaluation=[Script(evaluation_story()), Script(evaluation_story("other"))])
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("2", "e")
        await settle(pilot)
        text = screen_text(app)
        for part in (
            "1.347",
            "1.330–1.363",
            "3.85",
            "0.663",
            "67.1 %",
            "85.4 %",
            "15,999 tokens",
            "46,600 bytes",
            "validation split",
            "python-docs-1@940",
        ):
            assert part in text, part
        await pilot.press("e")
        await settle(pilot)
        assert "earlier" in screen_text(app)
    assert app.asked[0] == ("evaluation", "last", None, 0)  # type: ignore[attr-defined]


async def test_the_name_of_a_folder_is_no_markup() -> None:
    app = app_with(evaluation=Script(evaluation_story("r[link='x]y")))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("2", "e")
        await settle(pilot)
        assert "r[link='x]y, step 940" in screen_text(app)


async def test_the_name_of_a_folder_cannot_reach_the_terminal() -> None:
    name, shown = "r\x1b[2J", "r·[2J"
    evaluations = [Script(evaluation_story(name)) for _ in range(2)]
    benchmark = Script(benchmark_story(run=name))
    training = Script([started(run=name), finished()])
    app = app_with(evaluation=evaluations, benchmarking=benchmark, training=training)
    async with app.run_test(size=BROAD) as pilot:
        for keys in (["2", "e"], ["e"], ["3", "b"], ["1", "r"]):
            await pilot.press(*keys)
            await settle(pilot)
            text = screen_text(app)
            assert shown in text
            assert "\x1b" not in text


async def test_an_evaluation_shows_progress_and_stops() -> None:
    session = Script(evaluation_story()[:2], then=evaluation_story()[2:], waits=True)
    app = app_with(evaluation=session)
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("2", "e")
        await reach(pilot, session.reached_gate)
        await pilot.pause(0.3)
        assert "8,000 of 15,999 tokens" in screen_text(app)
        assert "evaluation 50 %" in screen_text(app)
        await pilot.press("s")
        await settle(pilot)
        assert "stopped before the end; e starts again" in screen_text(app)


async def test_the_fields_of_an_evaluation_reach_core() -> None:
    app = app_with(evaluation=RunError("There is no run 'x'.", hint="Known: a."))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("2", "i", *["backspace"] * 4, "b", "down", "f", "down", "backspace", "8")
        await pilot.press("enter")
        await settle(pilot)
        assert "There is no run 'x'." in screen_text(app)
    assert app.asked[0] == ("evaluation", "b", "f", 8)  # type: ignore[attr-defined]


# Benchmark.


async def test_a_benchmark_can_be_stopped() -> None:
    session = Script(repetitions()[:3], waits=True)
    app = app_with(benchmarking=session)
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("3", "b")
        await reach(pilot, session.reached_gate)
        await pilot.press("s")
        await settle(pilot)
        assert "b starts again" in screen_text(app)


# Generate.


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
