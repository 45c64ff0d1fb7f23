"""One optimiser step up to the update: rows, loss, gradients, clipping.

Training and the forecast take the same step, so that what is forecast is what will be done.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.config import TrainConfig
from core.device import Device
from core.text.batches import Batches
from core.training.optimizer import clip_gradients


def compute_gradients(
    model: nn.Module, batches: Batches, config: TrainConfig, device: Device, step: int
) -> tuple[float, float]:
    """Leave the clipped gradients of a step in the parameters.

    Returns:
        The mean loss over all of the step's tokens, in nats, and the gradients' norm before
        clipping.
    """
    model.train()
    torch.manual_seed(_dropout_seed(config.seed, step))
    model.zero_grad(set_to_none=True)
    losses = [
        _backward(model, batches, device, step, micro, config.grad_accum)
        for micro in range(config.grad_accum)
    ]
    norm = clip_gradients(model, config.grad_clip)
    # Batches are of one size, so the mean of their means is that of their tokens.
    loss = losses[0] if len(losses) == 1 else torch.stack(losses).mean()
    loss_now, norm_now = torch.stack((loss, norm)).tolist()  # one wait for the device
    return loss_now, norm_now


def forget_compiled() -> None:
    """Begin with an empty table of compiled steps: PyTorch keeps only some in one process, and
    would go on without compiling. What it has on disk it takes from there."""
    torch.compiler.reset()


def _backward(
    model: nn.Module, batches: Batches, device: Device, step: int, micro: int, of: int
) -> Tensor:
    """Add one batch's share to the gradients; its mean loss."""
    inputs, targets = (device.tensor(ids) for ids in batches.at(step, micro))
    loss_of = _compiled_loss() if device.is_compiled else _loss
    loss = loss_of(model, inputs, targets, device)
    (loss if of == 1 else loss / of).backward()
    return loss.detach()


def _loss(model: nn.Module, inputs: Tensor, targets: Tensor, device: Device) -> Tensor:
    with device.autocast():
        logits = model(inputs)
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


@cache
def _compiled_loss() -> Any:
    return torch.compile(_loss, dynamic=False)


def _dropout_seed(seed: int, step: int) -> int:
    return int(np.random.SeedSequence((seed, step)).generate_state(1, np.uint64)[0] >> 1)
