"""Weights of a loaded model rounded to 8 or 4 bits on the fly, for looking at what that does.

Every matrix is rounded to the nearest code (`core.model.packed`), in place: 8 bits with a scale
for each row, 4 bits with one for each group of 32. What is worth keeping is made with care by
`minitf quantize`; this is the quick look.
"""

from __future__ import annotations

import torch
from torch import nn

from core.model.packed import pack_nearest
from core.model.transformer import Transformer

GROUP_SIZES = {8: 0, 4: 32}


@torch.no_grad()
def round_weights(model: Transformer, bits: int) -> str:
    """Round all matrices of a model in place, and give it the packed ones beside; what stayed as
    it was, in a sentence, or "".

    Args:
        bits: 8 or 4; 0 changes nothing.
    """
    if not bits:
        return ""
    model.packed = {}
    kept: list[str] = []
    group = GROUP_SIZES[bits]
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Embedding) and name != "head":
            kept += [] if _round(model, f"{name}.weight", module.weight, bits) else [name]
    if model.head.weight is not model.embedding.weight:
        kept += [] if _round(model, "head.weight", model.head.weight, bits) else ["head"]
    if not kept:
        return ""
    return f"Kept as stored, for a row does not divide into groups of {group}: {', '.join(kept)}."


def _round(model: Transformer, name: str, weight: torch.Tensor, bits: int) -> bool:
    group = GROUP_SIZES[bits]
    if group and weight.size(1) % group:
        return False
    matrix = pack_nearest(weight, bits, group)
    model.packed[name] = matrix
    weight.copy_(matrix.dequantize())
    return True
