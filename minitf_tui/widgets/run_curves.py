"""The losses of several runs on common axes, drawn again when something about them is new."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from minitf_tui.figure import Figure
from minitf_tui.widgets.plot import Plot

if TYPE_CHECKING:
    from minitf_tui.run_list import RunDetails
    from minitf_tui.settings import Settings


class RunCurves(Plot):
    """Knows along which axis they are drawn."""

    def __init__(self) -> None:
        super().__init__(Figure("loss"), id="curves")
        self._axis = "step"
        self._seen: object = None

    def turn_axis(self) -> None:
        """The next of step, tokens and time."""
        from minitf_tui.comparison import X_AXES

        self._axis = X_AXES[(X_AXES.index(self._axis) + 1) % len(X_AXES)]

    def draw(self, runs: Sequence[RunDetails], settings: Settings) -> None:
        """Replace what is drawn, unless it is that already."""
        from minitf_tui.comparison import comparison_figure

        seen = (self._axis, settings.dots, settings.log_y, list(runs))
        if seen != self._seen:
            self._seen = seen
            curves = [run.curve for run in runs]
            look = {"x_axis": self._axis, "dots": settings.dots}
            self.show(comparison_figure(curves, **look, log_y=settings.log_y))
