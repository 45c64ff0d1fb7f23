"""Normalisation of the residual stream.

Sources: layer norm, arXiv:1607.06450; RMS norm, arXiv:1910.07467.
"""

from __future__ import annotations

from torch import nn

from core.config import ModelConfig


def make_norm(config: ModelConfig) -> nn.Module:
    """The norm that the config names, over d_model."""
    if config.norm == "rmsnorm":
        return nn.RMSNorm(config.d_model, eps=config.norm_eps)
    return nn.LayerNorm(config.d_model, eps=config.norm_eps, bias=config.bias)
