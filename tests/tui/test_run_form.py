"""The form of a run: every setting is in it, and what it says is what will run."""

from __future__ import annotations

from typing import Any

import pytest
from textual.widgets import Input

from core.config import RunConfig, read_toml, write_toml
from core.fields import flag_fields
from core.presets import PRESETS, QUICK, preset
from minitf_tui.app import MinitfApp
from minitf_tui.widgets.form import Item
from minitf_tui.widgets.lines import Heading, field_of, painted
from minitf_tui.widgets.run_form import RunForm, sections
from tests.tui.events import finished
from tests.tui.pilot import screen_text, settle
from tests.tui.scripted import Script, app_with

NARROW = (80, 24)
BROAD = (120, 36)


def form_of(app: MinitfApp) -> RunForm:
    return app.pane.query_one(RunForm)


def keys(text: str) -> list[str]:
    """What a keyboard sends for it."""
    names = {
        "[": "left_square_bracket",
        "/": "slash",
        "]": "right_square_bracket",
        ".": "full_stop",
    }
    return [names.get(c, c) for c in text]


async def write(pilot: Any, name: str, text: str) -> None:
    """Go to a setting and write over what is there, as somebody would."""
    form_of(pilot.app).edit(name)
    await pilot.pause()
    await pilot.press("end", "ctrl+u", *keys(text))
    await pilot.pause()


def side(app: MinitfApp) -> str:
    """The words of the form, line breaks gone."""
    lines = [line[1:37] for line in screen_text(app).splitlines()]
    return " ".join(" ".join(lines).replace("│", " ").split())


# What is in it.


@pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)
def test_every_flag_is_a_line_once_with_its_help_unit_and_choices(config: RunConfig) -> None:
    items = [item for part in sections(config) for item in part.items]
    wanted = {about.name: (s, about) for s, about in flag_fields(config)}
    assert sorted(i.name for i in items) == sorted([*wanted, "preset"])
    for item in items[1:]:
        section, about = wanted[item.name]
        assert item.value == getattr(getattr(config, section), item.name)
        assert (item.help, item.unit) == (about.metadata["help"], about.metadata["unit"])
        assert item.choices or type(item.value) is not bool
        assert item.parse(item_text(item)) == item.value


def item_text(item: Item) -> str:
    from minitf_tui.widgets.form import shown

    return shown(item.value)


async def test_a_newcomer_sees_a_few_settings_in_named_sections_and_how_many_more_there_are() -> (
    None
):
    app = app_with()
    async with app.run_test(size=BROAD) as pilot:
        await pilot.pause()
        text = screen_text(app)
        assert all(word in text for word in ("corpus", "d_model", "seconds", "lr", "seed"))
        assert "beta1" not in text
        assert "swiglu" not in text
        for part in sections(QUICK)[1:]:
            assert part.heading in text
            assert f"{len(part.rest)} more ▸" in text


async def test_untouched_the_form_is_its_preset() -> None:
    app = app_with()
    async with app.run_test(size=NARROW):
        assert form_of(app).config() == QUICK


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": 40},
        {"steps": 40, "seconds": 0.0, "epochs": 0.0},
        {"lr": 1e-4, "schedule": "constant", "warmup_steps": 7},
        {"optimizer": "muon", "matrix_lr": 0.02, "schedule": "flat_linear", "decay_share": 0.6},
        {"tied_head": True, "norm": "rmsnorm", "activation": "swiglu", "dropout": 0.25},
        {"corpus": "/tmp/a b.txt", "sample_prompt": "Once ", "validation_fraction": 0.05},
        {"context": 512},
        {"context": 64, "max_seq_len": 64, "stride": 3},
    ],
    ids=str,
)
async def test_what_is_written_is_what_runs(changes: dict[str, Any]) -> None:
    app = app_with(training=Script([finished()]))
    async with app.run_test(size=BROAD) as pilot:
        form = form_of(app)
        for name, value in changes.items():
            form.fill({name: value})
        await pilot.pause()
        # All budgets stand in the form, so none is lifted behind one's back.
        budgets = {name: getattr(QUICK.train, name) for name in ("steps", "seconds", "epochs")}
        wanted = QUICK.with_changes(**{**budgets, **changes})
        assert form.config() == wanted
        assert read_toml(write_toml(form.config())) == wanted
        await pilot.press("r")
        await settle(pilot)
    assert app.asked == [("training", wanted)]  # type: ignore[attr-defined]


# Keys.


async def test_keys_write_settings_and_enter_starts() -> None:
    app = app_with(training=Script([finished()]))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("i", "down", "down", "down", "right")  # tokenizer: bpe -> byte
        await pilot.press(*["down"] * 3, "backspace", "2")  # n_layers, past the heading
        await pilot.press(*["down"] * 4, "backspace", "4", "0", "enter")  # steps
        await settle(pilot)
    kind, config = app.asked[0]  # type: ignore[attr-defined]
    assert kind == "training"
    assert config.text.tokenizer == "byte"
    assert config.model.n_layers == 2
    assert (config.train.steps, config.train.seconds) == (40, 90.0)
    assert config.model.max_seq_len == QUICK.model.max_seq_len


async def test_a_heading_unfolds_and_folds_its_section() -> None:
    app = app_with()
    async with app.run_test(size=BROAD) as pilot:
        await pilot.press("i", "down", "down", "up", "enter")
        await pilot.pause()
        assert "validation_fraction" in screen_text(app)
        form_of(app).edit("vocab_size")
        await pilot.press("backspace", "8")
        form_of(app).edit("text")
        await pilot.press("space")
        await pilot.pause()
        text = screen_text(app)
        assert "validation_fraction" not in text
        assert "1 changed ▸" in text
        assert form_of(app).config().text.vocab_size == 518


async def test_the_cursor_goes_round_and_by_pages_and_stays_in_sight() -> None:
    app = app_with()
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("i", "up")
        await pilot.pause()
        assert "eval" in side(app)
        await pilot.press("pageup", "pageup", "pageup")
        await pilot.pause()
        assert form_of(app).outline.cursor == 0
        assert "preset" in side(app)


async def test_a_click_goes_to_a_line_and_a_second_one_turns_a_choice() -> None:
    app = app_with()
    async with app.run_test(size=BROAD) as pilot:
        await pilot.pause()
        lines = "Lines"
        await pilot.click(lines, offset=(20, 3))
        await pilot.pause()
        assert form_of(app).texts()["tokenizer"] == "bpe"
        await pilot.click(lines, offset=(20, 3))
        await pilot.pause()
        assert form_of(app).texts()["tokenizer"] == "byte"
        await pilot.click(lines, offset=(3, 4))  # a heading
        await pilot.pause()
        assert "n_kv_heads" in screen_text(app)
        await pilot.click(lines, offset=(20, 5))
        await pilot.press("end", "0")
        await pilot.pause()
        assert form_of(app).texts()["d_model"] == "1280"


async def test_letters_on_a_choice_choose_and_digits_do_not_change_the_pane() -> None:
    app = app_with()
    async with app.run_test(size=NARROW) as pilot:
        form_of(app).edit("tokenizer")
        await pilot.press("2", "c", "q")
        await pilot.pause()
        assert form_of(app).texts()["tokenizer"] == "char"
        assert app.pane.NAME == "train"


# Finding.


async def test_a_setting_is_found_by_a_part_of_its_name() -> None:
    app = app_with()
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("i", "ctrl+f", *"soft")
        await pilot.pause()
        words = side(app)
        assert "logit_softcap" in words
        assert "d_model" not in words.split("parameters")[0]
        await pilot.press("down", "backspace", "3", "0", "escape")
        await pilot.pause()
        assert form_of(app).config().model.logit_softcap == 30.0
        assert "d_model" in side(app)
        assert app.focused is not None
        await pilot.press("escape")
        await pilot.pause()
        assert app.focused is None


async def test_a_setting_is_found_by_its_help_when_no_name_has_the_words() -> None:
    app = app_with()
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("i", "ctrl+f", *"output", "enter")
        await pilot.pause()
        current = form_of(app).sheet.current
        assert current is not None
        assert current.name == "tied_head"


async def test_a_letter_on_a_heading_begins_to_look_and_finding_nothing_is_said() -> None:
    app = app_with()
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("i", "down", *"zzz")
        await pilot.pause()
        assert "No setting has that" in side(app)
        await pilot.press("down", "enter", "escape")
        await pilot.pause()
        assert "corpus" in side(app)


# Presets, resetting.


async def test_a_preset_fills_the_form_and_takes_changes_along() -> None:
    app = app_with()
    async with app.run_test(size=NARROW) as pilot:
        await write(pilot, "lr", "0.5")
        form_of(app).edit("preset")
        await pilot.press("right")
        await pilot.pause()
        assert form_of(app).config() == PRESETS["quick-large"]
        assert "•" not in side(app)


async def test_what_is_changed_is_marked_and_can_be_reset() -> None:
    app = app_with()
    async with app.run_test(size=BROAD) as pilot:
        await write(pilot, "d_model", "256")
        await write(pilot, "n_layers", "9")
        words = side(app)
        assert "• d_model 256" in words
        assert "• n_layers 9" in words
        assert "(2)" in words  # what the preset says
        await pilot.press("ctrl+r")
        await pilot.pause()
        assert "• n_layers" not in side(app)
        assert isinstance(app.focused, Input)
        assert app.focused.value == "2"
        form_of(app).edit("preset")
        await pilot.press("ctrl+r")
        await pilot.pause()
        assert form_of(app).config() == QUICK


async def test_a_heading_resets_its_section_folded_or_not() -> None:
    app = app_with()
    async with app.run_test(size=BROAD) as pilot:
        form = form_of(app)
        form.fill({"d_model": 256, "bias": True, "lr": 0.5})
        await pilot.press("i", *["down"] * 4, "ctrl+r")
        await pilot.pause()
        assert form.config() == QUICK.with_changes(**_with_budgets(lr=0.5))


def _with_budgets(**changes: Any) -> dict[str, Any]:
    return {"seconds": 90.0, "epochs": 10.0} | changes


# What it says.


async def test_costs_are_told_while_somebody_types() -> None:
    app = app_with()
    async with app.run_test(size=BROAD) as pilot:
        await pilot.pause()
        assert "1,024 tok/step, 3.9 MFLOP/tok" in side(app)
        assert "1.0 M parameters, 130.0 MiB" in side(app)
        await write(pilot, "batch_size", "16")
        words = side(app)
        assert "2,048 tok/step" in words
        assert "rows in a batch" in words
        assert isinstance(app.focused, Input)


@pytest.mark.parametrize(
    ("name", "typed", "said"),
    [
        ("d_model", "30", "d_model=30 does not divide into n_heads=4"),
        ("d_model", "[/x]", "'[/x]' is not a whole number"),
        ("lr", "0", "lr=0 is not above 0"),
        ("stride", "999", "stride=999 is longer than context=128"),
    ],
)
async def test_impossible_settings_are_told_at_once_and_do_not_start(
    name: str, typed: str, said: str
) -> None:
    app = app_with()
    async with app.run_test(size=BROAD) as pilot:
        if name == "stride":
            form_of(app).sheet.seek("stride")
        await write(pilot, name, typed)
        assert said in side(app)
        await pilot.press("enter")
        await settle(pilot)
        assert app.pane.problem.display
        assert app.asked == []  # type: ignore[attr-defined]


async def test_a_longer_context_makes_the_model_hold_it_until_somebody_says_otherwise() -> None:
    app = app_with()
    async with app.run_test(size=BROAD) as pilot:
        form = form_of(app)
        await write(pilot, "context", "512")
        assert form.texts()["max_seq_len"] == "512"
        await write(pilot, "context", "64")
        assert form.texts()["max_seq_len"] == str(QUICK.model.max_seq_len)
        form.sheet.seek("max_seq")
        await write(pilot, "max_seq_len", "100")
        form.sheet.seek("")
        await write(pilot, "context", "512")
        assert form.texts()["max_seq_len"] == "100"
        assert "context=512 is longer than max_seq_len=100" in side(app)


async def test_typed_text_cannot_reach_the_terminal_or_be_markup() -> None:
    app = app_with()
    async with app.run_test(size=BROAD) as pilot:
        form_of(app).fill({"corpus": "[/a]\x1b[2J\u202e"})
        await pilot.pause()
        assert "[/a]·[2J·" in screen_text(app)


# Cost.


async def test_opening_mounts_one_field_not_fifty() -> None:
    app = app_with()
    async with app.run_test(size=BROAD) as pilot:
        await pilot.press("i", "down", "enter")
        await pilot.pause()
        assert len(app.pane.query(Input)) == 2  # the field, and the one for finding
        assert len(form_of(app).query("*")) < 10


async def test_the_form_is_not_painted_while_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    app = app_with()
    async with app.run_test(size=BROAD) as pilot:
        await pilot.pause()
        painted = []
        sheet = form_of(app).sheet
        real = sheet.painting
        monkeypatch.setattr(sheet, "painting", lambda width: painted.append(width) or real(width))
        for _ in range(20):
            app.look()
        await pilot.pause()
        assert painted == []


# Lines.


@pytest.mark.parametrize("width", [26, 33, 48, 100])
def test_every_line_is_as_wide_as_the_form(width: int) -> None:
    for part in sections(preset("quick")):
        for item in part.items:
            text = painted(item, item_text(item) * 3, width, {item.name}, is_here=True).plain
            assert len(text) == max(width, len(text.rstrip())), item.name
            start, room = field_of(item, width)
            assert start + room <= max(width, start + 1)
        heading = Heading(part.heading, frozenset(i.name for i in part.rest))
        assert len(painted(heading, "", width, set(), is_here=False).plain) == width
