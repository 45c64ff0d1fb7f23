"""What a forward pass does inside a model, told in a few numbers.

Shape suffixes, one letter per axis, in order:
    B rows · T positions · N query heads · K key heads · H head_dim · F d_ff · V vocab
    Q positions that are looked from · S positions that are looked at

Invariant: looking changes nothing: no gradient, no dropout, no random number, no weight.

Sources: units that no input wakes, arXiv:1903.06733; entropy of attention and its collapse,
arXiv:2303.06296 §3.1; logits that grow, arXiv:2309.14322 §3.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from core.device import Device
from core.model.transformer import Transformer

RELUS = ("relu", "relu2")
QUERIES = 16
"""Positions, evenly spaced over one row, from which attention is looked at again."""


@dataclass(slots=True)
class Activations:
    """Scalars on the model's device; a block each, the first block first."""

    dead_shares: list[Tensor] = field(default_factory=list)
    attention_entropies: list[Tensor] = field(default_factory=list)
    logit_range: tuple[Tensor, ...] = ()


@torch.no_grad()
def look_inside(model: Transformer, ids_BT: Tensor, device: Device) -> Activations:
    """Compute these rows as a validation does."""
    seen, was_training = Activations(), model.training
    model.eval()
    try:
        with _looking(model, seen), device.autocast():
            logits_BTV = model(ids_BT)
    finally:
        model.train(was_training)
    logits_BTV = logits_BTV.float()
    seen.logit_range = logits_BTV.amin(), logits_BTV.amax()
    return seen


@contextmanager
def _looking(model: Transformer, seen: Activations) -> Iterator[None]:
    """Have every block of `model` tell what it does."""
    hooks = []
    blocks: list[Any] = list(model.blocks)
    has_relu = model.config.activation in RELUS

    def hear_units(_module: Any, _given: Any, up_BTF: Tensor) -> None:
        seen.dead_shares.append((up_BTF.amax((0, 1)) <= 0).float().mean())

    try:
        for block in blocks:
            if has_relu:
                hooks.append(block.feed_forward.up_proj.register_forward_hook(hear_units))
            attention = block.attention
            # The fused kernel does not give its weights, so they are computed again, from the
            # queries and keys that it is given.
            attention._attend = partial(_overheard, attention._attend, seen)
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for block in blocks:
            block.attention.__dict__.pop("_attend", None)


def _overheard(
    attend: Callable[..., Tensor],
    seen: Activations,
    q_BNTH: Tensor,
    k_BKSH: Tensor,
    *rest: Any,
) -> Tensor:
    if q_BNTH.size(2) > 1:
        seen.attention_entropies.append(attention_entropy(q_BNTH, k_BKSH))
    return attend(q_BNTH, k_BKSH, *rest)


def attention_entropy(q_BNTH: Tensor, k_BKSH: Tensor) -> Tensor:
    """Mean entropy of causal attention over some positions of the first row and all heads.

    Args:
        q_BNTH: queries, T > 1; as they go into the product.
        k_BKSH: the keys of the same T positions.

    Returns:
        A scalar in [0, 1]: each entropy as a share of the greatest one, that of looking at all
        positions in sight alike.
    """
    n_heads, length, head_dim = q_BNTH.shape[1:]
    device = q_BNTH.device
    # The first position sees itself alone, and has no choice.
    places_Q = torch.linspace(1, length - 1, min(QUERIES, length - 1), device=device).long()
    q_NQH = q_BNTH[0, :, places_Q].float()
    k_NSH = k_BKSH[0].float().repeat_interleave(n_heads // k_BKSH.size(1), dim=0)
    scores_NQS = q_NQH @ k_NSH.transpose(1, 2) / math.sqrt(head_dim)
    hidden_QS = torch.arange(length, device=device)[None, :] > places_Q[:, None]
    weights_NQS = scores_NQS.masked_fill(hidden_QS, -math.inf).softmax(-1)
    # Where a weight is 0, so is its part. Not every device knows torch.special.entr.
    entropies_NQ = -(weights_NQS * weights_NQS.clamp(min=1e-30).log()).sum(-1)
    return (entropies_NQ / (places_Q + 1).log()).mean()
