"""What is to be drawn, in numbers: the words between the panes and `plotting`.

This module is imported with the app and costs nothing; `plotting` is imported with the first
curve that has a point.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RGB = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Curve:
    """One series; `x` does not decrease."""

    name: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    colour: str
    """A name in the theme: "accent", "warning", "ghost"."""
    symbol: str = ""
    """A character to mark each point with; empty draws a line of dots."""
    is_ghost: bool = False
    """The few points of a ghost that lie far off do not stretch the scale."""
    value: str = ""
    """The newest value, in the legend."""
    low: NDArray[np.float64] | None = None
    high: NDArray[np.float64] | None = None
    """Edges of a band behind the curve, one value for each of its points; NaN leaves it out."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A place on the x axis where something happened."""

    x: float
    word: str
    """A few letters; left out where there is no room."""
    colour: str = "quiet"


@dataclass(frozen=True, slots=True)
class Figure:
    """Curves on common axes."""

    title: str
    curves: tuple[Curve, ...] = field(default=())
    x_label: str = "step"
    log_y: bool = False
    y_from_zero: bool = False
    dots: str = "braille"
    """What lines are made of: "braille", or one character for fonts that lack it."""
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of a drawing, looked up by name."""

    colours: dict[str, RGB]
    text: RGB
    quiet: RGB

    def __getitem__(self, name: str) -> RGB:
        return self.colours.get(name, self.text)
