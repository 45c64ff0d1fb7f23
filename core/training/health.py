"""How a model fares while it learns: norms and updates of its layers, and what is in them.

Invariant: measuring changes nothing that a step depends on, so a run with it and one without
are equal, bit for bit. *When* it is measured follows the clock, so that all of it together
takes a given share of the training time.

Sources: the size of an update beside the weights', about 1e-3, cs231n.github.io/neural-networks-3
("ratio of updates:weights"); for the rest see `activations`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from core.config import RunConfig
from core.device import Device
from core.events import HealthMeasured
from core.model.transformer import Transformer
from core.text.batches import Batches
from core.training.activations import look_inside

PROBED_TOKENS = 256
"""Of the step's own batch, in whole rows; one row at least."""

TIMED = 0.6
"""Of its share, that measuring takes; the rest is for what is not timed: telling, colder caches."""


class Pace:
    """When the next measurement may be made: every so many steps, or as often as a share of
    the time allows."""

    def __init__(self, *, share: float, interval: int) -> None:
        """`share` is that of measuring in the training time, 0 for never; it does not count
        where an `interval` in steps is given."""
        self._share, self._interval = TIMED * share, interval
        self._began: float | None = None
        self._since = self._spent = 0.0
        self._last = 0.0
        self._cost = math.inf
        """Of the next measurement, as far as is known: at first that of a step."""

    def is_due(self, step: int, train_s: float) -> bool:
        """Asked once a step, with the training time before it."""
        if not self._share:
            return False
        if self._interval:
            return step % self._interval == 0
        if self._began is None:
            self._began = self._since = train_s
        elif not self._spent:
            self._cost = min(self._cost, train_s - self._last)
        self._last = train_s
        is_paid = (train_s - self._began) * self._share >= self._spent + self._cost
        return is_paid and (train_s - self._since) * self._share >= self._cost

    def measured(self, cost_s: float) -> None:
        """A measurement is over, the last one that was due."""
        self._since, self._cost = self._last, cost_s
        self._spent += cost_s


class Health:
    """Measures a model at some of its steps."""

    def __init__(
        self,
        model: Transformer,
        batches: Batches,
        config: RunConfig,
        *,
        device: Device,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._model, self._batches, self._device, self._now = model, batches, device, now
        train, every = config.train, config.eval
        self._clip = train.grad_clip
        self._pace = Pace(share=every.health_share, interval=every.health_interval)
        self._rows = max(1, min(train.batch_size, PROBED_TOKENS // train.context))
        self._layers = Layers(model)
        self._steps = self._clipped = 0
        self._step = 0
        self._before: list[Tensor] | None = None
        """Weights before the step that is being measured; None in all others."""
        self._grad_norms = torch.empty(0)
        self._cost, self._probed = 0.0, 0

    def before_update(self, step: int, grad_norm: float, train_s: float) -> None:
        """Called with every step's gradients in the parameters.

        Args:
            grad_norm: of all gradients together, before they were clipped.
            train_s: training time before the step.
        """
        self._before = None  # of a step that was measured by half, for it was undone
        self._steps += 1
        self._clipped += 0 < self._clip < grad_norm
        if not self._pace.is_due(step, train_s):
            return
        began = self._now()
        self._step = step
        norms = self._layers.norms(_gradients(self._layers.parameters))
        self._grad_norms = norms * (grad_norm / norms.norm().clamp(min=1e-30))
        self._before = [weight.clone() for weight in self._layers.weights()]
        self._cost = self._now() - began

    def after_update(self) -> HealthMeasured | None:
        """Called when the step is done and told; what was measured, if it was."""
        if self._before is None:
            return None
        began, before = self._now(), self._before
        self._before = None
        found = self._figures(before)
        cost = self._cost + self._now() - began
        self._pace.measured(cost)
        clip_rate = round(self._clipped / self._steps, 4) if self._clip else None
        self._steps = self._clipped = 0
        weight, grad, update, dead, entropy, (low, high) = (_short(part) for part in found)
        return HealthMeasured(
            step=self._step,
            layers=self._layers.names,
            weight_norms=weight,
            grad_norms=grad,
            update_ratios=update,
            dead_shares=dead,
            attention_entropies=entropy,
            logit_low=low,
            logit_high=high,
            clip_rate=clip_rate,
            probed_tokens=self._probed,
            cost_s=cost,
        )

    @torch.no_grad()
    def _figures(self, before: list[Tensor]) -> list[Sequence[float]]:
        """Weight norms, gradient norms, update ratios, dead shares, entropies, logits; all
        from the device at once."""
        layers, weights = self._layers, self._layers.weights()
        weight_norms, norms_before = layers.norms(weights), layers.norms(before)
        torch._foreach_sub_(before, weights)
        ratios = layers.norms(before) / norms_before.clamp(min=1e-30)
        ids = self._device.tensor(self._batches.at(self._step)[0][: self._rows])
        self._probed = ids.numel()
        seen = look_inside(self._model, ids, self._device)
        parts = [
            weight_norms,
            self._grad_norms,
            ratios,
            *(_stacked(found, ratios) for found in (seen.dead_shares, seen.attention_entropies)),
            torch.stack(seen.logit_range),
        ]
        numbers = torch.cat(parts).tolist()
        return [[numbers.pop(0) for _ in range(len(part))] for part in parts]


class Layers:
    """The parameters of a model, by layer: what stands before the blocks, each block, the head."""

    def __init__(self, model: nn.Module) -> None:
        owners = {name: _layer_of(name) for name, _ in model.named_parameters()}
        blocks = sorted({owner for owner in owners.values() if owner.isdigit()}, key=int)
        known = ("embedding", *blocks, "head")
        self.names = tuple(name for name in known if name in owners.values())
        self.parameters = list(model.parameters())
        places = [self.names.index(owner) for owner in owners.values()]
        self._places = torch.tensor(places, device=self.parameters[0].device)

    def weights(self) -> list[Tensor]:
        """All parameters, without their gradients; views."""
        return [parameter.detach() for parameter in self.parameters]

    def norms(self, tensors: list[Tensor]) -> Tensor:
        """L2 norms by layer, of one tensor for each parameter."""
        squares = torch.stack(torch._foreach_norm(tensors)).float().square()
        sums = torch.zeros(len(self.names), device=squares.device)
        return sums.index_add_(0, self._places, squares).sqrt()


def _layer_of(parameter: str) -> str:
    first, _, rest = parameter.partition(".")
    if first == "blocks":
        return str(int(rest.partition(".")[0]) + 1)
    return "head" if first in ("head", "final_norm") else "embedding"


def _gradients(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    return [p.new_zeros(()) if p.grad is None else p.grad for p in parameters]


def _stacked(scalars: list[Tensor], like: Tensor) -> Tensor:
    return torch.stack(scalars) if scalars else like[:0]


def _short(numbers: Sequence[float]) -> tuple[float, ...]:
    """Four digits are what a person compares, and a long run keeps many of them."""
    return tuple(float(f"{number:.4g}") for number in numbers)
