"""What the app remembers, and what it does when it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.theme import BUILTIN_THEMES

from core.errors import ConfigError
from minitf_tui.settings import (
    OLD_SUFFIX,
    Settings,
    SettingsError,
    load_settings,
    save_settings,
    settings_file,
)
from minitf_tui.theme import DARK, LIGHT
from tests.tui.pilot import screen_text
from tests.tui.scripted import app_with

SIZE = (120, 36)


def written(text: str) -> Path:
    path = settings_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_file_there_are_defaults_and_no_problem() -> None:
    assert load_settings() == (Settings(), None)
    assert not settings_file().exists()


def test_what_is_saved_is_loaded() -> None:
    mine = Settings(
        theme="nord",
        smoothing=0.5,
        log_y=True,
        baselines=False,
        markers="ascii",
        low_bandwidth=True,
    )
    save_settings(mine)
    assert load_settings() == (mine, None)


def test_every_key_in_the_file_is_explained() -> None:
    save_settings(Settings())
    lines = settings_file().read_text().splitlines()
    keys = [n for n, line in enumerate(lines) if " = " in line]
    assert len(keys) == 7
    assert all(lines[n - 1].startswith("# ") for n in keys)


def test_a_bad_value_costs_one_default_and_the_rest_is_kept() -> None:
    written('theme = "nord"\nsmoothing = 7\nmarkers = "ascii"\n')
    settings, problem = load_settings()
    assert settings == Settings(theme="nord", markers="ascii")
    assert "smoothing=7 is not between 0 and 0.99." in str(problem)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('smoothing = "x"', "smoothing='x' is not a number"),
        ('markers = "dots"', "markers='dots' is not one of braille, hd, full, ascii"),
        ("plot_share = 0.0", "plot_share=0 is not between 0.005 and 0.5"),
        ("log_y = 1", "log_y=1 is not true or false"),
        ("theme = [", "Invalid value"),
        ("\x00", "can be read"),
    ],
)
def test_a_damaged_file_is_told_in_a_sentence(line: str, said: str) -> None:
    path = written(line + "\n")
    settings, problem = load_settings()
    assert settings == Settings()
    assert said in str(problem)
    assert f"{path} stays as it is until" in problem.hint  # type: ignore[union-attr]


def test_a_file_that_is_not_utf8_is_told_too() -> None:
    path = written("")
    path.write_bytes(b"theme = '\xff'\n")
    assert load_settings()[1] is not None


def test_unknown_keys_survive_a_change() -> None:
    path = written('colour = "blue"\ntheme = "nord"\n[later]\nx = 1\n')
    assert load_settings() == (Settings(theme="nord"), None)
    save_settings(Settings(theme="dracula"))
    text = path.read_text()
    assert 'colour = "blue"' in text
    assert "[later]\nx = 1" in text
    assert load_settings() == (Settings(theme="dracula"), None)


def test_what_is_no_toml_is_put_aside_not_lost() -> None:
    path = written("theme = [\n")
    save_settings(Settings())
    assert path.with_name(path.name + OLD_SUFFIX).read_text() == "theme = [\n"
    assert load_settings() == (Settings(), None)


def test_a_place_that_cannot_be_written_is_told() -> None:
    settings_file().parent.parent.mkdir(parents=True, exist_ok=True)
    settings_file().parent.write_text("a file, not a folder")
    with pytest.raises(SettingsError, match="cannot be kept") as caught:
        save_settings(Settings())
    assert str(settings_file()) in caught.value.hint


@pytest.mark.parametrize("changes", [{"smoothing": 1.0}, {"markers": "x"}, {"theme": 3}])
def test_impossible_settings_cannot_be_made(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Settings(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("markers", "term", "dots"),
    [
        ("braille", "xterm", "braille"),
        ("braille", "linux", "*"),
        ("ascii", "xterm", "*"),
        ("hd", "linux", "hd"),
    ],
)
def test_dots_suit_the_terminal(
    markers: str, term: str, dots: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", term)
    assert Settings(markers=markers).dots == dots


# In the app.


async def test_a_theme_is_remembered() -> None:
    app = app_with()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("t", "q")
        await pilot.pause()
    assert load_settings() == (Settings(theme=LIGHT.name), None)
    again = app_with()
    async with again.run_test(size=SIZE) as pilot:
        await pilot.pause()
        assert again.theme == LIGHT.name


async def test_a_theme_chosen_elsewhere_is_remembered_too() -> None:
    app = app_with()
    async with app.run_test(size=SIZE) as pilot:
        app.theme = "nord"
        await pilot.pause()
        assert app.settings.theme == "nord"
        await pilot.press("q")
        await pilot.pause()
    assert load_settings()[0].theme == "nord"


async def test_nothing_is_written_while_nothing_is_changed() -> None:
    path = written("theme = [/foo]\n")
    app = app_with()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        assert "Not all of the settings can be read" in screen_text(app)
        assert "[/foo]" not in screen_text(app)
        await pilot.press("escape")
        await pilot.pause()
        assert "can be read" not in screen_text(app)
        await pilot.press("q")
        await pilot.pause()
    assert path.read_text() == "theme = [/foo]\n"
    assert app.return_code == 0


async def test_a_change_solves_the_problem() -> None:
    written("smoothing = 9\n")
    app = app_with()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        assert app.notice.is_said
        await pilot.press("t")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert not app.notice.is_said


async def test_an_unknown_theme_is_told_and_kept_in_the_file() -> None:
    path = written('theme = "[/foo]"\n')
    app = app_with()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        assert app.theme == DARK.name
        assert "There is no theme '[/foo]'." in screen_text(app)
        await pilot.press("q")
        await pilot.pause()
    assert path.read_text() == 'theme = "[/foo]"\n'


async def test_a_read_only_home_costs_a_sentence_and_nothing_else(minitf_home: Path) -> None:
    minitf_home.write_text("a file, not a folder")
    app = app_with()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("t")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert app.theme == LIGHT.name
        assert "The settings cannot be kept" in screen_text(app)
        await pilot.press("q")
        await pilot.pause()
    assert app.return_code == 0


@pytest.mark.slow
async def test_every_theme_can_be_shown() -> None:
    app = app_with()
    async with app.run_test(size=(80, 24)) as pilot:
        for theme in (*BUILTIN_THEMES, DARK.name, LIGHT.name):
            app.change_settings(theme=theme)
            await pilot.pause()
            assert app.theme == theme
            assert {"quiet", "ghost", "line"} <= app.theme_variables.keys()


async def test_a_terminal_theme_is_there_from_the_first_frame() -> None:
    save_settings(Settings(theme="ansi-dark"))
    app = app_with()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2", "3", "4", "5", "1")
        assert app.theme == "ansi-dark"


async def test_two_themes_at_once_end_with_the_second() -> None:
    app = app_with()
    async with app.run_test(size=SIZE) as pilot:
        app.change_settings(theme="nord")
        app.change_settings(theme="dracula")
        for _ in range(5):
            await pilot.pause()
        assert (app.theme, app.settings.theme) == ("dracula", "dracula")
