"""Parameters by kind: each kind has its rate, as a fixed ratio to the scheduled one, and
matrices of any kind decay while vectors do not.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from core.config import TrainConfig
from core.model.kinds import KINDS, VECTOR, kind_of


@dataclass(frozen=True, slots=True)
class ParameterGroup:
    """Parameters of one kind."""

    kind: str
    names: list[str]
    parameters: list[nn.Parameter]
    lr_ratio: float
    """Their learning rate over the scheduled one."""
    weight_decay: float

    def gradients(self) -> list[Tensor]:
        """In the order of the parameters, to be read only."""
        return [_gradient(p) for p in self.parameters]


def parameter_groups(model: nn.Module, config: TrainConfig) -> list[ParameterGroup]:
    """All parameters, each in one group; kinds that the model lacks have none."""
    named = [(kind_of(n, p.dim()), n, p) for n, p in model.named_parameters()]
    groups = (
        ParameterGroup(
            kind=kind,
            names=[n for k, n, _ in named if k == kind],
            parameters=[p for k, _, p in named if k == kind],
            lr_ratio=(getattr(config, f"{kind}_lr") or config.lr) / config.lr,
            weight_decay=0.0 if kind == VECTOR else config.weight_decay,
        )
        for kind in KINDS
    )
    return [group for group in groups if group.names]


def _gradient(parameter: nn.Parameter) -> Tensor:
    if parameter.grad is None:
        raise RuntimeError("a parameter has no gradient: it is not part of the loss")
    return parameter.grad
