"""How the inside of a model fares while it learns, and what somebody should know of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthMeasured:
    """What the numbers inside the model were at one step, to four digits.

    Tuples have a figure for each of `layers`, or for each block where it says so.
    """

    step: int
    layers: tuple[str, ...]
    """From the bottom: "embedding", "1", "2" … for the blocks, "head"."""
    weight_norms: tuple[float, ...]
    """L2 norm of all weights of a layer, after the step."""
    grad_norms: tuple[float, ...]
    """L2 norm of their gradients, before clipping."""
    update_ratios: tuple[float, ...]
    """L2 norm of what the step changed, as a share of that of the weights before it."""
    dead_shares: tuple[float, ...] = ()
    """Of each block: share of its feed-forward's units that were 0 for every probed token.
    Empty where the activation is not a ReLU."""
    attention_entropies: tuple[float, ...] = ()
    """Of each block: mean entropy of where its heads look, as a share of the greatest: 0 is one
    position, 1 is all positions alike."""
    logit_low: float
    logit_high: float
    """The range of the probed tokens' logits."""
    clip_rate: float | None
    """Share of the steps since the last measurement whose gradients were clipped; None where
    clipping is off."""
    probed_tokens: int
    """That the shares, entropies and logits are of."""
    cost_s: float
    """Time that this measurement took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRaised:
    """Something looks wrong. Told once until it has gone away."""

    step: int
    kind: str
    """"nan", "spike", "rising", "plateau", "overfitting", "dead layer", "large updates", "always
    clipped"."""
    sentence: str
    """What was seen, with its figures."""
    hint: str
    """What to try, with the run's own settings."""
