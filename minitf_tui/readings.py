"""From what a job has told to what is read on the screen: groups of numbers and figures. Pure."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from core.events import BenchmarkCompleted, EvaluationCompleted, RunFinished, RunStarted
from minitf_tui import format as fmt
from minitf_tui.figure import Curve, Figure
from minitf_tui.sanitize import clean_line
from minitf_tui.widgets.readout import Group, Reading

if TYPE_CHECKING:
    from minitf_tui.history import History

NATS = "nats/tok"
LARGEST_EXPONENT = 50.0


def perplexity(loss: float | None) -> float | None:
    """exp(loss), unless that is too large to mean anything."""
    return math.exp(loss) if loss is not None and loss < LARGEST_EXPONENT else None


def training_groups(
    history: History | None, saved: int | None, *, started: RunStarted | None = None
) -> tuple[Group, ...]:
    """A run so far: the batches, the held-out text, the work."""
    steps = history.steps if history else None
    validations = history.validations if history else None

    def of(name: str) -> float | None:
        return steps.last(name) if steps else None

    def held_out(name: str) -> float | None:
        return validations.last(name) if validations else None

    low, high = held_out("low"), held_out("high")
    half = (high - low) / 2 if low is not None and high is not None else None
    lr = of("lr")
    return (
        Group(
            "training",
            (
                Reading("loss", fmt.loss(of("smooth")), NATS, "bold $accent"),
                Reading("perplexity", fmt.perplexity(perplexity(of("smooth")))),
                Reading("lr", f"{lr:.2e}" if lr is not None else fmt.NONE),
                Reading("grad norm", fmt.loss(of("grad_norm"))),
            ),
        ),
        Group(
            "held out",
            (
                Reading("loss", fmt.loss(held_out("loss")), NATS, "bold $warning"),
                Reading("± 95 %", fmt.loss(half), NATS),
                _perplexity_or_gap(held_out("perplexity"), held_out("loss"), started),
                Reading("bits/byte", fmt.loss(held_out("bits_per_byte"))),
            ),
        ),
        Group(
            "work",
            (
                Reading("step", fmt.whole(of("step"))),
                Reading("speed", fmt.count(of("tokens_per_s")), "tok/s"),
                Reading("tokens", fmt.count(of("tokens"))),
                Reading("saved at", f"step {saved}" if saved is not None else fmt.NONE),
            ),
        ),
    )


def _perplexity_or_gap(
    perplexity: float | None, loss: float | None, started: RunStarted | None
) -> Reading:
    """Where the least loss is known, the distance to it says more."""
    if started is None or started.floor_loss is None:
        return Reading("perplexity", fmt.perplexity(perplexity))
    return Reading("to floor", fmt.difference(loss, started.floor_loss), NATS)


def run_group(started: RunStarted) -> Group:
    """What a run is made of."""
    return Group(
        "run",
        (
            Reading("name", started.run, style="bold"),
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


def finish_line(event: RunFinished) -> str:
    """How a run ended, on one line."""
    result = event.result
    how = {"budget": "finished", "stopped": "stopped"}.get(event.reason, event.reason)
    return f"{how}: {fmt.plural(result.steps, 'step')} in {fmt.seconds(result.train_s)}"


def loss_figure(history: History | None, *, log_y: bool, dots: str) -> Figure:
    """Batch loss as a ghost, its average, and the validations."""
    title = "loss, nats/token" + (" (log)" if log_y else "")
    if history is None:
        return Figure(title)
    steps, validations = history.steps, history.validations
    x = steps["step"]
    smooth, batch, seen = steps["smooth"], steps["loss"], validations["loss"]
    n = min(len(x), len(smooth), len(batch))
    m = min(len(validations["step"]), len(seen))
    return Figure(
        title,
        (
            Curve("batch", x[:n], batch[:n], "ghost", is_ghost=True),
            Curve("mean", x[:n], smooth[:n], "accent", value=fmt.loss(steps.last("smooth"))),
            Curve(
                "held out",
                validations["step"][:m],
                seen[:m],
                "warning",
                symbol="●",
                value=fmt.loss(validations.last("loss")) if m else "",
            ),
        ),
        log_y=log_y,
        dots=dots,
    )


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
    return (
        Group(
            "result",
            (
                Reading("loss", fmt.loss(result.loss), NATS, "bold $accent"),
                Reading("95 % interval", f"{low:.3f}–{high:.3f}", NATS),
                Reading("perplexity", fmt.perplexity(result.perplexity)),
                Reading("bits/byte", fmt.loss(result.bits_per_byte)),
                *floor,
                Reading("top-1 accuracy", fmt.percent(result.top1)),
                Reading("top-5 accuracy", fmt.percent(result.top5)),
            ),
        ),
        Group(
            "protocol",
            (
                Reading("run", f"{event.run}@{event.step}"),
                Reading("text", clean_line(event.text)),
                Reading("scored, each once", fmt.whole(result.tokens), "tokens"),
                Reading("which are", fmt.whole(result.bytes), "bytes"),
                Reading("context", fmt.whole(result.context), "tokens"),
                Reading("stride", fmt.whole(result.stride), "tokens"),
            ),
        ),
    )


def benchmark_groups(event: BenchmarkCompleted) -> tuple[Group, Group]:
    """What the cache is worth, and that it changes nothing."""
    result, proof = event.result, event.result.proof
    cells = {(cell.cache, cell.phase): cell for cell in result.cells}
    cached = cells.get(("static", "decode"))
    median = {cache: cell.median_ms for (cache, phase), cell in cells.items() if phase == "decode"}
    same = proof.identical_tokens + proof.near_ties >= proof.of
    return (
        Group(
            "speed",
            (
                Reading("decode speed-up", fmt.times(result.speedup), style="bold $accent"),
                Reading("median, cache", fmt.milliseconds(median.get("static"))),
                Reading("median, no cache", fmt.milliseconds(median.get("none"))),
                Reading("cache size", fmt.size_bytes(cached.cache_bytes if cached else None)),
            ),
        ),
        Group(
            "proof",
            (
                Reading(
                    "identical tokens",
                    f"{proof.identical_tokens} of {proof.of}",
                    style="bold $success" if same else "bold $error",
                ),
                Reading("near ties", str(proof.near_ties)),
                Reading("largest logit diff.", f"{proof.max_logit_diff:.1e}"),
                Reading("held out compared", fmt.whole(proof.held_out_tokens), "tokens"),
            ),
        ),
    )


def environment_line(event: BenchmarkCompleted) -> str:
    """Where it was measured, on one line."""
    return clean_line("   ".join(f"{k} {v}" for k, v in event.result.environment.items()))
