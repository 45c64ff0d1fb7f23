"""Parameters, FLOPs and bytes of a model, from its config alone.

Pure arithmetic, no torch, so that a form can show the figures while its user types. Tests
hold them against counted tensors.

Sources: FLOPs of a training token, arXiv:2001.08361 §2.1 (2 per weight forward, twice that
backward, plus attention); optimiser states, arXiv:1910.02054 §3.1.
"""

from __future__ import annotations

from core.config import ModelConfig
from core.model.kinds import MATRIX, VECTOR, moments_of

FLOAT32_BYTES = 4
ID_BYTES = 8


def count_parameters(config: ModelConfig) -> int:
    """Trainable numbers, a tied head counted once."""
    d, bias = config.d_model, config.bias
    norm = d if config.norm == "rmsnorm" or not bias else 2 * d
    norms = 2 * config.n_layers + (config.norm_place == "pre")
    embedding = config.vocab_size * d * (1 if config.tied_head else 2)
    table = config.max_seq_len * d if config.positions == "learned" else 0
    table += 2 * config.ngram_buckets * d
    return embedding + table + norms * norm + config.n_layers * _block_parameters(config)


def _block_parameters(config: ModelConfig) -> int:
    """Of one block, its norms over d_model left out."""
    d, hidden, bias = config.d_model, config.hidden_dim, config.bias
    kv = config.kv_heads * config.head_dim
    q = config.n_heads * config.head_dim
    attention = 2 * d * q + 2 * d * kv + bias * (q + d + 2 * kv)
    attention += 2 * config.head_dim * config.qk_norm
    n_up = 2 if config.activation == "swiglu" else 1
    return attention + (n_up + 1) * d * hidden + bias * (n_up * hidden + d)


def flops_per_token(config: ModelConfig, context: int) -> int:
    """Floating-point operations of one token's forward pass, at the mean depth of a
    `context`-token window. Multiply and add count apart; norms and softmax are left out."""
    q = config.n_heads * config.head_dim
    mean_depth = (context + 1) / 2
    attention = 4 * config.n_layers * q * mean_depth
    matrices = _matrix_parameters(config) + config.d_model * config.vocab_size
    return round(2 * matrices + attention)


def _matrix_parameters(config: ModelConfig) -> int:
    """Of all blocks."""
    d, kv = config.d_model, config.kv_heads * config.head_dim
    q = config.n_heads * config.head_dim
    n_up = 2 if config.activation == "swiglu" else 1
    return config.n_layers * (2 * d * q + 2 * d * kv + (n_up + 1) * d * config.hidden_dim)


def training_flops_per_token(config: ModelConfig, context: int) -> int:
    """Forward and backward."""
    return 3 * flops_per_token(config, context)


def kv_bytes_per_token(config: ModelConfig, bytes_per_number: int = FLOAT32_BYTES) -> int:
    """Keys and values that a cache holds for one position."""
    return 2 * config.n_layers * config.kv_heads * config.head_dim * bytes_per_number


def cache_bytes(
    config: ModelConfig,
    length: int,
    cache: str = "static",
    *,
    window: int = 0,
    sinks: int = 0,
    bytes_per_number: int = FLOAT32_BYTES,
) -> int:
    """Keys and values that a cache of that kind holds of a sequence of `length` positions:
    layers x 2 x key/value heads x head_dim numbers a position, of as many positions as it keeps;
    "int8" has one byte a number and a float32 scale a head. A model that looks at pairs and
    triples of tokens has each of them held, too."""
    if cache == "none":
        return 0
    ids = length * ID_BYTES if config.ngram_buckets else 0
    if cache == "int8":
        heads = 2 * config.n_layers * config.kv_heads
        return ids + length * heads * (config.head_dim + FLOAT32_BYTES)
    n_kept = {"window": window, "sinks": sinks + window}.get(cache, length)
    return ids + min(length, n_kept) * kv_bytes_per_token(config, bytes_per_number)


def training_bytes(
    config: ModelConfig, batch_size: int, context: int, optimizer: str = "adamw"
) -> int:
    """Memory of a training step in float32: weights, gradients, the optimiser's moments, and
    the activations kept for the backward pass. An estimate: the last part depends on kernels."""
    states = 2 * count_parameters(config) + count_moments(config, optimizer)
    return FLOAT32_BYTES * (states + batch_size * context * _activations_per_token(config))


def count_moments(config: ModelConfig, optimizer: str) -> int:
    """Numbers that an optimiser keeps beside the parameters, its step counts left out."""
    matrices = _matrix_parameters(config)
    others = count_parameters(config) - matrices
    return matrices * len(moments_of(MATRIX, optimizer)) + others * len(
        moments_of(VECTOR, optimizer)
    )


def _activations_per_token(config: ModelConfig) -> int:
    d, kv = config.d_model, config.kv_heads * config.head_dim
    n_wide = {"swiglu": 4, "relu": 2}.get(config.activation, 3)
    q = config.n_heads * config.head_dim
    rotated = (q + kv) if config.positions == "rope" else 0
    block = 4 * d + 2 * q + 2 * kv + rotated + n_wide * config.hidden_dim
    # Logits, their log-softmax and their gradient are each a full row of the vocabulary.
    return config.n_layers * block + 2 * d + 3 * config.vocab_size
