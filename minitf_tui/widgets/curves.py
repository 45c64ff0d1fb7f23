"""The plots of a run: loss, learning rate, gradient norm, speed; one of them as large as it gets.

They are told when to draw; how, is here: scale, smoothing, what lines are made of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Container

from core.events import RunStarted
from minitf_tui import course, readings
from minitf_tui.figure import Figure, Mark
from minitf_tui.widgets.plot import Plot

if TYPE_CHECKING:
    from minitf_tui.history import History
    from minitf_tui.settings import Settings

NAMES = ("loss", "lr", "grad", "speed")
LARGEST_ORDER = ("", "loss", "lr", "grad")
"""What the key goes through; empty shows all."""

LEVELS = (0.0, 0.8, 0.9, 0.95, 0.98, 0.99)
"""Levels of smoothing that the key goes through; 0 is off."""


def next_level(level: float) -> float:
    """The first level above, or the lowest."""
    return next((known for known in LEVELS if known > level + 1e-9), LEVELS[0])


class Curves(Container):
    """Four plots; only those that are seen are drawn."""

    DEFAULT_CSS = """
    Curves {
        height: 1fr; width: 1fr;
        & > #small { layout: horizontal; height: 8; width: 1fr; }
        & #speed { display: none; }
        &.-one Plot, &.-one-small > #loss { display: none; }
        &.-one > #small { display: none; }
        &.-one .-largest { display: block; }
        &.-one-small > #small { display: block; height: 1fr; width: 1fr; }
    }
    """

    def __init__(self) -> None:
        super().__init__(id="plots")
        self.log_y = False
        self.smoothing = 0.9
        self.dots = "braille"
        self.largest = ""
        """Which plot has all the room; empty when they share it."""
        self.plan: course.Plan = ()
        self.marks: tuple[Mark, ...] = ()
        """On the plot of the loss."""
        titles = ("loss", "lr", "grad norm", "speed")
        self._plots = {n: Plot(Figure(t), id=n) for n, t in zip(NAMES, titles, strict=True)}
        self._drawn: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        """Its parts, from top to bottom."""
        yield self._plots["loss"]
        with Container(id="small"):
            yield from (self._plots[name] for name in NAMES[1:])

    def be_like(self, settings: Settings) -> None:
        """Draw from now on as somebody likes it."""
        self.log_y, self.smoothing = settings.log_y, settings.smoothing
        self.dots = settings.dots
        self.again()

    def enlarge(self, name: str) -> None:
        """Give one plot all the room, or share it again."""
        self.largest = name
        self.set_class(bool(name), "-one")
        self.set_class(name in NAMES[1:], "-one-small")
        for known, plot in self._plots.items():
            plot.set_class(known == name, "-largest")
        self.again()

    def enlarge_next(self) -> None:
        """The next plot, and after the last one all of them."""
        here = LARGEST_ORDER.index(self.largest)
        self.enlarge(LARGEST_ORDER[(here + 1) % len(LARGEST_ORDER)])

    def again(self) -> None:
        """Draw at the next occasion even if nothing is new."""
        self._drawn = ()

    def draw(self, history: History, started: RunStarted | None) -> None:
        """Draw what is new and seen."""
        floor = started.floor_loss if started else None
        lengths = len(history.steps), len(history.validations)
        state = (*lengths, self.size, self.plan, self.marks, id(history), floor)
        if not len(history.steps) or state == self._drawn:
            return
        self._drawn = state
        for name, make in self._figures(history, started).items():
            if self._is_seen(name):
                # One after another: a key in between need not wait for all of them.
                self.call_later(self._draw_one, name, make)

    def _draw_one(self, name: str, make: Callable[[], Figure]) -> None:
        self._plots[name].show(make())

    def _is_seen(self, name: str) -> bool:
        plot = self._plots[name]
        return all(node.display for node in (plot, self.query_one("#small"))) or (
            name == "loss" and plot.display
        )

    def _loss_figure(self, history: History, started: RunStarted | None) -> Figure:
        figure = readings.loss_figure(
            history, log_y=self.log_y, dots=self.dots, smoothing=self.smoothing
        )
        return readings.with_floor(figure, started.floor_loss if started else None)

    def _figures(
        self, history: History, started: RunStarted | None
    ) -> dict[str, Callable[[], Figure]]:
        dots = self.dots
        steps, seconds = (started.steps, started.seconds) if started else (0, 0.0)
        return {
            "loss": lambda: replace(self._loss_figure(history, started), marks=self.marks),
            "lr": lambda: course.course_figure(history, self.plan, steps, seconds, dots=dots),
            "grad": lambda: readings.step_figure(
                history, "grad_norm", "gradient norm (log)", "secondary", dots=dots, log_y=True
            ),
            "speed": lambda: readings.step_figure(
                history, "tokens_per_s", "tokens/s", "secondary", dots=dots
            ),
        }
