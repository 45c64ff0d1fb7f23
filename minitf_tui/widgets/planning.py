"""A pane with the settings of a run, which tells what they will take before it begins.

It shows the plan while somebody edits or a forecast was asked for, and nothing trains.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from textual import on
from textual.events import DescendantBlur

from core.config import RunConfig
from core.errors import StoreError
from core.events import Event, ForecastCompleted, ForecastProgressed
from core.presets import QUICK
from minitf_tui.course import Plan
from minitf_tui.job import Device
from minitf_tui.widgets.pane import Pane, Recipes
from minitf_tui.widgets.plan import PlanView
from minitf_tui.widgets.run_form import RunForm

if TYPE_CHECKING:
    from core.recipes import Session


class PlanningPane(Pane):
    """The form, the plan, and the probe that measures for the forecast."""

    def __init__(self, device: Device, recipes: Callable[[], Recipes]) -> None:
        super().__init__(device, recipes)
        self.form = RunForm(lambda config: self.recipes().estimate(config))
        self.plan = PlanView(self.planned)
        self.is_probe = False
        """Whether its job is, or was, a probe and not a run."""
        self._wants_plan = False
        self._config: RunConfig | None = QUICK
        """What is in the form; None while that is impossible."""
        self._probed: RunConfig = QUICK
        self._progress: float | None = None
        """Share of the probe's steps; written in the worker."""

    @property
    def is_training(self) -> bool:
        """True while its job is a run that is not over."""
        return self.is_active and not self.is_probe

    @property
    def is_planning(self) -> bool:
        """True while the plan has the place of the run."""
        return self.has_class("-planning")

    def planned(self, config: RunConfig, steps: int) -> Plan:
        """The learning rate of such a run; 0 steps are an unknown number."""
        plan: Plan = self.recipes().planned_lr(config, steps=steps or None)
        return plan

    def edit(self) -> None:
        """See `Pane.edit`."""
        self.add_class("-editing")
        self.settle()
        self.call_after_refresh(self.form.edit)

    def settle(self) -> None:
        """Show the plan while somebody plans and nothing trains."""
        is_wanted = self.has_class("-editing") or self._wants_plan
        is_planning = is_wanted and not self.is_training
        if is_planning and not self.is_planning:
            self.plan.show(self._config)
        self.set_class(is_planning, "-planning")
        self.app.refresh_bindings()

    def do_forecast(self) -> None:
        """Measure for 3 seconds what the settings in the form would take."""

        def make() -> Session:
            self._probed = self.form.config()
            return self.recipes().forecasting(self._probed)

        self.JOB = "forecast"

        def collect(event: Event) -> bool:
            if isinstance(event, ForecastProgressed):
                self._progress = event.share
                return True
            return False

        self._progress = None
        if self.launch(make, collect):
            self.is_probe = self._wants_plan = True
        self.settle()

    def do_back(self) -> None:
        """From the plan to the run, or to the hint."""
        self._wants_plan = False
        self.settle()

    def hear_of_probe(self, event: Event) -> None:
        """News of a forecast; the last one carries it."""
        if isinstance(event, ForecastCompleted):
            self.plan.measured(event.result, self._probed)

    def show_probe(self, setup_share: float | None) -> None:
        """How far the probe is."""
        if self.is_active:
            words = {"waiting": "waiting for the device", "stopping": "stopping"}
            is_timing = self._progress is not None and self._progress < 1
            line = words.get(self.state, "timing steps" if is_timing else self.stage)
            share = self._progress if is_timing else setup_share
            self.plan.measuring(line, share, "s stops it" if is_timing else self.waited)

    @on(DescendantBlur)
    def _left_a_field(self) -> None:
        if self.app.focused is None:
            self.remove_class("-editing")
            self.settle()

    @on(RunForm.Submitted)
    def _submitted(self) -> None:
        if self.can("train"):
            self.act("train")

    @on(RunForm.ForecastWanted)
    def _forecast_wanted(self) -> None:
        if self.can("forecast"):
            self.act("forecast")

    @on(RunForm.Judged)
    def _judged(self, event: RunForm.Judged) -> None:
        is_changed, self._config = event.config != self._config, event.config
        if is_changed and not self.is_active and not isinstance(self.error, StoreError):
            self.complain(None)  # what the settings were refused for is being changed
        if self.is_planning:
            self.plan.show(event.config)
