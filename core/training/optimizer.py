"""AdamW as language models use it: matrices decay, vectors do not (arXiv:1711.05101)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.config import TrainConfig

FUSED_DEVICES = ("cpu", "cuda", "mps")


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """Fused AdamW over all parameters; its learning rate is set before each step."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [g for g in groups if g["params"]],
        lr=config.lr,
        betas=(config.beta1, config.beta2),
        fused=parameters[0].device.type in FUSED_DEVICES,
    )


def clip_gradients(model: nn.Module, largest: float) -> Tensor:
    """Scale all gradients so that their joint L2 norm is at most `largest`; 0 only measures.

    Returns:
        The norm before clipping, a scalar on the model's device.
    """
    if largest:
        return nn.utils.clip_grad_norm_(model.parameters(), largest)
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return nn.utils.get_total_norm(gradients)
