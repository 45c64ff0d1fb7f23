"""What is wrong with a run, found in the series that it records. Pure functions.

Each gives a `Finding`, or None where nothing is wrong or nothing can be said yet. Thresholds
stand at the top, with where they come from; those without a source were chosen so that no
preset raises them (docs/lab-notes.md), and what they mean can be said in one sentence.

Sources: median and MAD as a robust scale, Iglewicz and Hoaglin, "How to Detect and Handle
Outliers", 1993; loss spikes, and going back before one, arXiv:2204.02311 §5.1; updates of about
a thousandth of the weights, cs231n.github.io/neural-networks-3; units that never fire,
arXiv:1903.06733; clipping, arXiv:1211.5063.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from core.config import RunConfig
from core.events import Diverged, HealthMeasured

SIGMAS = 6.0
"""How many robust standard deviations above the median a loss is far out."""
LEAST_RISE = 0.25
"""Nats above the median below which nobody would call it a spike."""
FIRST_RISE = 1.0
"""Nats above the first loss, while there are too few to tell how they scatter."""
PATIENCE = 3
"""Losses in a row that are far out make a spike; fewer are unlucky batches."""
MAD_TO_SD = 1.4826
"""Of a normal distribution."""

SPAN = 0.2
"""Share of the budget over which a loss that does not fall is a plateau."""
LEAST_FALL = 0.01
"""Of the loss: a fall over `SPAN` that is surely smaller is none."""
LEAST_CLIMB = 0.01
"""Of the loss: what it must surely have risen over `SPAN` to be called rising."""
LEAST_STEPS = 200
"""In `SPAN`, before anything is said of it."""
END = 0.9
"""Share of the budget after which a plateau is no news: the run is nearly over."""
AT_THE_FLOOR = 0.02
"""Nats above the floor from which there is nothing more to learn."""

ALWAYS = 0.98
"""Share of clipped steps over `SPAN`."""
FAR_CLIPPED = 3.0
"""Times `grad_clip` that the mean norm must be: less hardly changes a step."""
DEAD = 0.9
"""Share of a layer's units that are never awake, from which the layer is dead."""
LARGE = 0.08
"""Update of a layer, as a share of its weights: eighty times the usual."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that looks wrong."""

    kind: str
    sentence: str
    hint: str


class Piece(NamedTuple):
    """A hundredth of the budget."""

    place: int
    """How many come before it."""
    steps: int
    loss_sum: float
    loss_squares: float
    clipped: int
    norm_sum: float


class Validated(NamedTuple):
    """A validation, and the batches since the one before."""

    step: int
    loss: float
    half_width: float
    """Of its 95 % interval."""
    train_loss: float


def spike_level(losses: Sequence[float]) -> float:
    """The loss from which on a step is far out, seen from some earlier losses."""
    middle = statistics.median(losses)
    spread = statistics.median(abs(loss - middle) for loss in losses)
    return middle + max(SIGMAS * MAD_TO_SD * spread, LEAST_RISE)


def spike(
    losses: Sequence[float], high: Sequence[float], step: int, lr: float, config: RunConfig
) -> Finding | None:
    """Losses that stay far above those before them.

    Args:
        losses: before it began.
        high: the newest ones, all above `spike_level`.
        lr: of the newest step.
    """
    if len(high) < PATIENCE:
        return None
    middle, train = statistics.median(losses), config.train
    back = "" if train.on_spike == "return" else ", or on_spike=return, which goes back by itself"
    return Finding(
        "spike",
        f"The loss rose to {max(high):.3g} by step {step}, from a median of {middle:.3g} before.",
        f"Try a lower lr than {train.lr:g} (it was {lr:.2g} here), a longer warm-up than"
        f" {train.warmup_steps} steps{back}.",
    )


def not_a_number(event: Diverged, config: RunConfig) -> Finding:
    """What ended a run, or took it back."""
    train = config.train
    others = [] if train.grad_clip else ["grad_clip=1"]
    if train.on_divergence != "return":
        others.append("on_divergence=return, which goes back by itself")
    more = f", or {', or '.join(others)}" if others else ""
    return Finding(
        "nan",
        f"{event.what[:1].upper()}{event.what[1:]} at step {event.step}.",
        f"Try a lower lr than {train.lr:g}{more}.",
    )


def plateau(
    pieces: Sequence[Piece], config: RunConfig, floor: float | None = None
) -> Finding | None:
    """A loss that has surely fallen by less than a hundredth over the last fifth of the budget.

    A straight line is laid through the means of the pieces, each weighted by how well it is
    known; what counts is the greatest fall that two standard errors allow. A loss that surely
    rises is something else: `rising`.

    Args:
        pieces: the newest ones, without the one that is not full yet.
        floor: the least loss there is, if that is known.
    """
    recent = _span(pieces)
    if not recent or recent[-1].place >= 100 * END:
        return None
    level, slope, error = _trend(recent)
    fall = (2 * error - slope) * 100 * SPAN
    if not 0 <= fall < LEAST_FALL * level:
        return None
    seen = f"The training loss stays at {level:.3g}: over the last fifth of the budget it fell by"
    sentence = f"{seen} less than {fall:.2g}."
    model, train = config.model, config.train
    if floor is not None and level - floor < AT_THE_FLOOR:
        hint = f"The floor of this text is {floor:.3g}: there is nothing more to learn; stop here."
    else:
        hint = (
            f"More steps alone will not help. Try another lr than {train.lr:g}, or a larger model"
            f" than n_layers={model.n_layers} and d_model={model.d_model}."
        )
    return Finding("plateau", sentence, hint)


def rising(pieces: Sequence[Piece], config: RunConfig) -> Finding | None:
    """A loss that has surely risen by a hundredth over the last fifth of the budget, so slowly that
    no step stands out; `pieces` as for `plateau`."""
    recent = _span(pieces)
    if not recent:
        return None
    level, slope, error = _trend(recent)
    climb = (slope - 2 * error) * 100 * SPAN
    if climb < LEAST_CLIMB * level:
        return None
    train = config.train
    clipped = "" if train.grad_clip else ", or grad_clip=1"
    return Finding(
        "rising",
        f"The training loss rises: over the last fifth of the budget by {climb:.2g} at least, to"
        f" {recent[-1].loss_sum / recent[-1].steps:.3g}.",
        f"Steps that are too large undo what was learned. Go back to an earlier checkpoint with a"
        f" lower lr than {train.lr:g}{clipped}.",
    )


def overfitting(best: Validated, now: Validated, config: RunConfig) -> Finding | None:
    """A validation loss that has risen out of its interval while that of the batches falls."""
    rise = now.loss - best.loss
    if rise <= now.half_width or now.train_loss >= best.train_loss:
        return None
    dropout = config.model.dropout
    return Finding(
        "overfitting",
        f"The held-out loss has risen from {best.loss:.3f} at step {best.step} to {now.loss:.3f},"
        f" out of its ± {now.half_width:.3f}, while the training loss fell to"
        f" {now.train_loss:.3f}.",
        f"The checkpoint of the best validation is kept. Try more text, fewer steps,"
        f" dropout={min(0.5, dropout + 0.1):g}, or a smaller model.",
    )


def dead_layer(event: HealthMeasured, config: RunConfig) -> Finding | None:
    """A layer that hardly any token wakes."""
    worst = max(event.dead_shares, default=0.0)
    if worst < DEAD:
        return None
    layer = event.dead_shares.index(worst) + 1
    return Finding(
        "dead layer",
        f"{worst:.0%} of the feed-forward's units in layer {layer} were 0 for all of"
        f" {event.probed_tokens} tokens.",
        f"Units that never fire do not learn. Try a lower lr than {config.train.lr:g}, a longer"
        f" warm-up than {config.train.warmup_steps} steps, or activation=gelu.",
    )


def large_updates(event: HealthMeasured, config: RunConfig) -> Finding | None:
    """A layer that a step changes by a good part of itself, when the warm-up is over."""
    finite = [ratio for ratio in event.update_ratios if math.isfinite(ratio)]
    worst, train = max(finite, default=0.0), config.train
    if worst < LARGE or event.step <= train.warmup_steps:
        return None
    layer = event.layers[event.update_ratios.index(worst)]
    where = f"layer {layer}" if layer.isdigit() else f"the {layer}"
    return Finding(
        "large updates",
        f"Step {event.step} changed {where} by {worst:.0%} of its weights; about 0.1 % is usual.",
        f"Try a lower lr than {train.lr:g}, or a longer warm-up than {train.warmup_steps} steps.",
    )


def always_clipped(pieces: Sequence[Piece], config: RunConfig) -> Finding | None:
    """Clipping that has become a part of nearly every step."""
    recent = _span(pieces)
    steps = sum(piece.steps for piece in recent)
    clipped = sum(piece.clipped for piece in recent)
    if not recent or clipped < ALWAYS * steps:
        return None
    norm, clip = sum(piece.norm_sum for piece in recent) / steps, config.train.grad_clip
    if norm < FAR_CLIPPED * clip:
        return None
    return Finding(
        "always clipped",
        f"{clipped} of the last {steps} steps were clipped: the gradient's norm is {norm:.3g} on"
        f" average, and grad_clip={clip:g}.",
        f"All steps are then of one length. Try grad_clip={2 * norm:.1g}, or a lower lr than"
        f" {config.train.lr:g}.",
    )


def _span(pieces: Sequence[Piece]) -> Sequence[Piece]:
    """The pieces of the last `SPAN`, if they have steps enough to tell."""
    recent = pieces[-round(100 * SPAN) :]
    is_whole = len(recent) == round(100 * SPAN)
    return recent if is_whole and sum(p.steps for p in recent) >= LEAST_STEPS else ()


def _trend(pieces: Sequence[Piece]) -> tuple[float, float, float]:
    """The mean of some pieces' losses, and the slope of the line through them, per hundredth of the
    budget, with its standard error."""
    means = [piece.loss_sum / piece.steps for piece in pieces]
    slope, error = _line([piece.place for piece in pieces], means, pieces)
    return statistics.fmean(means), slope, error


def _line(x: Sequence[float], y: Sequence[float], pieces: Sequence[Piece]) -> tuple[float, float]:
    """Slope of the line through some means, and its standard error: what the scatter of single
    losses makes it, or that of the means about the line, if that is larger."""
    weights = [piece.steps / _variance(piece) for piece in pieces]
    total = sum(weights)
    middle = sum(w * a for w, a in zip(weights, x, strict=True)) / total
    height = sum(w * b for w, b in zip(weights, y, strict=True)) / total
    spread = sum(w * (a - middle) ** 2 for w, a in zip(weights, x, strict=True))
    slope = sum(w * (a - middle) * b for w, a, b in zip(weights, x, y, strict=True)) / spread
    misfit = sum(
        w * (b - height - slope * (a - middle)) ** 2 for w, a, b in zip(weights, x, y, strict=True)
    )
    return slope, math.sqrt(max(1.0, misfit / (len(x) - 2)) / spread)


def _variance(piece: Piece) -> float:
    mean = piece.loss_sum / piece.steps
    return max(piece.loss_squares / piece.steps - mean * mean, 1e-12)
