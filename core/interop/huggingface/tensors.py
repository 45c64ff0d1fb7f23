"""The tensors of an architecture of transformers, from our weights and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from core.config import ModelConfig
from core.interop.huggingface.description import Architecture, Part
from core.interop.huggingface.layouts import Layout

HasBias = Callable[[bool | str], bool]
"""Whether a part has a bias, by what the table says of it."""


@dataclass(frozen=True, slots=True)
class Named:
    """One tensor of theirs, and the ones of ours that are in it."""

    theirs: str
    ours: tuple[str, ...]
    layout: Layout
    is_theirs: bool
    """Whether they have it; a bias of ours may have no place there."""


def named_tensors(
    architecture: Architecture, config: ModelConfig, ours: Mapping[str, object], has_bias: HasBias
) -> Iterator[Named]:
    """All that have a counterpart among `ours`, block by block."""
    for part in architecture.parts:
        for theirs, names in _in_blocks(part, config.n_layers):
            for kind in ("weight", "bias"):
                mine = tuple(_full(name, kind) for name in names)
                if mine[0] in ours:
                    is_theirs = kind == "weight" or has_bias(part.bias)
                    yield Named(f"{theirs}.{kind}", mine, part.layout, is_theirs)


def _in_blocks(part: Part, n_layers: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    if "{i}" not in part.theirs:
        yield part.theirs, part.ours
        return
    for i in range(n_layers):
        number = str(i)
        yield (
            part.theirs.replace("{i}", number),
            tuple(name.replace("{i}", number) for name in part.ours),
        )


def _full(name: str, kind: str) -> str:
    if name == "position_table":
        return name if kind == "weight" else ""
    return f"{name}.{kind}"


def joined(named: Named, weights: Mapping[str, Tensor], config: ModelConfig) -> Tensor:
    """Theirs, of ours."""
    return named.layout.join([weights[name] for name in named.ours], config)
