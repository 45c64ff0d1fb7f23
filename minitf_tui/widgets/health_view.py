"""How the layers of a run fare, and what was said of it; and the line with the newest alert."""

from __future__ import annotations

from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

from core.events import AlertRaised
from minitf_tui import health_readings
from minitf_tui.vitals import Vitals


class HealthView(Widget):
    """A line a layer; painted anew when something was measured."""

    DEFAULT_CSS = "HealthView { width: 1fr; height: 1fr; display: none; }"

    def __init__(self) -> None:
        super().__init__(id="health")
        self._vitals, self._train_s = Vitals(), 0.0
        self._drawn: tuple[object, ...] = ()

    def show(self, vitals: Vitals, train_s: float) -> None:
        """What was measured until now, in a run that has trained for so long."""
        state = id(vitals), len(vitals.measured), len(vitals.alerts)
        self._vitals, self._train_s = vitals, train_s
        if state != self._drawn:
            self._drawn = state
            self.refresh()

    def render(self) -> Content:
        """What is painted."""
        return health_readings.table(self._vitals, self._train_s, *self.size)


class AlertLine(Widget):
    """The newest alert, on one line; nothing of it shows while there is none."""

    DEFAULT_CSS = "AlertLine { width: 1fr; height: 1; padding: 0 1; display: none; }"

    def __init__(self) -> None:
        super().__init__(id="alert")
        self._alert: AlertRaised | None = None

    def show(self, alert: AlertRaised | None) -> None:
        """Tell of it until another one comes; None takes it away."""
        if alert is not self._alert:
            self._alert = alert
            self.display = alert is not None
            self.refresh()

    def render(self) -> Content:
        """What is painted."""
        if self._alert is None:
            return Content("")
        return health_readings.alert_line(self._alert, self.size.width)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """One line."""
        return 1
