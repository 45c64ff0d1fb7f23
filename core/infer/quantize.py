"""Weights in 8 or 4 bits: which matrices, in how many, and rounded how.

Every matrix of a block, the embeddings of tokens and of their pairs and triples, and the head;
biases, norms and positions stay as they are. Embeddings and head have 8 bits unless somebody says
otherwise: they are read at each token and with 4 they cost the most. The quantised model is the
reference in float32: its weights are exactly those that the packed matrices stand for.
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from core.config.quantize import QuantizeConfig
from core.errors import ConfigError
from core.infer.calibration import walk
from core.infer.gptq import pack_gptq
from core.infer.scales import has_scale, round_to, search
from core.model.packed import GROUP_SIZES, PackedMatrix, check_layout, pack_codes, pack_nearest
from core.model.transformer import Transformer

EMBEDDING = "embedding.weight"
TABLES = (EMBEDDING, "ngrams.pairs.weight", "ngrams.triples.weight")
"""What is looked up and not multiplied, but for the embedding where it is the head."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How one matrix is kept."""

    name: str
    bits: int
    """8 or 4; 32 for one that cannot be packed."""
    group_size: int
    symmetric: bool
    note: str = ""
    """Why it is not as it was asked for; empty if it is."""


@dataclass(frozen=True, slots=True)
class Rounded:
    """A matrix that is packed now, or was left in 32 bits."""

    layout: Layout
    error: float
    """Root mean square of what its products lose, as a share of theirs."""


def plan(model: Transformer, config: QuantizeConfig) -> list[Layout]:
    """The matrices that will be packed, in the order of the parameters.

    Raises:
        ConfigError: a pattern means no matrix, or nothing is left to be packed.
    """
    matrices = {name: p for name, p in model.named_parameters() if _is_matrix(name)}
    for pattern in (*config.keep, *config.eight):
        if not fnmatch.filter(matrices, pattern):
            raise ConfigError(
                f"{pattern!r} is no matrix of this model.",
                hint=f"There is {min(matrices)}, for example; * stands for anything.",
            )
    wanted = [_layout(name, weight.size(1), config) for name, weight in matrices.items()]
    found = [_in_range(layout, matrices[layout.name]) for layout in wanted if layout is not None]
    if all(layout.bits == 32 for layout in found):
        hint = found[0].note if found else "Keep fewer."
        raise ConfigError("Every matrix is kept in 32 bits.", hint=hint)
    return found


def quantize(
    model: Transformer, layouts: list[Layout], method: str, ids_NT: Tensor
) -> Iterator[Rounded]:
    """Pack the matrices of `model` in place, and tell each.

    Args:
        model: in evaluation mode, on the CPU, float32.
        method: one of `core.config.quantize.METHODS`.
        ids_NT: the calibration text, int64.

    Raises:
        ConfigError: weights, or the inputs that they are multiplied with, are not finite.
    """
    wanted = {layout.name: layout for layout in layouts}
    model.packed = {}
    for name in TABLES[model.config.tied_head :]:
        if layout := wanted.get(name):
            yield _take(model, layout, method, None)
    for names, moments in walk(model, ids_NT):
        for name in names:
            if layout := wanted.get(name):
                yield _take(model, layout, method, moments)


def _is_matrix(name: str) -> bool:
    return name.endswith("_proj.weight") or name in (*TABLES, "head.weight")


def _layout(name: str, cols: int, config: QuantizeConfig) -> Layout | None:
    bits = config.bits
    if name in (*TABLES, "head.weight"):
        bits = config.head_bits or 8
    if any(fnmatch.fnmatch(name, pattern) for pattern in config.eight):
        bits = 8
    if bits == 32 or any(fnmatch.fnmatch(name, pattern) for pattern in config.keep):
        return None
    if bits == 8:
        group = config.group if config.bits == 8 else 0
        if group and cols % group:
            note = f"{name}: {cols} columns do not divide into groups of {group}; a row is one."
            return Layout(name, 8, 0, True, note)
        return Layout(name, 8, group, True)
    group = config.group or 32
    fitting = [size for size in GROUP_SIZES if size <= group and cols % size == 0]
    what = f"{name}: {cols} columns do not divide into groups of {group}"
    if not fitting:
        return Layout(name, 8, 0, True, f"{what}; it has 8 bits.")
    note = "" if fitting[-1] == group else f"{what}; they are of {fitting[-1]}."
    return Layout(name, 4, fitting[-1], not config.asymmetric, note)


def _in_range(layout: Layout, weight: Tensor) -> Layout:
    """In 32 bits, if float16 has no scale for such weights. (What is not finite is refused
    later.)"""
    largest = float(weight.detach().abs().max())
    if not math.isfinite(largest) or has_scale(largest, layout.bits):
        return layout
    note = f"{layout.name}: its largest weight, {largest:g}, has no good scale in float16"
    return Layout(layout.name, 32, 0, True, f"{note}; it stays in 32 bits.")


def _take(model: Transformer, layout: Layout, method: str, moments: Tensor | None) -> Rounded:
    weight = model.get_parameter(layout.name)
    before = weight.detach().clone()
    if not bool(torch.isfinite(before).all()):
        raise ConfigError(
            f"{layout.name} holds a number that is not finite.",
            hint="Its training diverged: quantise an earlier checkpoint.",
        )
    if moments is not None and not bool(torch.isfinite(moments).all()):
        raise ConfigError(
            f"{layout.name} is fed numbers that are not finite, or too large to square.",
            hint="Its training diverged: quantise an earlier checkpoint.",
        )
    if layout.bits == 32:
        return Rounded(layout, 0.0)
    matrix = _packed(before, layout, method, moments)
    model.packed[layout.name] = matrix
    with torch.no_grad():
        weight.copy_(matrix.dequantize())
    return Rounded(layout, _lost(before, weight.detach(), moments))


def _packed(weight: Tensor, layout: Layout, method: str, moments: Tensor | None) -> PackedMatrix:
    bits, group_size, symmetric = layout.bits, layout.group_size, layout.symmetric
    if method == "nearest":
        return pack_nearest(weight, bits, group_size, symmetric=symmetric)
    if method == "gptq" and moments is not None:
        return pack_gptq(weight, moments, bits, group_size, symmetric=symmetric)
    n_groups = check_layout(bits, group_size, weight.size(1))
    groups = weight.view(weight.size(0), n_groups, -1)
    importance = torch.ones(groups.shape[1:]) if moments is None else _importance(moments)
    scales, zeros = search(groups, importance.view(n_groups, -1), bits, symmetric=symmetric)
    codes = round_to(groups, scales, zeros, bits).view(weight.shape)
    return pack_codes(codes, scales, None if symmetric else zeros, bits, group_size)


def _importance(moments: Tensor) -> Tensor:
    """Of each column: the mean square of its input, and a little, for inputs never seen."""
    diagonal = moments.diagonal().float()
    return diagonal + 0.01 * diagonal.mean() + torch.finfo(torch.float32).tiny


def _lost(before: Tensor, after: Tensor, moments: Tensor | None) -> float:
    """See `Rounded.error`; for weights that are looked up, of the weights themselves."""
    off, whole = (after - before).double(), before.double()
    if moments is not None:
        lost, all_ = (float((x @ moments).mul(x).sum()) for x in (off, whole))
    else:
        lost, all_ = float(off.square().sum()), float(whole.square().sum())
    return max(lost / all_, 0.0) ** 0.5 if all_ > 0 else 0.0


def n_bytes(model: Transformer) -> int:
    """Of the weights as a checkpoint holds them: float32, packed ones packed."""
    plain = (p for name, p in model.named_parameters() if name not in model.packed)
    return sum(4 * p.numel() for p in plain) + sum(m.nbytes for m in model.packed.values())
