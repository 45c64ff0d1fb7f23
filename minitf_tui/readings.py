"""From what a job has told to what is read on the screen: groups of numbers and figures. Pure."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from core.events import (
    Baseline,
    BenchmarkCompleted,
    Controlled,
    EvaluationCompleted,
    ReturnedToCheckpoint,
    RunFinished,
    RunStarted,
)
from minitf_tui import format as fmt
from minitf_tui.figure import Curve, Figure, Level
from minitf_tui.sanitize import clean_line
from minitf_tui.standing import baseline, standing
from minitf_tui.widgets.readout import Group, Reading

if TYPE_CHECKING:
    from minitf_tui.history import History, Table

NATS = "nats/tok"
LARGEST_EXPONENT = 50.0
WORTH_A_CLOCK_S = 120.0
"""Below this nobody looks at the clock."""


def perplexity(loss: float | None) -> float | None:
    """exp(loss), unless that is too large to mean anything."""
    return math.exp(loss) if loss is not None and loss < LARGEST_EXPONENT else None


def training_groups(
    history: History | None,
    saved: int | None,
    *,
    smoothing: float = 0.9,
    started: RunStarted | None = None,
    is_full: bool = False,
) -> tuple[Group, ...]:
    """A run so far: the batches, the held-out text, the work; more of it where there is room."""
    n = 5 if is_full else 4
    return (
        Group("training", _batch_readings(history, smoothing)[:n]),
        Group("held out", _held_out_readings(history, started)[:n]),
        Group("work", _work_readings(history, started, saved)[:n]),
    )


def _last(table: Table | None, name: str) -> float | None:
    return table.last(name) if table else None


def _batch_readings(history: History | None, smoothing: float) -> tuple[Reading, ...]:
    steps = history.steps if history else None
    mean = history.smoothed(smoothing)[-1:].tolist() if history else []
    loss = mean[0] if mean else None
    lr = _last(steps, "lr")
    return (
        Reading("loss", fmt.loss(loss), NATS, "bold $accent"),
        Reading("perplexity", fmt.perplexity(perplexity(loss))),
        Reading("lr", f"{lr:.2e}" if lr is not None else fmt.NONE),
        Reading("grad norm", fmt.loss(_last(steps, "grad_norm"))),
        Reading("batch", fmt.loss(_last(steps, "loss")), NATS),
    )


def _held_out_readings(history: History | None, started: RunStarted | None) -> tuple[Reading, ...]:
    seen = history.validations if history else None
    loss, low, high = (_last(seen, name) for name in ("loss", "low", "high"))
    half = (high - low) / 2 if low is not None and high is not None else None
    return (
        Reading("loss", fmt.loss(loss), NATS, "bold $warning"),
        Reading("± 95 %", fmt.loss(half), NATS),
        _accuracy_gap_or_perplexity(seen, loss, started),
        Reading("bits/byte", fmt.loss(_last(seen, "bits_per_byte"))),
        Reading("at step", fmt.whole(_last(seen, "step"))),
    )


def _work_readings(
    history: History | None, started: RunStarted | None, saved: int | None
) -> tuple[Reading, ...]:
    steps = history.steps if history else None
    tokens = _last(steps, "tokens")
    epochs = tokens / started.train_tokens if tokens and started and started.train_tokens else None
    return (
        Reading("step", fmt.whole(_last(steps, "step"))),
        Reading("speed", fmt.count(_last(steps, "tokens_per_s")), "tok/s"),
        Reading("tokens", fmt.count(tokens)),
        Reading("saved at", fmt.whole(saved)),
        Reading("epochs", f"{epochs:.2f}" if epochs is not None else fmt.NONE),
    )


def _accuracy_gap_or_perplexity(
    seen: Table | None, loss: float | None, started: RunStarted | None
) -> Reading:
    """What is solved of a task, or how far the least loss is, says more where it is known."""
    accuracy = _last(seen, "accuracy")
    if accuracy is not None and math.isfinite(accuracy):
        return Reading("solved", fmt.percent(accuracy))
    if started is None or started.floor_loss is None:
        return Reading("perplexity", fmt.perplexity(_last(seen, "perplexity")))
    return Reading("to floor", fmt.difference(loss, started.floor_loss), NATS)


def run_group(started: RunStarted) -> Group:
    """What a run is made of."""
    return Group(
        "run",
        (
            Reading("name", clean_line(started.run), style="bold"),
            Reading("parameters", fmt.count(started.n_params)),
            Reading("vocabulary", fmt.whole(started.vocab_size), "tokens"),
            Reading("to train on", fmt.count(started.train_tokens), "tokens"),
            Reading("held out", fmt.count(started.validation_tokens), "tokens"),
            Reading("density", fmt.loss(started.bytes_per_token), "bytes/tok"),
            Reading("device", f"{started.device} {started.dtype}"),
            Reading("threads", str(started.threads)),
            *_source_readings(started),
        ),
    )


def _source_readings(started: RunStarted) -> tuple[Reading, ...]:
    """What is random in the text, where that is known."""
    if started.floor_loss is None:
        return ()
    entropy = started.entropy_per_char
    bits = entropy / math.log(2) if entropy is not None else None
    return (
        Reading("floor", fmt.mean_sd(started.floor_loss, started.floor_se), NATS),
        Reading("entropy", fmt.loss(bits), "bits/char"),
    )


def time_left(left: float, ends_at: float | None) -> str:
    """Training time that is left, and, when it is known and not near, the time of day."""
    if ends_at is None or left < WORTH_A_CLOCK_S:
        return f"{fmt.seconds(left)} left"
    return f"{fmt.seconds(left)} left, until {time.strftime('%H:%M', time.localtime(ends_at))}"


def return_line(event: ReturnedToCheckpoint) -> str:
    """What a run did about a number that was not finite."""
    return f"{event.what}: back to step {event.to_step:,}, lr × {event.lr_factor:g}"


def command_line(event: Controlled) -> str:
    """What somebody commanded, and what that comes to."""
    if event.action == "lr":
        return f"lr × {event.lr_factor:g} of the schedule from here"
    if event.action == "budget":
        limits = [fmt.plural(event.steps, "step")] if event.steps else []
        limits += [fmt.seconds(event.seconds)] if event.seconds else []
        return f"ends after {' or '.join(limits)} now"
    words = {"sample": "writing a sample", "save": "saving", "step": "one step"}
    return words.get(event.action, "")


def finish_line(event: RunFinished) -> str:
    """How a run ended, on one line."""
    result = event.result
    how = {"budget": "finished", "stopped": "stopped"}.get(event.reason, event.reason)
    return f"{how}: {fmt.plural(result.steps, 'step')} in {fmt.seconds(result.train_s)}"


def loss_figure(
    history: History | None, *, log_y: bool, dots: str, smoothing: float = 0.0
) -> Figure:
    """The loss of each batch, its average in front of it as a ghost, and the validations."""
    title = "loss, nats/token" + (" (log)" if log_y else "")
    if history is None:
        return Figure(title)
    x, batch, mean = history.steps["step"], history.steps["loss"], history.smoothed(smoothing)
    n = min(len(x), len(batch), len(mean))
    newest = fmt.loss(float(mean[n - 1])) if n else ""
    curves = [Curve("batch", x[:n], batch[:n], "ghost", is_ghost=True)]
    if smoothing:
        shown = f"{smoothing:g}".removeprefix("0")
        curves.append(Curve(f"mean({shown})", x[:n], mean[:n], "accent", value=newest))
    else:
        curves = [Curve("batch", x[:n], batch[:n], "accent", value=newest)]
    validations = history.validations
    seen = validations["loss"]
    m = min(len(validations["step"]), len(seen))
    told = fmt.loss(float(seen[m - 1])) if m else ""
    dot = Curve("held out", validations["step"][:m], seen[:m], "warning", symbol="●", value=told)
    return Figure(title, (*curves, dot), log_y=log_y, dots=dots)


def with_baselines(figure: Figure, baselines: Sequence[Baseline], loss: float | None) -> Figure:
    """Levels across a figure of losses. The next one to pass comes first, for the scale reaches to
    it; then the one that was passed last, then the others, the best first."""
    ordered = sorted(baselines, key=lambda one: one.loss)
    ahead = [one for one in ordered if loss is None or one.loss <= loss]
    passed = [one for one in ordered if one not in ahead]
    goal, others = (ahead[-1:], ahead[-2::-1]) if loss is not None else ([], ahead)
    levels = [Level(baseline(one), one.loss, one in goal) for one in (*goal, *passed, *others)]
    return replace(figure, levels=tuple(levels))


def with_floor(figure: Figure, floor: float | None) -> Figure:
    """A line across a figure of losses at the least loss there is, if that is known; behind
    the curves, and named before them, so that a narrow legend has it."""
    steps = next((curve.x for curve in figure.curves if len(curve.x)), None)
    if floor is None or steps is None:
        return figure
    ends = steps[[0, -1]]
    line = Curve("floor", ends, 0 * ends + floor, "secondary", value=fmt.loss(floor))
    title = figure.title.replace(", nats/token", "")
    return replace(figure, title=title, curves=(line, *figure.curves))


def step_figure(
    history: History | None, name: str, title: str, colour: str, *, dots: str, log_y: bool = False
) -> Figure:
    """One quantity against the step."""
    if history is None:
        return Figure(title)
    x, y = history.steps["step"], history.steps[name]
    n = min(len(x), len(y))
    curve = Curve("", x[:n], y[:n], colour)
    return Figure(title, (curve,), log_y=log_y, dots=dots, y_from_zero=not log_y)


def evaluation_groups(event: EvaluationCompleted) -> tuple[Group, Group]:
    """The card: what was measured, and how."""
    result = event.result
    low, high = result.loss_ci95
    gap = fmt.difference(result.loss, result.floor_loss)
    floor = () if result.floor_loss is None else (Reading("to floor", gap, NATS),)
    below, _, above = standing(result.loss, result.baselines).partition(", ")
    solved = (
        []
        if result.accuracy is None
        else [Reading("solved", fmt.percent(result.accuracy), f"of {result.problems:,}")]
    )
    stands = [Reading(*part.split(" ", 1)) for part in (below, above) if part]
    return (
        Group(
            "result",
            (
                Reading("loss", fmt.loss(result.loss), NATS, "bold $accent"),
                Reading("95 % interval", f"{low:.3f}–{high:.3f}", NATS),
                Reading("perplexity", fmt.perplexity(result.perplexity)),
                Reading("bits/byte", fmt.loss(result.bits_per_byte)),
                *floor,
                *stands,
                *solved,
                Reading("top-1 accuracy", fmt.percent(result.top1)),
                Reading("top-5 accuracy", fmt.percent(result.top5)),
            ),
        ),
        Group(
            "protocol",
            (
                Reading("run", clean_line(f"{event.run}@{event.step}")),
                Reading("text", clean_line(event.text)),
                Reading("scored, each once", fmt.whole(result.tokens), "tokens"),
                Reading("which are", fmt.whole(result.bytes), "bytes"),
                Reading("context", fmt.whole(result.context), "tokens"),
                Reading("stride", fmt.whole(result.stride), "tokens"),
            ),
        ),
    )


def environment_line(event: BenchmarkCompleted) -> str:
    """Where it was measured, on one line."""
    return clean_line("   ".join(f"{k} {v}" for k, v in event.result.environment.items()))
