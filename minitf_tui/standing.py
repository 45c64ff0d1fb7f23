"""Where a loss stands among baselines, in words."""

from __future__ import annotations

from collections.abc import Sequence

from core.events import Baseline, BaselinePassed, LossGuess
from minitf_tui import format as fmt


def baseline(one: Baseline | BaselinePassed) -> str:
    """ "3-gram 2.049"."""
    return f"{one.name} {fmt.loss(one.loss)}"


def standing(loss: float | None, baselines: Sequence[Baseline]) -> str:
    """The nearest baselines on both sides: "below 4-gram 1.774, above 5-gram 1.669"; empty where
    there is nothing to compare."""
    if loss is None or not baselines:
        return ""
    passed = min((b for b in baselines if b.loss > loss), key=lambda b: b.loss, default=None)
    ahead = max((b for b in baselines if b.loss <= loss), key=lambda b: b.loss, default=None)
    parts = [f"below {baseline(passed)}"] if passed else []
    parts += [f"above {baseline(ahead)}"] if ahead else []
    return ", ".join(parts)


def passed(events: Sequence[BaselinePassed]) -> str:
    """Several that were passed at once, the worst first: "uniform, 1-gram and 2-gram 2.486"."""
    *others, last = events
    names = ", ".join(event.name for event in others)
    return f"{names} and {baseline(last)}" if names else baseline(last)


def final_loss(guess: LossGuess) -> str:
    """What the last validation may say: "about 2.51 (2.32–2.74), by the law of small runs"."""
    if guess.loss is None or guess.low is None or guess.high is None:
        return f"no guess: {guess.why}"
    return f"about {guess.loss:.2f} ({guess.low:.2f}–{guess.high:.2f}), {guess.why}"
