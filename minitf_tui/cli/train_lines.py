"""What a training run tells meanwhile, as lines for a person."""

from __future__ import annotations

import math

from core.events import Controlled, ReturnedToCheckpoint, RunStarted, ValidationCompleted
from minitf_tui import format as fmt
from minitf_tui.problems import escape


def start(event: RunStarted) -> str:
    """A run begins: how large it is, what it learns from, and what ends it."""
    tokens = event.steps * event.tokens_per_step
    reach = f" ({fmt.count(tokens)} tokens)" if tokens else ""
    limits = [fmt.plural(event.steps, "step") + reach] if event.steps else []
    limits += [f"{fmt.seconds(event.seconds)} of training"] if event.seconds else []
    since = f" from step {event.step}" if event.step else ""
    return (
        f"Run {escape(event.run)}: {fmt.count(event.n_params)} parameters, "
        f"{fmt.count(event.train_tokens)} tokens to learn from, on {escape(event.device)} in "
        f"{escape(event.dtype)}; {' or '.join(limits) or 'no limit'}{since}"
    )


def floor(event: RunStarted) -> str:
    """The least loss there is, and what its text is made of."""
    bits = None if event.entropy_per_char is None else event.entropy_per_char / math.log(2)
    return (
        f"Floor of the validation loss: {fmt.mean_sd(event.floor_loss, event.floor_se)} nats "
        f"per token; entropy of the source: {fmt.loss(bits)} bits per character"
    )


def way_back(event: ReturnedToCheckpoint) -> str:
    """A run has diverged and goes on from before."""
    return (
        f"step {event.step}: {event.what}; back to step {event.to_step}, "
        f"learning rate x {event.lr_factor:g} from there"
    )


def command(event: Controlled) -> str:
    """Somebody controls the run."""
    return f"step {event.step}: {escape(event.words)}"


def validation(event: ValidationCompleted, started: RunStarted | None) -> str:
    """A validation, and how far it is above the floor."""
    floor = started.floor_loss if started else None
    gap = "" if floor is None else f"floor {fmt.difference(event.loss, floor)}, "
    return (
        f"step {event.step}: validation loss {fmt.loss(event.loss)}, {gap}"
        f"perplexity {fmt.perplexity(event.perplexity)}, "
        f"{fmt.seconds(event.train_s)} of training"
    )
