"""The course of the learning rate: what is planned, what was taken, what is to come. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from minitf_tui.figure import Curve, Figure

if TYPE_CHECKING:
    from core.config import TrainConfig
    from minitf_tui.history import History

Plan = Sequence[tuple[float, float]]
"""(share of the budget, learning rate), the shares ascending from 0 to 1."""
TITLE = "learning rate"
KINDS = {"matrix": "accent", "embedding": "warning", "head": "success", "vector": "ghost"}
"""Of parameters, and the colours of their rates."""


def own_rates(train: TrainConfig) -> dict[str, float]:
    """Kinds of parameters that have a rate of their own, and how many times lr it is."""
    found = {kind: getattr(train, f"{kind}_lr") / train.lr for kind in KINDS}
    return {kind: ratio for kind, ratio in found.items() if ratio not in (0, 1)}


def planned_figure(
    plan: Plan, steps: int, *, dots: str, own: Mapping[str, float] | None = None
) -> Figure:
    """The plan of a run that has not begun, over its steps; over percent without a number.
    `own` are the rates that differ, see `own_rates`."""
    import numpy as np

    shares, rates = np.array(plan, float).reshape(-1, 2).T
    x = shares * (steps or 100)
    others = [Curve(kind, x, rates * ratio, KINDS[kind]) for kind, ratio in (own or {}).items()]
    return Figure(
        f"{TITLE}, planned",
        (Curve("lr" if others else "", x, rates, "secondary"), *others),
        x_label="step" if steps else "% of the run",
        dots=dots,
        y_from_zero=True,
    )


def lowered(plan: Plan, factor: float) -> Plan:
    """The plan of a run that returned to a checkpoint, to go on more carefully."""
    return [(share, rate * factor) for share, rate in plan]


def course_figure(history: History, plan: Plan, steps: int, seconds: float, *, dots: str) -> Figure:
    """What was taken, and the rest of the plan ahead of it to the end of the budget."""
    import numpy as np

    x, y = history.steps["step"], history.steps["lr"]
    n = min(len(x), len(y))
    taken = Curve("", x[:n], y[:n], "secondary")
    curves = [taken]
    end = history.last_step(steps, seconds)
    done = history.share_done(steps, seconds)
    if plan and end is not None and done < 1 and n:
        shares, rates = np.array(plan, float).reshape(-1, 2).T
        ahead = shares > done
        here = float(x[n - 1])
        to_come = here + (shares[ahead] - done) / (1 - done) * (end - here)
        curves.insert(0, Curve("ahead", to_come, rates[ahead], "ghost"))
    return Figure(TITLE, tuple(curves), dots=dots, y_from_zero=True)
