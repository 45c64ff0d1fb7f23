"""Pictures for files, drawn by matplotlib without a screen. Numbers in, a figure out.

The same numbers give the same file, byte for byte: no dates, no random ids. The text of an
SVG stays text, so that it can be searched and set in the reader's own font.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minitf_tui import format as fmt
from minitf_tui.cli.curves import AXES, Curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
# Okabe and Ito's colours, told apart by most colour-blind readers.
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#8a8a8a"
RUN_COLOURS = (BLUE, ORANGE, GREEN, "#cc79a7", "#56b4e9", "#e69f00")
VARIANT_COLOURS = (ORANGE, BLUE, GREEN, "#cc79a7", "#56b4e9", "#e69f00")
_UNDATED = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}

Cells = Sequence[dict[str, Any]]


def save(figure: Figure, path: Path) -> None:
    """Write the picture in the format that the name asks for, whole or not at all."""
    from minitf_tui.cli.output import replace_file

    replace_file(path, rendered(figure, path.suffix.lower()))


def rendered(figure: Figure, suffix: str) -> bytes:
    """The picture in the format that a name with that suffix asks for."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    file = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "minitf", "svg.fonttype": "none"}):
        figure.savefig(file, format=suffix[1:], dpi=DPI, metadata=_UNDATED.get(suffix))
    return file.getvalue()


def loss(runs: Sequence[Curves], *, x: str = "step", log_y: bool = False) -> Figure:
    """Training and validation loss, and the learning rate below."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 5.5), layout="constrained")
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    _one_run(top, below, runs[0]) if len(runs) == 1 else _several_runs(top, below, runs)
    for floor in sorted({run.floor for run in runs if run.floor is not None}):
        top.axhline(floor, color=GREEN, linestyle="--", linewidth=1.2, label=f"floor {floor:.3f}")
    _dress(top, title=", ".join(run.run for run in runs), ylabel="loss (nats per token)")
    if log_y:
        top.set_yscale("log")
    top.legend(frameon=False)
    _dress(below, xlabel=AXES[x], ylabel="learning rate")
    below.set_ylim(bottom=0)
    return figure


def latency(cells: Cells, title: str) -> Figure:
    """Prefill and decode, a bar for each variant: mean, ± one standard deviation."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    for axes, phase in zip(figure.subplots(1, 2), ("prefill", "decode"), strict=True):
        found = cells_of(cells, phase)
        _bars(axes, found)
        tokens = found[0]["tokens"] if found else 0
        _dress(axes, title=f"{phase}, {tokens} tokens", ylabel="time (ms)")
    figure.suptitle(f"{title}: mean ± sd of {repetitions(cells)} repetitions", parse_math=False)
    return figure


def cells_of(cells: Cells, phase: str) -> list[dict[str, Any]]:
    """Those of one phase and of the first workload, in the order in which they were planned."""
    found = [cell for cell in cells if cell["phase"] == phase]
    return [cell for cell in found if _work(cell) == _work(found[0])]


def name_of(cell: dict[str, Any]) -> str:
    """What was timed, also of a cell that an older version kept."""
    if "variant" not in cell:
        return fmt.CACHES.get(cell["cache"], cell["cache"])
    from core.events import Variant

    return Variant(**cell["variant"]).label


def _work(cell: dict[str, Any]) -> tuple[Any, ...]:
    variant = cell.get("variant", {})
    return cell["depth"], variant.get("prompt_tokens"), variant.get("depth")


def repetitions(cells: Cells) -> int:
    """How often each was timed."""
    return max((len(cell["samples_ms"]) for cell in cells), default=0)


def _one_run(top: Axes, below: Axes, run: Curves) -> None:
    top.plot(run.x, run.loss, color=GREY, alpha=0.35, linewidth=0.8, label="training, each step")
    top.plot(run.x, run.smoothed, color=BLUE, linewidth=1.6, label="training, smoothed")
    if run.validation:
        place = (run.validation_x, run.validation)
        top.plot(*place, color=ORANGE, marker="o", markersize=4, label="validation")
    below.plot(run.x, run.lr, color=GREEN, linewidth=1.4)
    for mark in run.marks:
        top.axvline(mark.x, color=GREY, linestyle=":", linewidth=1.0)
        top.annotate(
            mark.word,
            (mark.x, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(3, -3),
            textcoords="offset points",
            rotation=90,
            va="top",
            fontsize="x-small",
            parse_math=False,
        )


def _several_runs(top: Axes, below: Axes, runs: Sequence[Curves]) -> None:
    for index, run in enumerate(runs):
        colour = RUN_COLOURS[index % len(RUN_COLOURS)]
        top.plot(run.x, run.smoothed, color=colour, linewidth=1.4, label=f"{run.run}, smoothed")
        if run.validation:
            place, words = (run.validation_x, run.validation), f"{run.run}, validation"
            top.plot(*place, ":o", color=colour, label=words, markersize=4, linewidth=1.0)
        below.plot(run.x, run.lr, color=colour, linewidth=1.2)


def _bars(axes: Axes, cells: Cells) -> None:
    for place, cell in enumerate(cells):
        mean, sd = cell["mean_ms"], cell["sd_ms"]
        colour = VARIANT_COLOURS[place % len(VARIANT_COLOURS)]
        axes.bar(place, mean, width=0.6, color=colour, yerr=sd, capsize=5)
        digits = 0 if mean >= 100 else 1 if mean >= 10 else 2
        axes.annotate(
            f"{mean:,.{digits}f} ms",
            (place, mean + sd),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            fontsize="small",
        )
    axes.set_xticks(range(len(cells)), [name_of(cell).replace(", ", "\n") for cell in cells])
    axes.set_xlim(-0.6, max(len(cells), 1) - 0.4)
    axes.margins(y=0.15)


def _dress(axes: Axes, *, title: str = "", xlabel: str = "", ylabel: str = "") -> None:
    axes.set_title(title, fontsize="medium", parse_math=False)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
