"""A model's shape as the key-value pairs of a GGUF; `core.interop.gguf.understanding` reads them.

Sources: keys of the GGUF specification; the softplus of xIELU, arXiv:2411.13010 §3.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from core.config import ModelConfig
from core.interop.gguf.architectures import Architecture
from core.model.positions import rope_frequencies

SOFTPLUS_IS_ONE = 0.5413249135017395
SOFTPLUS_IS_ZERO = -100.0
"""Softplus of them in float32 is exactly 1 and 0: with these xIELU is relu(x)²."""

Settings = dict[str, int | float | bool | str | list[float]]


def describe(row: Architecture, config: ModelConfig) -> Settings:
    """The keys below the architecture's name that llama.cpp needs."""
    eps = "layer_norm_rms_epsilon" if row.norm == "rmsnorm" else "layer_norm_epsilon"
    settings: Settings = {
        "vocab_size": config.vocab_size,
        "context_length": config.max_seq_len,
        "embedding_length": config.d_model,
        "block_count": config.n_layers,
        "feed_forward_length": config.hidden_dim,
        "attention.head_count": config.n_heads,
        "attention.head_count_kv": config.kv_heads,
        f"attention.{eps}": config.norm_eps,
    }
    if row.has_free_heads:
        settings["attention.key_length"] = settings["attention.value_length"] = config.head_dim
    if row.positions == "rope":
        settings |= _describe_rope(config)
    if row.can_be_parallel:
        settings["use_parallel_residual"] = config.parallel
    return settings


def _describe_rope(config: ModelConfig) -> Settings:
    settings: Settings = {
        "rope.dimension_count": config.rope_dims or config.head_dim,
        "rope.freq_base": config.rope_theta,
    }
    if config.rope_scaling == "linear":
        settings |= {"rope.scaling.type": "linear", "rope.scaling.factor": config.rope_factor}
    if config.rope_scaling == "llama3":
        settings["rope.scaling.original_context_length"] = config.rope_original_len
    return settings


def describe_xielu(n_layers: int) -> Settings:
    """relu(x)² by the names of apertus' activation; each layer has its own numbers."""
    numbers = {
        "alpha_p": SOFTPLUS_IS_ONE,
        "alpha_n": SOFTPLUS_IS_ZERO,
        "beta": 0.0,
        "eps": -1e-6,
    }
    return {f"xielu.{name}": [value] * n_layers for name, value in numbers.items()}


def rope_factors(config: ModelConfig) -> Tensor | None:
    """What each frequency is divided by, float32 of shape (R / 2,); None where llama3 does not
    stretch."""
    if config.rope_scaling != "llama3":
        return None
    return (
        rope_frequencies(replace(config, rope_scaling="none")) / rope_frequencies(config)
    ).float()
