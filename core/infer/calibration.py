"""What comes into each matrix of a model while it reads a text: the second moments.

The model is walked through block by block, in the order in which it computes, so that whoever
changes a matrix on the way (as a quantiser does) sees the inputs of later ones as they are then.

Shape suffixes: N sequences · T positions · D width of an input.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.device import Device
from core.infer.engines.torch_engine import TorchEngine
from core.model.attention import Rotation
from core.model.transformer import Transformer

POSITIONS_AT_ONCE = 1 << 12
PLACES = (
    ("attention", ("attention.q_proj", "attention.k_proj", "attention.v_proj")),
    ("attention.o_proj", ("attention.o_proj",)),
    ("feed_forward", ("feed_forward.gate_proj", "feed_forward.up_proj")),
    ("feed_forward.down_proj", ("feed_forward.down_proj",)),
)
"""Parts of a block whose input is that of the matrices beside them."""


class _Moments:
    """Mean outer product of the inputs that were seen, float64 (D, D)."""

    def __init__(self) -> None:
        self._sum: Tensor | None = None
        self._count = 0

    def add(self, x: Tensor) -> None:
        rows = x.detach().flatten(0, -2).float()
        product = (rows.T @ rows).double()
        self._sum = product if self._sum is None else self._sum + product
        self._count += len(rows)

    @property
    def mean(self) -> Tensor:
        assert self._sum is not None
        return self._sum / self._count


@torch.no_grad()
def walk(model: Transformer, ids_NT: Tensor) -> Iterator[tuple[tuple[str, ...], Tensor]]:
    """Each place where matrices are fed: their parameter names, and the moments of the input
    that they share, float64 (D, D). The next place is looked at when it is asked for.

    Args:
        model: in evaluation mode, on the CPU.
        ids_NT: int64, N at least 1.
    """
    size = max(1, POSITIONS_AT_ONCE // ids_NT.size(1))
    states, rotation = [], None
    for part_NT in ids_NT.split(size):
        state, rotation = _before_the_blocks(model, part_NT)
        states.append(state)
    for i, block in enumerate(model.blocks):
        own = {name for name, _ in block.named_parameters()}
        for place, matrices in PLACES:
            moments = _Moments()
            with _watched(block.get_submodule(place), moments):
                for state in states:
                    block(state, rotation, None)
            names = tuple(f"blocks.{i}.{m}.weight" for m in matrices if f"{m}.weight" in own)
            yield names, moments.mean
        states = [block(state, rotation, None) for state in states]
    moments = _Moments()
    for state in states:
        moments.add(model.final_norm(state))
    yield (head_name(model),), moments.mean


def written_by(
    model: Transformer, first: int, rows: int, length: int, seed: int, device: Device
) -> Generator[float, None, NDArray[np.int64]]:
    """What the model itself writes, drawn from its own distribution: (rows, length) ids. Tells
    the share that is written.

    Args:
        first: the id that each row begins with.
    """
    engine = TorchEngine(model, device)
    dice = torch.Generator().manual_seed(seed)
    newest_N1 = torch.full((rows, 1), first)
    columns = [newest_N1]
    logits_NV = engine.feed([[first]]).cpu().expand(rows, -1)
    engine.select([0] * rows)
    while len(columns) < length:
        newest_N1 = torch.multinomial(logits_NV.softmax(1), 1, generator=dice)
        columns.append(newest_N1)
        if len(columns) < length:
            logits_NV = engine.feed(newest_N1.tolist()).cpu()
        yield len(columns) / length
    return torch.cat(columns, 1).numpy()


def head_name(model: Transformer) -> str:
    """The parameter that the logits come from."""
    return "embedding.weight" if model.config.tied_head else "head.weight"


class _Reached(Exception):  # noqa: N818
    """The first block has been asked."""


def _before_the_blocks(model: Transformer, ids_NT: Tensor) -> tuple[Tensor, Rotation | None]:
    """What the first block is given."""
    found: list[tuple[Tensor, Rotation | None]] = []

    def keep(_: nn.Module, given: tuple[Any, ...]) -> None:
        found.append((given[0], given[1]))
        raise _Reached

    handle = model.blocks[0].register_forward_pre_hook(keep)
    try:
        model(ids_NT)
    except _Reached:
        pass
    finally:
        handle.remove()
    return found[0]


@contextmanager
def _watched(module: nn.Module, moments: _Moments) -> Iterator[None]:
    handle = module.register_forward_pre_hook(lambda _, given: moments.add(given[0]))
    try:
        yield
    finally:
        handle.remove()
