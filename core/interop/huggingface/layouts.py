"""How a tensor of transformers is laid out, where it is not one of ours as it is.

Each layout goes both ways, so that what is joined can be split into the very same numbers.
Weights of a projection are (out, in), biases (out); q, k and v may be one tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.config import ModelConfig

OPT_OFFSET = 2
"""Rows before the first position in the tables of OPT."""


@dataclass(frozen=True, slots=True)
class Layout:
    """One tensor of theirs from some of ours, and back."""

    join: Callable[[Sequence[Tensor], ModelConfig], Tensor]
    split: Callable[[Tensor, ModelConfig], Sequence[Tensor]]


def _join_conv1d(parts: Sequence[Tensor], _: ModelConfig) -> Tensor:
    joined = torch.cat(list(parts))
    return joined.t() if joined.dim() == 2 else joined


def _split_conv1d(tensor: Tensor, _: ModelConfig) -> Sequence[Tensor]:
    return [tensor.t() if tensor.dim() == 2 else tensor]


def _split_fused_conv1d(tensor: Tensor, config: ModelConfig) -> Sequence[Tensor]:
    return _split_conv1d(tensor, config)[0].chunk(3)


def _join_by_head(parts: Sequence[Tensor], config: ModelConfig) -> Tensor:
    heads = [part.unflatten(0, (config.n_heads, config.head_dim)) for part in parts]
    return torch.stack(heads, 1).flatten(0, 2)


def _split_by_head(tensor: Tensor, config: ModelConfig) -> Sequence[Tensor]:
    heads = tensor.unflatten(0, (config.n_heads, 3, config.head_dim))
    return [part.flatten(0, 1) for part in heads.unbind(1)]


def _join_offset(parts: Sequence[Tensor], _: ModelConfig) -> Tensor:
    return torch.cat([torch.zeros_like(parts[0][:1]).expand(OPT_OFFSET, -1), parts[0]])


def _split_offset(tensor: Tensor, _: ModelConfig) -> Sequence[Tensor]:
    return [tensor[OPT_OFFSET:]]


AS_IS = Layout(lambda parts, _: parts[0], lambda tensor, _: [tensor])
CONV1D = Layout(_join_conv1d, _split_conv1d)
"""GPT-2 keeps its matrices (in, out)."""
FUSED_CONV1D = Layout(_join_conv1d, _split_fused_conv1d)
"""GPT-2: all queries, all keys, all values."""
FUSED_BY_HEAD = Layout(_join_by_head, _split_by_head)
"""GPT-NeoX: query, key and value of one head, then of the next."""
OFFSET = Layout(_join_offset, _split_offset)
"""OPT: its table of positions begins with rows that are not used."""
