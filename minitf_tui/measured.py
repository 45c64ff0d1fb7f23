"""Figures of measurements while they are made: a loss that settles, repetitions that scatter. Pure.

To be imported with the first point: numpy comes along.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from minitf_tui import format as fmt
from minitf_tui.figure import Curve, Figure


def settling_figure(seen: Sequence[tuple[int, float]], *, dots: str) -> Figure:
    """The mean loss of all tokens so far, against their number: flat when it can be trusted."""
    tokens, losses = np.array(seen, float).reshape(len(seen), 2).T
    value = fmt.loss(float(losses[-1])) if len(losses) else ""
    curve = Curve("mean so far", tokens, losses, "accent", value=value)
    return Figure("loss, nats/token", (curve,), x_label="tokens scored", dots=dots)


def scatter_figure(
    phase: str, samples: Mapping[str, Sequence[float]], colours: Mapping[str, str], *, dots: str
) -> Figure:
    """Each repetition's time, one colour a kind: level when nothing else took the machine.

    Args:
        phase: what was timed, for the title.
        samples: milliseconds of each repetition, by the label of its kind.
        colours: a colour for each label.
        dots: what lines are made of.
    """
    curves = []
    for label, times in samples.items():
        x = np.arange(1.0, len(times) + 1)
        y = np.array(times, float)
        curves.append(Curve("", x, y, colours[label]))
        curves.append(Curve(label, x, y, colours[label], symbol="●"))
    return Figure(f"{phase}, ms", tuple(curves), "repetition", y_from_zero=True, dots=dots)
