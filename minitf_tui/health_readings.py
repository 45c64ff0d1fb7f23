"""From measurements of health to what is read on the screen: a line a layer, and alerts. Pure."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence

from textual.content import Content

from core.events import AlertRaised, HealthMeasured
from minitf_tui import format as fmt
from minitf_tui.vitals import Vitals, course

BLOCKS = "▁▂▃▄▅▆▇█"
LAYER, NUMBER, GAP = 9, 7, 2
"""Cells of a layer's name, of a number, and between columns."""
LEAST_SPARK, MOST_SPARK = 4, 24
LARGE_UPDATE, DEAD = 0.1, 0.5
"""From here on a figure stands out."""
NOTHING = "Nothing was measured yet: that begins when it costs no more than its share of the time."


def spark(values: Sequence[float | None], *, is_log: bool) -> str:
    """Values as blocks between their least and greatest; a space where there is none."""
    scaled = [_scaled(value, is_log) for value in values]
    known = [value for value in scaled if value is not None]
    if not known:
        return " " * len(values)
    low, span = min(known), max(known) - min(known)
    top = len(BLOCKS) - 1
    heights = (None if v is None else round(top * (v - low) / span) if span else 0 for v in scaled)
    return "".join(" " if height is None else BLOCKS[height] for height in heights)


def _scaled(value: float | None, is_log: bool) -> float | None:
    if value is None or not math.isfinite(value) or (is_log and value <= 0):
        return None
    return math.log(value) if is_log else value


def table(vitals: Vitals, train_s: float, width: int, height: int) -> Content:
    """The layers, one below the other, and what was said, as much as there is room for."""
    last = vitals.last
    said = alert_lines(vitals.alerts, width)
    if last is None:
        return Content("\n").join([Content.styled(NOTHING, "$quiet"), *said][: max(1, height)])
    room = max(4, height - 4 - min(len(said), max(3, height // 3)))
    room_for_spark = (width - LAYER - 5 * (NUMBER + GAP) - 3) // 3
    spark_width = max(LEAST_SPARK, min(MOST_SPARK, room_for_spark))
    lines = [_title(vitals, last, train_s), _heading(spark_width)]
    lines += [
        _layer_line(vitals.measured, last, place, spark_width)
        for place in _shown(len(last.layers), room)
    ]
    lines += [_model_line(last), Content("")]
    return Content("\n").join([*lines, *said][:height])


def _shown(n: int, room: int) -> list[int]:
    """Places of layers: all, or as many as there is room for, from the first to the last."""
    if n <= room:
        return list(range(n))
    return [round(i * (n - 1) / (room - 1)) for i in range(room)]


def _title(vitals: Vitals, last: HealthMeasured, train_s: float) -> Content:
    parts = [f"at step {last.step:,}"]
    if vitals.interval:
        parts.append(f"every {fmt.plural(vitals.interval, 'step')}")
    if train_s > 0:
        parts.append(f"{fmt.percent(vitals.cost_s / train_s)} of the time")
    return Content.assemble(("health", "$secondary"), (f"  {', '.join(parts)}", "$quiet"))


def _heading(spark_width: int) -> Content:
    room = spark_width + 1 + NUMBER
    gap = " " * GAP
    words = "layer".ljust(LAYER) + gap + "update/weight".rjust(room) + gap
    words += "gradient".rjust(room) + gap + "weights".rjust(NUMBER) + gap
    words += "dead".rjust(NUMBER - 1) + gap + "attention".rjust(room - 1)
    return Content.styled(words, "$quiet")


def _layer_line(
    measured: Sequence[HealthMeasured], last: HealthMeasured, place: int, width: int
) -> Content:
    name, block = last.layers[place], _block(last, place)
    update, gradient = last.update_ratios[place], last.grad_norms[place]
    dead = _at(last.dead_shares, block)
    attention = _at(last.attention_entropies, block)

    def drawn(figure: str, where: int, *, is_log: bool) -> str:
        return spark(course(measured, figure, where, width), is_log=is_log).rjust(width)

    is_large = update is not None and update >= LARGE_UPDATE
    return Content.assemble(
        (name.ljust(LAYER), "$foreground"),
        " " * GAP,
        (drawn("update_ratios", place, is_log=True), "$accent"),
        (" " + _of_weights(update).rjust(NUMBER), "$warning" if is_large else ""),
        " " * GAP,
        (drawn("grad_norms", place, is_log=True), "$secondary"),
        " " + _short(gradient).rjust(NUMBER),
        " " * GAP,
        _short(last.weight_norms[place]).rjust(NUMBER),
        " " * GAP,
        (_share(dead).rjust(NUMBER - 1), "$warning" if dead is not None and dead >= DEAD else ""),
        " " * GAP,
        (drawn("attention_entropies", block, is_log=False), "$secondary"),
        " " + (fmt.NONE if attention is None else f"{attention:.2f}").rjust(NUMBER - 1),
    )


def _model_line(last: HealthMeasured) -> Content:
    logits = f"{last.logit_low:.1f} to {last.logit_high:.1f}" if _are_numbers(last) else fmt.NONE
    parts: list[str | tuple[str, str]] = [("logits ", "$quiet"), logits]
    if last.clip_rate is not None:
        parts += [("   clipped ", "$quiet"), fmt.percent(last.clip_rate), (" of steps", "$quiet")]
    return Content.assemble(*parts)


def _are_numbers(last: HealthMeasured) -> bool:
    return all(v is not None and math.isfinite(v) for v in (last.logit_low, last.logit_high))


def alert_lines(alerts: Iterable[AlertRaised], width: int) -> list[Content]:
    """Each with what to try, the newest first."""
    lines = []
    for alert in reversed(list(alerts)):
        head = f"step {alert.step:,}, {alert.kind}: "
        words = textwrap.wrap(f"{head}{alert.sentence} {alert.hint}", max(20, width)) or [head]
        first = words[0].removeprefix(head)
        lines.append(Content.assemble((head, "$warning"), first))
        lines += [Content(line) for line in words[1:]]
    return lines


def alert_line(alert: AlertRaised, width: int) -> Content:
    """One on one line, cut where there is no room; the key that shows all of it."""
    head, more = f"step {alert.step:,}, {alert.kind}: ", "  h more"
    room = max(0, width - len(head) - len(more))
    words = f"{alert.sentence} {alert.hint}"
    words = words if len(words) <= room else f"{words[: max(0, room - 1)]}…"
    return Content.assemble((head, "$warning"), words, (more, "$quiet"))


def _block(last: HealthMeasured, place: int) -> int:
    """Which block a layer is, counted from 0; -1 for those that are none."""
    name = last.layers[place]
    return int(name) - 1 if name.isdigit() else -1


def _at(values: Sequence[float], place: int) -> float | None:
    return values[place] if 0 <= place < len(values) else None


def _of_weights(ratio: float | None) -> str:
    """An update as a share of what it changes; far from the usual, as any number."""
    if ratio is None or not 1e-4 <= ratio < 1:
        return _short(ratio)
    return f"{100 * ratio:.2g} %"


def _short(value: float | None) -> str:
    """Three digits, with an exponent where the number is far from 1."""
    if value is None or not math.isfinite(value):
        return fmt.NONE
    return f"{value:.3g}" if value == 0 or 1e-2 <= abs(value) < 1e4 else f"{value:.1e}"


def _share(value: float | None) -> str:
    return fmt.NONE if value is None else f"{100 * value:.0f} %"
