"""What turns gradients into a step: one way to make each optimiser, one way to use them all.

An optimiser is one rule for each group of parameters (`groups.py`): AdamW, SGD or Lion for all
of them, or Muon for the matrices of blocks with AdamW for the rest. The scheduled rate is the
only number that a step needs: the rates of groups are fixed ratios to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from core.config import TrainConfig
from core.model.kinds import MATRIX
from core.training.adamw import AdamW
from core.training.groups import ParameterGroup, parameter_groups
from core.training.lion import Lion
from core.training.muon import Muon
from core.training.sgd import SGD


class Optimizer(Protocol):
    """Takes steps, and can be kept."""

    @property
    def name(self) -> str:
        """What `TrainConfig.optimizer` calls it."""

    def step(self, lr: float) -> None:
        """Update all parameters in place from their gradients, which are only read.

        Args:
            lr: the scheduled rate of this step.
        """

    def state(self) -> dict[str, Tensor]:
        """Moments by name, to be saved; views, not copies."""

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` gave.

        Raises:
            KeyError: a tensor is missing.
            ValueError: a tensor has another shape.
        """


def make_optimizer(model: nn.Module, config: TrainConfig, *, dtype: str = "float32") -> Optimizer:
    """The optimiser that the config names, with fresh moments, for the model's parameters.

    Args:
        dtype: "float32" or "bfloat16": of the matrix products that it makes.
    """
    groups = parameter_groups(model, config)
    return _ByGroups(config.optimizer, [_rule(group, config, dtype) for group in groups])


class _Rule(Protocol):
    def step(self, lr: float) -> None:
        """Update the parameters of a group."""

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """What it keeps of them, by name."""


def _rule(group: ParameterGroup, config: TrainConfig, dtype: str) -> _Rule:
    match config.optimizer:
        case "sgd":
            return SGD(group, config)
        case "lion":
            return Lion(group, config)
        case "muon" if group.kind == MATRIX:
            return Muon(group, config, dtype)
        case _:
            return AdamW(group, config)


class _ByGroups:
    """One rule a group."""

    def __init__(self, name: str, rules: Sequence[_Rule]) -> None:
        self.name, self._rules = name, rules

    @torch.no_grad()
    def step(self, lr: float) -> None:
        for rule in self._rules:
            rule.step(lr)

    def state(self) -> dict[str, Tensor]:
        return {name: tensor for rule in self._rules for name, tensor in rule.tensors()}

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        for name, tensor in self.state().items():
            if state[name].shape != tensor.shape:
                raise ValueError(f"{name} is {tuple(state[name].shape)}, not {tuple(tensor.shape)}")
            tensor.copy_(state[name])


def clip_gradients(model: nn.Module, largest: float) -> Tensor:
    """Scale all gradients so that their joint L2 norm is at most `largest`; 0 only measures.

    Returns:
        The norm before clipping, a scalar on the model's device.
    """
    if largest:
        return nn.utils.clip_grad_norm_(model.parameters(), largest)
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return nn.utils.get_total_norm(gradients)
