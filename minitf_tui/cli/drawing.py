"""Plots as lines of text, for a terminal or a pipe. Numbers in, text out.

With colours only where they may be; in braille, or in plain ASCII where the encoding has
nothing better.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

import numpy as np
from rich.color import ColorSystem
from rich.segment import Segment
from rich.style import Style

from minitf_tui import format as fmt
from minitf_tui import plotting
from minitf_tui.cli import figures, reports
from minitf_tui.cli.curves import AXES, Curves
from minitf_tui.cli.screen import TRUE_COLOUR, Screen
from minitf_tui.figure import RGB, Curve, Figure, Palette
from minitf_tui.problems import escape
from minitf_tui.widgets.bars import Bar, drawn

ASCII = str.maketrans(
    dict.fromkeys("┤├┬┴┼┌┐└┘", "+")
    | dict(zip("│─━●█▒×–·┊", "|--o#~x-.:", strict=True))
    | {"±": "+-"}
)
_BLOCKS = re.compile("[█▏▎▍▌▋▊▉▒]+")
_DEPTHS = {
    16: ColorSystem.STANDARD,
    256: ColorSystem.EIGHT_BIT,
    TRUE_COLOUR: ColorSystem.TRUECOLOR,
}


def loss(
    runs: Sequence[Curves], screen: Screen, size: tuple[int, int], *, x: str, log_y: bool
) -> str:
    """The losses of one run or of several, `size` columns and rows, and a table of several."""
    lines = _loss_figure(runs, screen, x=x, log_y=log_y)
    strips = plotting.draw(lines, *size, _palette(len(runs)), Style())
    parts = ["\n".join(_line(strip, screen) for strip in strips)]
    if len(runs) > 1:
        parts.append(_table(runs, screen))
    return "\n\n".join(parts)


def latency(cells: figures.Cells, title: str, screen: Screen, width: int) -> str:
    """A bar for each phase and variant, mean ± one standard deviation."""
    lines = [f"{escape(title)}: mean ± sd of {figures.repetitions(cells)} repetitions"]
    for phase in ("prefill", "decode"):
        found = figures.cells_of(cells, phase)
        bars = [
            Bar(escape(figures.name_of(c)), tuple(c["samples_ms"]), c["tokens"], "") for c in found
        ]
        heading = f"{phase}, {found[0]['tokens'] if found else 0} tokens"
        first, *rest = drawn(heading, bars, width).plain.split("\n")
        lines += ["", first]
        lines += [_bar_line(line, place, screen) for place, line in enumerate(rest)]
    return "\n".join(_plain(line, screen).rstrip() for line in lines)


def _loss_figure(runs: Sequence[Curves], screen: Screen, *, x: str, log_y: bool) -> Figure:
    is_alone = len(runs) == 1
    curves = _of_one(runs[0], screen) if is_alone else _of_several(runs, screen)
    title = f"loss of {escape(runs[0].run)}, nats/token" if is_alone else "loss, nats/token"
    return Figure(
        title + (" (log)" if log_y else ""),
        (*curves, *_floors(runs)),
        x_label=AXES[x],
        log_y=log_y,
        dots="braille" if screen.has_braille else "*",
        marks=runs[0].marks if is_alone else (),
    )


def _of_one(run: Curves, screen: Screen) -> Iterable[Curve]:
    places, smooth = np.array(run.x), np.array(run.smoothed)
    if screen.colours or screen.has_braille:  # of stars in one colour nobody tells two curves
        yield Curve("batch", places, np.array(run.loss), "ghost", is_ghost=True)
    yield Curve("mean", places, smooth, "run0", value=fmt.loss(smooth[-1]))
    if run.validation:
        where, scored = np.array(run.validation_x), np.array(run.validation)
        value = fmt.loss(scored[-1])
        yield Curve("held out", where, scored, "held out", symbol="●", value=value)


def _of_several(runs: Sequence[Curves], screen: Screen) -> Iterable[Curve]:
    """Each in its colour, with its validations as dots; without colours in its letter."""
    for index, run in enumerate(runs):
        places, smooth = np.array(run.x), np.array(run.smoothed)
        colour, letter = f"run{index}", "" if screen.colours else _mark(index, screen)
        name, value = escape(run.run), fmt.loss(smooth[-1])
        yield Curve(name, places, smooth, colour, symbol=letter, value=value)
        if run.validation and screen.colours:
            where, scored = np.array(run.validation_x), np.array(run.validation)
            yield Curve("", where, scored, colour, symbol="●")


def _mark(index: int, screen: Screen) -> str:
    """What a run is drawn with, in the plot and in the table."""
    return "━" if screen.colours else "abcdefghijklmnopqrstuvwxyz"[index % 26]


def _floors(runs: Sequence[Curves]) -> Iterable[Curve]:
    first = min((run.x[0] for run in runs if run.x), default=0.0)
    last = max((run.x[-1] for run in runs if run.x), default=0.0)
    for floor in sorted({run.floor for run in runs if run.floor is not None}):
        yield Curve(
            "floor", np.array([first, last]), np.full(2, floor), "ghost", value=fmt.loss(floor)
        )


def _palette(n: int) -> Palette:
    """Colours that are told apart on dark and on light, for nobody knows which it is."""
    colours = {f"run{i}": figures.RUN_COLOURS[i % len(figures.RUN_COLOURS)] for i in range(n)}
    named = colours | {"held out": figures.ORANGE, "ghost": figures.GREY}
    grey = _rgb(figures.GREY)
    return Palette({name: _rgb(code) for name, code in named.items()}, text=grey, quiet=grey)


def _table(runs: Sequence[Curves], screen: Screen) -> str:
    """How each run stands, marked in its colour: the legend of the plot."""
    head = ("  run", "steps", "loss", "held out", "best")
    rows = [
        (
            f"{_mark(index, screen)} {escape(run.run)}",
            fmt.whole(len(run.x)),
            fmt.loss(run.smoothed[-1]),
            fmt.loss(run.validation[-1] if run.validation else None),
            fmt.loss(min((v for v in run.validation if math.isfinite(v)), default=None)),
        )
        for index, run in enumerate(runs)
    ]
    first, *rest = reports.columns([head, *rows], left=1).split("\n")
    lines = [_plain(first, screen)]
    for index, line in enumerate(rest):
        colour = figures.RUN_COLOURS[index % len(figures.RUN_COLOURS)]
        lines.append(_painted(line[:1], colour, screen) + _plain(line[1:], screen))
    return "\n".join(lines)


def _bar_line(line: str, place: int, screen: Screen) -> str:
    colour = figures.VARIANT_COLOURS[place % len(figures.VARIANT_COLOURS)]
    return _BLOCKS.sub(lambda found: _painted(found[0], colour, screen), line)


def _painted(text: str, colour: str, screen: Screen) -> str:
    return Style(color=colour).render(_plain(text, screen), color_system=_depth(screen))


def _line(segments: Iterable[Segment], screen: Screen) -> str:
    depth = _depth(screen)
    parts = [
        (segment.style or Style()).render(_plain(segment.text, screen), color_system=depth)
        for segment in segments
    ]
    return "".join(parts).rstrip()


def _plain(text: str, screen: Screen) -> str:
    """What the screen's encoding has; an eighth of a block becomes nothing."""
    if screen.has_unicode:
        return text
    return re.sub("[▏▎▍▌▋▊▉]", "", text.translate(ASCII))


def _depth(screen: Screen) -> ColorSystem | None:
    return _DEPTHS.get(screen.colours)


def _rgb(code: str) -> RGB:
    return int(code[1:3], 16), int(code[3:5], 16), int(code[5:7], 16)
