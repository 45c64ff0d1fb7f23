"""What the loss of a run is held against: predictors that learn nothing by gradients."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """A simple predictor, and what the validation split costs it."""

    name: str
    """"uniform", "1-gram" … "6-gram", "bz2", "xz"."""
    loss: float
    """In nats per token of the validation split, as the run's own losses are."""
    kind: str
    """"uniform", "ngram" or "compressor"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselinesCounted:
    """Told once a run, before its first step."""

    baselines: tuple[Baseline, ...]
    """The ones that have read little come first, n-grams in the order of n."""
    counted_tokens: int
    """Of the training text, its last ones: no more are counted in a very long text."""
    scored_tokens: int
    """Of the validation split, its first ones."""

    @property
    def by_loss(self) -> tuple[Baseline, ...]:
        """The worst first: in the order in which a run passes them."""
        return tuple(sorted(self.baselines, key=lambda baseline: -baseline.loss))


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselinePassed:
    """The validation loss is for the first time below that of a baseline."""

    step: int
    name: str
    loss: float
    """Of the baseline."""
