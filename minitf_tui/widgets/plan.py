"""What is to come, while nothing runs: the forecast of a run and its learning rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.widgets import Static

from core.config import RunConfig, TrainConfig
from core.events import Forecast
from minitf_tui import course, outlook
from minitf_tui.figure import Figure
from minitf_tui.sanitize import clean_line
from minitf_tui.standing import final_loss
from minitf_tui.widgets.plot import Plot
from minitf_tui.widgets.readout import Progress, Readout

_COSTS_NOTHING = (
    "lr",
    "matrix_lr",
    "embedding_lr",
    "head_lr",
    "vector_lr",
    "min_lr",
    "warmup_steps",
    "schedule",
    "decay_share",
    "weight_decay",
    "beta1",
    "beta2",
    "momentum",
    "seed",
    "on_divergence",
    "return_lr",
)
"""Settings that make no step longer or shorter."""


def what_matters(config: RunConfig) -> RunConfig:
    """The config without what a forecast does not depend on."""
    plain = TrainConfig(steps=1)
    same = {name: getattr(plain, name) for name in _COSTS_NOTHING if hasattr(plain, name)}
    return replace(config, train=replace(config.train, **same))


class PlanView(Container):
    """A forecast, and the planned learning rate."""

    DEFAULT_CSS = """
    PlanView {
        width: 1fr; height: 1fr; padding: 0 1;
        & > Progress, & > Readout { display: none; }
        & > Static { height: auto; color: $quiet; }
        & > #guess { display: none; margin-top: 1; }
        & > Plot { margin-top: 1; max-height: 16; }
        &.-measured > Readout, &.-measured > #guess, &.-measuring > Progress { display: block; }
    }
    """

    def __init__(self, planned: Callable[[RunConfig, int], course.Plan]) -> None:
        super().__init__(id="plan")
        self._planned = planned
        self.dots = "braille"
        self._forecast: Forecast | None = None
        self._measured: RunConfig | None = None
        self._config: RunConfig | None = None
        self._words = Static("", markup=False)
        self._bar = Progress()
        self._readout = Readout()
        self._guess = Static("", id="guess", markup=False)
        self._plot = Plot(Figure(course.TITLE))

    def compose(self) -> ComposeResult:
        """Its parts, from top to bottom."""
        yield self._words
        yield self._bar
        yield self._readout
        yield self._guess
        yield self._plot

    @property
    def is_stale(self) -> bool:
        """True when the forecast is of settings that are no longer those of the form."""
        return self._measured is not None and (
            self._config is None or what_matters(self._config) != self._measured
        )

    def show(self, config: RunConfig | None) -> None:
        """The plan of these settings; impossible ones leave the plan as it was."""
        self._config = config
        if config is not None:
            steps = self._steps(config)
            plan = self._planned(config, steps)
            own = course.own_rates(config.train)
            self._plot.show(course.planned_figure(plan, steps, dots=self.dots, own=own))
        self._tell()

    def measuring(self, line: str, share: float | None, right: str = "") -> None:
        """A probe is being made."""
        self.add_class("-measuring")
        self._words.display = False
        self._bar.show(line, share, right)

    def measured(self, forecast: Forecast, config: RunConfig) -> None:
        """What a probe of these settings has found."""
        self._forecast, self._measured = forecast, what_matters(config)
        self.add_class("-measured")
        self.show(self._config)

    def is_over(self) -> None:
        """The probe has ended, well or not."""
        self.remove_class("-measuring")
        self._tell()

    def _steps(self, config: RunConfig) -> int:
        if self._forecast is not None and not self.is_stale:
            return int(self._forecast.steps)
        return config.train.planned_steps

    def _tell(self) -> None:
        key = ("F5", "bold $accent")
        if self._forecast is None:
            words = Content.assemble(key, " forecast, from 3 s of training")
        elif self.is_stale:
            words = Content.assemble(("Settings have changed. ", "$warning"), key, " new forecast")
        else:
            words = Content("")
        self._words.update(words)
        self._words.display = bool(words.plain) and not self.has_class("-measuring")
        if self._forecast is not None:
            self._readout.show(*outlook.forecast_groups(self._forecast, is_stale=self.is_stale))
            self._guess.update(f"Final loss: {clean_line(final_loss(self._forecast.final_loss))}.")
