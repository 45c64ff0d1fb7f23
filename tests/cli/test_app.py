"""When the app opens, and when the quick-start runs without it."""

from __future__ import annotations

import sys

import pytest


@pytest.mark.parametrize(
    ("words", "autostart"),
    [(["app"], None), (["app", "--no-autostart"], False), (["--no-autostart"], False)],
)
def test_the_app_on_request(minitf, opened, words, autostart):
    assert minitf(*words).code == 0
    assert opened == [autostart]


def test_minitf_alone_opens_the_app_on_a_terminal(minitf, opened, terminal):
    terminal("stderr")
    assert minitf().code == 0
    assert opened == [None]


def test_a_driver_named_by_the_environment_counts_as_a_terminal(minitf, opened, monkeypatch):
    monkeypatch.setenv("TEXTUAL_DRIVER", "somewhere:Driver")
    monkeypatch.setenv("TERM", "dumb")
    assert minitf().code == 0
    assert opened == [None]


def test_without_a_terminal_it_stays_closed(minitf, recipes, make, opened):
    recipes.play(make.finished())
    assert minitf().code == 0
    assert opened == []


def test_the_exit_code_of_the_app_is_passed_on(minitf, opened, monkeypatch):
    monkeypatch.setattr(sys.modules["minitf_tui.app"], "run_app", lambda autostart: 1)
    assert minitf("app").code == 1
