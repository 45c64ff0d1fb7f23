"""Models for the fast engine, and when its numbers are near enough."""

from __future__ import annotations

import torch

from core.config import ModelConfig
from core.model.transformer import Transformer

TINY = ModelConfig(vocab_size=50, max_seq_len=40, d_model=32, n_layers=2, n_heads=4, d_ff=40)


def noisy(config: ModelConfig, seed: int = 0) -> Transformer:
    """A model of which no parameter, norms and biases included, is what it begins as."""
    model = Transformer(config, seed=seed).eval()
    dice = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=dice) * 0.1)
    return model


def assert_near(left: torch.Tensor, right: torch.Tensor, tolerance: float = 1e-5) -> None:
    scale = max(1.0, float(right.abs().max()))
    assert float((left - right).abs().max()) <= tolerance * scale
