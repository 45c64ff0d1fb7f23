"""Marks on a plot: where somebody controlled the run."""

from __future__ import annotations

import numpy as np
from rich.style import Style

from core.events import Controlled, ReturnedToCheckpoint, StepCompleted
from minitf_tui.cli import drawing, figures
from minitf_tui.cli.curves import curves_of
from minitf_tui.cli.screen import Screen
from minitf_tui.figure import Curve, Figure, Mark, Palette
from minitf_tui.marks import mark_of, marks_of
from minitf_tui.plotting import draw

PALETTE = Palette({"accent": (80, 180, 160)}, (210,) * 3, (120,) * 3)


def rows(*marks: Mark, width: int = 60, height: int = 12) -> list[str]:
    x = np.arange(1.0, 101.0)
    figure = Figure("t", (Curve("loss", x, 1 / x, "accent"),), marks=marks)
    return [strip.text for strip in draw(figure, width, height, PALETTE, Style())]


def test_a_mark_is_a_line_with_a_word_and_covers_no_curve() -> None:
    plain, marked = rows(), rows(Mark(50, "lr ×0.5"))
    assert "┊lr ×0.5" in marked[1]
    for before, after in zip(plain, marked, strict=True):
        assert len(before) == len(after)
        changed = [a for b, a in zip(before, after, strict=True) if a != b]
        assert all(b in " ⠀" for b, a in zip(before, after, strict=True) if a != b)
        assert "".join(changed).replace(" ", "") in ("", "┊", "┊lr×0.5")
    assert sum("┊" in row for row in marked) >= 7
    assert plain[-2:] == marked[-2:]  # the axis


def test_words_that_would_run_into_each_other_are_left_out() -> None:
    top = rows(Mark(50, "sample"), Mark(52, "save"), Mark(100, "lr ×2"), Mark(300, "later"))[1]
    assert "sample" in top
    assert "save" not in top
    assert top.rstrip().endswith("lr ×2┊")
    assert "later" not in top


def test_any_place_and_any_size() -> None:
    for width in (20, 33, 80):
        for mark in (Mark(1, "pause"), Mark(100, "a very long word"), Mark(0, "x")):
            assert {len(row) for row in rows(mark, width=width)} == {width}


def test_events_become_marks() -> None:
    told = {
        "lr 0.3": "lr ×0.3",
        "budget +500 steps": "+500",
        "budget =90 seconds": "=90 s",
        "budget +5": "+5",
    }
    for words, word in (told | {"save": "save", "resume": "", "step": ""}).items():
        event = Controlled(step=7, action=words.split()[0], words=words)
        mark = mark_of(event)
        assert (mark.word if mark else "") == word
        line = {"event": "Controlled", "step": 7, "action": words.split()[0], "words": words}
        assert marks_of([line]) == ((Mark(7, word),) if word else ())
    back = ReturnedToCheckpoint(step=9, what="the loss is nan", to_step=5, lr_factor=0.5, returns=1)
    assert mark_of(back) == Mark(5, "back", "warning")
    step = StepCompleted(step=1, loss=1, lr=1, grad_norm=1, tokens=1, tokens_per_s=1, train_s=1)
    assert mark_of(step) is None
    fork = Controlled(step=3, action="fork", words="other@3, lr 0.1")
    assert mark_of(fork) == Mark(3, "fork")


def test_the_picture_and_the_terminal_of_minitf_plot_have_them() -> None:
    told = [
        {"event": "StepCompleted", "step": n, "loss": 2.0 / n, "lr": 0.1, "tokens": 10 * n}
        for n in range(1, 11)
    ]
    words = {"action": "lr", "words": "lr 0.5"}
    curves = curves_of("r", [*told, {"event": "Controlled", "step": 4, **words}], x="tokens")
    assert curves.marks == (Mark(40.0, "lr ×0.5"),)
    picture = figures.rendered(figures.loss([curves], x="tokens"), ".svg").decode()
    assert "lr ×0.5" in picture
    screen = Screen(
        is_terminal=False, columns=60, rows=20, colours=0, has_braille=False, has_unicode=False
    )
    assert ":lr x0.5" in drawing.loss([curves], screen, (60, 12), x="tokens", log_y=False)
