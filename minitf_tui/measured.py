"""The figure of an evaluation while it is made: a loss that settles. Pure.

To be imported with the first point: numpy comes along.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minitf_tui import format as fmt
from minitf_tui.figure import Curve, Figure


def settling_figure(seen: Sequence[tuple[int, float]], *, dots: str) -> Figure:
    """The mean loss of all tokens so far, against their number: flat when it can be trusted."""
    tokens, losses = np.array(seen, float).reshape(len(seen), 2).T
    value = fmt.loss(float(losses[-1])) if len(losses) else ""
    curve = Curve("mean so far", tokens, losses, "accent", value=value)
    return Figure("loss, nats/token", (curve,), x_label="tokens scored", dots=dots)
