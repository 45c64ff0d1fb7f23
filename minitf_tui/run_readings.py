"""From runs on disk to what is read on the screen: rows, details, differences. Pure.

Names of corpora and what models wrote are cleaned here; nothing is parsed as markup.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING

from textual.content import Content

from minitf_tui import format as fmt
from minitf_tui.sanitize import clean, clean_line
from minitf_tui.widgets.readout import Group, Reading

if TYPE_CHECKING:
    from core.store.duels import KeptDuel
    from core.store.summary import RunSummary
    from minitf_tui.run_list import RunDetails

STATE_STYLES = {
    "running": "bold $accent",
    "paused": "$warning",
    "diverged": "$error",
    "finished": "",
    "imported": "",
    "int8": "",
    "int4": "",
    "stopped": "",
}
NAME_WIDTH = 18
"""Least cells of the first column; it takes what is left over."""
SHOWN_CHECKPOINTS = 4
SETTING_WIDTH = 16
LEAST_WIDTH = 24
SAMPLE_LINES = 12


@dataclass(frozen=True, slots=True)
class Column:
    """Of the list of runs; all but the first are right-aligned numbers or short words."""

    heading: str
    width: int
    value: Callable[[RunSummary], str]
    is_left: bool = False


def moment(created: str) -> str:
    """A time in UTC, as this place's clock showed it: `11-24 12:05`."""
    try:
        made = datetime.fromisoformat(created)
    except ValueError:
        return clean_line(created)[:11] or fmt.NONE
    return (made if made.tzinfo else made.replace(tzinfo=UTC)).astimezone().strftime("%m-%d %H:%M")


def text_name(corpus: str) -> str:
    """The last part of a path, safe to show."""
    return clean_line(PurePath(corpus).name or corpus)


STATE = Column("state", 8, lambda s: s.state, is_left=True)
STEP = Column("step", 14, lambda s: fmt.budget(s.step, s.steps, s.seconds))
COLUMNS = (
    STATE,
    Column("text", 16, lambda s: text_name(s.corpus), is_left=True),
    STEP,
    Column("loss", 6, lambda s: fmt.loss(s.val_loss)),
    Column("bits/byte", 9, lambda s: fmt.loss(s.bits_per_byte)),
    Column("params", 7, lambda s: fmt.count(s.n_params)),
    Column("size", 9, lambda s: fmt.size_bytes(s.size_bytes)),
    Column("made", 11, lambda s: moment(s.created)),
)
_WANTED_FIRST = ("loss", "state", "step", "bits/byte", "size", "made", "params", "text")


def columns_for(width: int) -> list[Column]:
    """Those that fit beside the name, in their order; the most wanted stay longest."""
    left, chosen = width - NAME_WIDTH, set()
    for heading in _WANTED_FIRST:
        column = next(c for c in COLUMNS if c.heading == heading)
        if column.width + 2 <= left:
            chosen.add(heading)
            left -= column.width + 2
    return [column for column in COLUMNS if column.heading in chosen]


def row(
    summary: RunSummary, width: int, *, mark: str = "", is_kept: bool = False, is_here: bool = False
) -> Content:
    """One run on `width` cells.

    Args:
        mark: the colour of its curve, if it has one.
        is_kept: the curve stays when another run is highlighted.
        is_here: this run is highlighted.
    """
    columns = columns_for(width)
    room = width - 3 - sum(c.width + 2 for c in columns)
    style = "bold $foreground" if is_here else ""
    parts: list[tuple[str, str]] = [
        ("›" if is_here else " ", "bold $accent"),
        (("●" if is_kept else "○") if mark else " ", f"${mark}" if mark else ""),
        (" " + _fitted(summary.name, room, is_left=True), style),
    ]
    for column in columns:
        value = column.value(summary)
        shade = STATE_STYLES.get(value, "$quiet") if column is STATE else style
        parts.append(("  " + _fitted(value, column.width, is_left=column.is_left), shade))
    content = Content.assemble(*parts)
    return content.stylize_before("on $panel") if is_here else content


def heading(width: int) -> Content:
    """What stands over the columns."""
    columns = columns_for(width)
    room = width - 3 - sum(c.width + 2 for c in columns)
    words = "   " + "run".ljust(room)
    words += "".join("  " + _fitted(c.heading, c.width, is_left=c.is_left) for c in columns)
    return Content.assemble((words, "$quiet"))


def _fitted(text: str, width: int, *, is_left: bool) -> str:
    if len(text) > width:
        text = text[: max(0, width - 1)] + "…"
    return text.ljust(width) if is_left else text.rjust(width)


def details_groups(summary: RunSummary, details: RunDetails) -> tuple[Group, ...]:
    """How a run stands, what it is made of, and what it was held against."""
    config, about = details.run.config, details.run.provenance
    trained = details.curve.steps["train_s"]
    best = f"{fmt.loss(summary.val_loss)}" + (
        f" at {fmt.whole(details.best_step)}" if details.best_step is not None else ""
    )
    device = clean_line(f"{about.get('device', fmt.NONE)} {about.get('dtype', '')}").strip()
    return (
        Group(
            "run",
            (
                Reading("name", summary.name, style="bold"),
                Reading("state", summary.state, style=STATE_STYLES.get(summary.state, "")),
                Reading("step", fmt.budget(summary.step, summary.steps, summary.seconds)),
                Reading("best held out", best, style="bold $warning"),
                Reading("bits/byte", fmt.loss(summary.bits_per_byte)),
                Reading("trained for", fmt.seconds(float(trained[-1]) if len(trained) else 0.0)),
                *([Reading("alerts", ", ".join(details.alerts[-2:]))] if details.alerts else []),
                Reading("checkpoints", checkpoints_line(details.checkpoints)),
                Reading("size", fmt.size_bytes(summary.size_bytes)),
                Reading("made", moment(summary.created)),
            ),
        ),
        Group(
            "model",
            (
                Reading("parameters", fmt.count(summary.n_params)),
                Reading("layers × width", f"{config.model.n_layers} × {config.model.d_model}"),
                Reading("context", fmt.whole(config.train.context)),
                Reading("batch size", fmt.whole(config.train.batch_size)),
                Reading("text", text_name(summary.corpus)),
                Reading("tokenizer", summary.tokenizer),
                Reading("device", device),
                Reading("threads", clean_line(str(about.get("threads", fmt.NONE)))),
            ),
        ),
        *baseline_groups(summary, details),
    )


def baseline_groups(summary: RunSummary, details: RunDetails) -> tuple[Group, ...]:
    """Losses of the baselines, the hardest to pass last; none where they are not kept."""
    best = summary.val_loss
    readings = []
    for one in sorted(details.baselines, key=lambda one: -one.loss):
        is_passed = best is not None and best < one.loss
        style = "" if is_passed else "$warning"
        readings.append(Reading(one.name, fmt.loss(one.loss), "passed" if is_passed else "", style))
    if readings and details.counted_tokens:
        readings.append(Reading("counted in the last", fmt.count(details.counted_tokens), "tokens"))
    return (Group("baselines, nats/token", tuple(readings)),) if readings else ()


def deletion_question(summary: RunSummary, details: RunDetails | None) -> str:
    """Names all that would be lost."""
    kept = f"{fmt.plural(len(details.checkpoints), 'checkpoint')}, " if details else ""
    return (
        f"Delete the run {summary.name}, {fmt.size_bytes(summary.size_bytes)}?\n"
        f"Its {kept}metrics and reports will be gone for good."
    )


def checkpoints_line(steps: Sequence[int]) -> str:
    """The newest few: `…, 500, 750, 1,000`."""
    if not steps:
        return "none yet"
    words = ", ".join(fmt.whole(step) for step in steps[-SHOWN_CHECKPOINTS:])
    return f"…, {words}" if len(steps) > SHOWN_CHECKPOINTS else words


def difference_table(
    names: tuple[str, str],
    colours: tuple[str, str],
    differences: Sequence[tuple[str, str, str]],
    width: int,
) -> Content:
    """Only what differs: a setting a line, its two values in the colours of the curves."""
    room = max(4, (width - SETTING_WIDTH - 2) // 2)
    rule = "─" * max(0, width - len("differences") - 1)
    lines = [Content.assemble(("differences", "$secondary"), " ", (rule, "$line"))]
    short = [name if len(name) <= room else f"…{name[1 - room :]}" for name in names]
    rows = [("", short[0], short[1]), *differences] if differences else []
    for setting, one, two in rows:
        lines.append(
            Content.assemble(
                (_fitted(setting, SETTING_WIDTH, is_left=True), "$quiet"),
                (" " + _fitted(clean_line(one), room, is_left=False), f"${colours[0]}"),
                (" " + _fitted(clean_line(two), room, is_left=False), f"${colours[1]}"),
            )
        )
    if not differences:
        lines.append(Content.assemble((f"{names[0]} and {names[1]} have the same settings.", "")))
    return Content("\n").join(lines)


def sample_lines(sample: str, width: int) -> Content:
    """What the model wrote last, a few lines of it."""
    if not sample.strip():
        return Content("")
    text = "\n".join([line for line in clean(sample).split("\n") if line.strip()][:SAMPLE_LINES])
    return _under("sample", text, width)


def duel_lines(kept: KeptDuel, width: int) -> Content:
    """Whom the run fought, and what came of it."""
    names = f"A {kept.runs[0]}, B {kept.runs[1]}"
    return _under("duel", clean(f"{names}\n{kept.sentence}\nw shows it again"), width)


def _under(heading: str, text: str, width: int) -> Content:
    rule = "─" * max(0, width - len(heading) - 1)
    return Content.assemble((heading, "$secondary"), " ", (rule, "$line"), "\n", text)


def differences(marks: Mapping[str, str], known: Mapping[str, RunDetails], width: int) -> Content:
    """What differs between two runs whose curves are drawn; empty for more runs, or fewer."""
    from minitf_tui.comparison import config_differences

    if len(marks) != 2:
        return Content("")
    (one, first), (two, second) = marks.items()
    found = config_differences(known[one].run.config, known[two].run.config)
    return difference_table((one, two), (first, second), found, max(LEAST_WIDTH, width))


def total_line(summaries: Sequence[RunSummary], unreadable: Sequence[str], used: str) -> str:
    """Of all runs, in the frame of the list."""
    size = fmt.size_bytes(sum(summary.size_bytes for summary in summaries))
    words = f"{fmt.plural(len(summaries), 'run')}, {size}"
    if unreadable:
        words += f", unreadable: {', '.join(unreadable)[:40]}"
    return f"{words}; in use: {used}"


def marks_of(plotted: Sequence[str], colours: Sequence[str]) -> Mapping[str, str]:
    """The colour of each run's curve."""
    return {name: colours[i % len(colours)] for i, name in enumerate(plotted)}
