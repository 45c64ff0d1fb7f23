"""The figures of a forecast, in groups for the screen."""

from __future__ import annotations

from core.events import Forecast
from minitf_tui import format as fmt
from minitf_tui.widgets.readout import Group, Reading


def forecast_groups(forecast: Forecast, *, is_stale: bool) -> tuple[Group, Group]:
    """What a probe of 3 seconds tells; grey when it is of other settings."""
    style = "$quiet" if is_stale else ""
    step = fmt.mean_sd(forecast.step_ms, forecast.step_ms_sd)
    return (
        Group(
            "forecast of a step",
            (
                Reading("time", step, "ms", style or "bold $accent"),
                Reading("speed", fmt.count(forecast.tokens_per_s), "tok/s", style),
                Reading("tensors", fmt.size_bytes(forecast.peak_bytes), style=style),
                Reading("memory in all", fmt.size_bytes(forecast.process_bytes), style=style),
            ),
        ),
        Group(
            "forecast of the run",
            (
                Reading("in all", fmt.seconds(forecast.total_s), style=style or "bold $accent"),
                Reading("training", fmt.seconds(forecast.train_s), style=style),
                Reading("steps", fmt.whole(forecast.steps), style=style),
                Reading("tokens", fmt.count(forecast.tokens), style=style),
                Reading("on disk", fmt.size_bytes(forecast.disk_bytes), style=style),
            ),
        ),
    )
