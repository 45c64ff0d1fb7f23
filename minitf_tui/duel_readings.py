"""What a duel tells, as a person reads it. Pure: numbers in, words and curves out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.events import Duel, DuelRound, DuelStarted, StepDiffered, ValidationDiffered
from minitf_tui import format as fmt
from minitf_tui.figure import Curve, Figure

if TYPE_CHECKING:
    from core.events import TrainEvent
    from core.store.duels import KeptDuel

Interval = tuple[float, float]
Row = tuple[str, str]


def signed(difference: float | None, ci95: Interval | None) -> str:
    """`-0.0312, 95 % -0.0401 to -0.0223`."""
    if difference is None or not math.isfinite(difference):
        return fmt.NONE
    if ci95 is None:
        return f"{difference:+.4f}"
    return f"{difference:+.4f}, 95 % {ci95[0]:+.4f} to {ci95[1]:+.4f}"


def standing(event: StepDiffered) -> str:
    """Who is ahead on the newest steps, or that nobody can tell yet."""
    ci95 = event.ci95
    over = f"{event.window} steps"
    if ci95 is None:
        return f"no difference yet: {over} are too few"
    if ci95[0] <= 0 <= ci95[1]:
        return f"no difference yet: B - A {signed(event.mean, ci95)} ({over})"
    side = "B" if ci95[1] < 0 else "A"
    return f"{side} is ahead: B - A {signed(event.mean, ci95)} ({over})"


def share(begun: DuelStarted, steps: Sequence[StepDiffered]) -> float | None:
    """How much of the budget of this round is spent; None where it has none that is known."""
    if not steps:
        return 0.0
    last, found = steps[-1], []
    if begun.a.steps:
        found.append(last.step / begun.a.steps)
    if begun.a.seconds:
        found.append(max(last.train_s_a, last.train_s_b) / begun.a.seconds)
    return max(found, default=None)


def round_of(begun: DuelStarted | None) -> str:
    """`round 2 of 3`, where there are several."""
    return f"round {begun.round} of {begun.of}" if begun is not None and begun.of > 1 else ""


def standings(
    steps: Sequence[StepDiffered], validations: Sequence[ValidationDiffered], remark: str
) -> str:
    """What can be said while it goes on: of the newest batches, of held-out text, of a side."""
    said = [standing(steps[-1])] if steps else []
    said += [validation_line(validations[-1])] if validations else []
    return "\n".join([*said, remark] if remark else said)


def verdict(result: Duel) -> str:
    """What came of a duel, and what is left of it."""
    runs = ", ".join(f"{r.a.run}, {r.b.run}" for r in result.rounds)
    equal = [r.equal_time for r in result.rounds if r.equal_time is not None]
    said = result.sentence
    if len(result.rounds) == 1 and equal:
        after = fmt.seconds(equal[0].train_s)
        said += f" At equal training time, {after} each, B - A is {equal[0].difference:+.4f}."
    return f"{said}\nKept as runs, each with this curve: {runs}."


def kept_verdict(kept: KeptDuel) -> str:
    """The same of one that is kept with its runs."""
    return f"{title(kept)}, seed {kept.seed}\n{kept.sentence}"


def validation_line(event: ValidationDiffered) -> str:
    """Both losses after a step, and their difference."""
    return (
        f"step {fmt.whole(event.step)}: val A {fmt.loss(event.loss_a)}, B {fmt.loss(event.loss_b)};"
        f" B - A {signed(event.difference, event.ci95)}"
    )


def round_rows(found: DuelRound) -> list[Row]:
    """One seed of a duel."""
    a, b, last = found.a, found.b, found.last_step
    rows = [("runs", f"A {a.run}, B {b.run}"), *_validation_rows(found.validation)]
    if (equal := found.equal_time) is not None:
        rows.append(
            ("at equal time", f"{equal.difference:+.4f} after {fmt.seconds(equal.train_s)} each")
        )
    rows += _step_rows(last)
    rows += [
        ("trained", f"A {fmt.plural(a.steps, 'step')}, B {fmt.plural(b.steps, 'step')}"),
        ("training time", f"A {fmt.seconds(a.train_s)}, B {fmt.seconds(b.train_s)}"),
        ("parameters", f"A {fmt.count(a.params)}, B {fmt.count(b.params)}"),
    ]
    return rows


def kept_rows(kept: KeptDuel) -> list[Row]:
    """A duel that is kept with its runs."""
    return [
        ("runs", f"A {kept.runs[0]}, B {kept.runs[1]}"),
        *_validation_rows(kept.validations[-1] if kept.validations else None),
        *_step_rows(kept.steps[-1] if kept.steps else None),
        ("trained", fmt.plural(kept.steps[-1].step if kept.steps else 0, "step")),
        ("seed", str(kept.seed)),
    ]


def _validation_rows(newest: ValidationDiffered | None) -> list[Row]:
    if newest is None:
        return []
    both = f"A {fmt.loss(newest.loss_a)}, B {fmt.loss(newest.loss_b)}"
    return [
        ("validation", f"{both} after step {fmt.whole(newest.step)}"),
        ("at equal steps", signed(newest.difference, newest.ci95)),
    ]


def _step_rows(last: StepDiffered | None) -> list[Row]:
    if last is None:
        return []
    said = f"{signed(last.mean, last.ci95)} on the same batches"
    return [(f"last {last.window} steps", said)]


def title(result: Duel | KeptDuel) -> str:
    """Who fought."""
    return f"A: {result.a}   B: {result.b}"


def remark_of(side: str, event: TrainEvent) -> str:
    """What one of the two has to say that a person should know; "" for all else."""
    from core.events import CheckpointFailed, Diverged, ReturnedToCheckpoint

    match event:
        case Diverged():
            return f"{side.upper()} diverged at step {event.step}: {event.what}"
        case ReturnedToCheckpoint():
            return f"{side.upper()}: {event.what} at step {event.step}; back to {event.to_step}"
        case CheckpointFailed():
            return f"{side.upper()} could not be saved at step {event.step}: {event.reason}"
    return ""


def losses_figure(
    steps: Sequence[StepDiffered], validations: Sequence[ValidationDiffered], *, dots: str
) -> Figure:
    """The training loss of both on each batch, and what was held out."""
    import numpy as np

    x = np.array([e.step for e in steps], float)
    at = np.array([e.step for e in validations], float)
    curves = []
    for side, colour in (("a", "accent"), ("b", "warning")):
        losses, scores = ([getattr(e, f"loss_{side}") for e in es] for es in (steps, validations))
        name, value = side.upper(), fmt.loss(losses[-1]) if losses else ""
        curves.append(Curve(name, x, np.array(losses, float), colour, value=value))
        if scores:
            told, y = fmt.loss(scores[-1]), np.array(scores, float)
            curves.append(Curve(f"{name} held out", at, y, colour, symbol="●", value=told))
    return Figure("loss, nats/token", curves=tuple(curves), dots=dots)


def difference_figure(
    steps: Sequence[StepDiffered], validations: Sequence[ValidationDiffered], *, dots: str
) -> Figure:
    """B - A over steps: each batch, the mean of the newest with its band, and validations."""
    import numpy as np

    x = np.array([e.step for e in steps], float)
    mean = np.array([e.mean for e in steps], float)
    edges = [e.ci95 or (math.nan, math.nan) for e in steps]
    low, high = np.array(edges, float).reshape(-1, 2).T
    least, most = _seen(steps, validations)
    zero = np.zeros(min(2, len(x)))
    curves = [
        Curve("", x[[0, -1]][: len(zero)] if len(x) else x, zero, "quiet"),
        Curve(
            "each batch",
            x,
            np.array([e.difference for e in steps], float),
            "ghost",
            is_ghost=True,
        ),
        Curve(
            "mean",
            x,
            mean,
            "accent",
            value=f"{mean[-1]:+.4f}" if len(mean) else "",
            low=np.clip(low, least, most),
            high=np.clip(high, least, most),
        ),
    ]
    if validations:
        at = np.array([e.step for e in validations], float)
        points = np.array([e.difference for e in validations], float)
        value = f"{points[-1]:+.4f}"
        curves.append(Curve("validation", at, points, "warning", symbol="◆", value=value))
    return Figure("loss of B - A", curves=tuple(curves), dots=dots)


def _seen(
    steps: Sequence[StepDiffered], validations: Sequence[ValidationDiffered]
) -> tuple[float, float]:
    """Between which values a band is drawn: what the first steps do not know may not squeeze all
    that follows."""
    found = [e.difference for e in steps] + [e.difference for e in validations]
    values = [value for value in found if math.isfinite(value)]
    least, most = min([0.0, *values]), max([0.0, *values])
    room = 0.1 * (most - least)
    return least - room, most + room
