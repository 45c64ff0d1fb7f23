"""The key-value pairs of a GGUF, understood: which architecture, what shape.

Whatever asks for something that minitf does not compute is refused by its key; keys that
change nothing, as an author's name, are not looked at.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from core.config import ModelConfig
from core.errors import ConfigError, FormatError
from core.interop.gguf.architectures import BY_NAME, ROPE_FACTORS, Architecture
from core.interop.gguf.header import Header
from core.interop.gguf.settings import rope_factors
from core.interop.gguf.values import Values
from core.model.positions import LONG_WAVES, SHORT_WAVES, rope_frequencies

LARGEST_CONTEXT, MOST_LAYERS = 1 << 31, 512
"""What a file may say: of the second, as much as llama.cpp itself would load."""
MOST_WAVES = 24
"""Contexts that rope may have been stretched from are tried up to this power of two."""
CLOSE = 1e-4
"""How far a factor may be from the one that we compute, as a share of it."""


def understand(
    header: Header, settings: Values, factors: Tensor | None, max_seq_len: int
) -> tuple[Architecture, ModelConfig]:
    """The row of the table, and the model's shape with all its positions up to `max_seq_len`.

    Args:
        settings: of the whole file.
        factors: what each frequency of rope is divided by.

    Raises:
        FormatError: an architecture or a setting that minitf cannot compute.
    """
    name = settings.text("general.architecture")
    row = BY_NAME.get(name)
    if row is None:
        raise FormatError(
            f"{settings.source} is a model of the architecture {name!r}, which minitf lacks.",
            hint=f"It reads {', '.join(BY_NAME)}.",
        )
    own = settings.below(f"{name}.")
    _check_nothing_else(row, own, max_seq_len)
    try:
        config = ModelConfig(
            **_shape(row, header, own),
            **_rope(row, own),
            max_seq_len=min(own.count("context_length", most=LARGEST_CONTEXT), max_seq_len),
            parallel=row.can_be_parallel and own.flag("use_parallel_residual", default=True),
        )
        if factors is not None:
            config = _stretched(config, own, factors.double())
    except ConfigError as error:
        raise FormatError(
            f"{settings.source} describes no possible model: {error}",
            hint="Fetch or export it again.",
        ) from error
    if name == "apertus":
        _check_xielu(settings, config.n_layers)
    return row, config


def _check_nothing_else(row: Architecture, own: Values, max_seq_len: int) -> None:
    window = own.count("attention.sliding_window", 0, most=LARGEST_CONTEXT)
    context = min(own.count("context_length", most=LARGEST_CONTEXT), max_seq_len)
    if 0 < window < context:
        raise own.refuse("attention.sliding_window", window)
    if n_experts := own.count("expert_count", 0):
        raise own.refuse("expert_count", n_experts)
    if (scale := own.real("rope.scaling.attn_factor", 1.0)) != 1:
        raise own.refuse("rope.scaling.attn_factor", scale)
    if (kind := own.text("rope.scaling.type", "linear")) not in ("none", "linear"):
        raise own.refuse("rope.scaling.type", kind)


def _shape(row: Architecture, header: Header, own: Values) -> dict[str, Any]:
    embedding = header.tensors.get("token_embd.weight")
    d_model, n_heads = own.count("embedding_length"), own.count("attention.head_count")
    default = d_model // max(1, n_heads)
    head_dim = own.count("attention.key_length", default)
    if own.count("attention.value_length", default) != head_dim:
        raise own.refuse("attention.value_length", own.count("attention.value_length"))
    eps = "layer_norm_rms_epsilon" if row.norm == "rmsnorm" else "layer_norm_epsilon"
    n_kv_heads = own.count("attention.head_count_kv", n_heads)
    return {
        "vocab_size": embedding.shape[0] if embedding else 0,
        "d_model": d_model,
        "n_layers": own.count("block_count", most=MOST_LAYERS),
        "n_heads": n_heads,
        "n_kv_heads": 0 if n_kv_heads == n_heads else n_kv_heads,
        "d_head": 0 if head_dim * n_heads == d_model else head_dim,
        "d_ff": own.count("feed_forward_length"),
        "norm": row.norm,
        "norm_eps": own.real(f"attention.{eps}"),
        "activation": row.activation,
        "positions": row.positions,
        "qk_norm": row.qk_norm,
        "tied_head": "output.weight" not in header.tensors,
        "bias": any(name.endswith(".bias") for name in header.tensors),
    }


def _rope(row: Architecture, own: Values) -> dict[str, Any]:
    if row.positions != "rope":
        return {}
    head_dim = own.count(
        "attention.key_length",
        own.count("embedding_length") // max(1, own.count("attention.head_count")),
    )
    n_turned = own.count("rope.dimension_count", head_dim)
    if n_turned != head_dim and not row.has_rope_dims:
        raise own.refuse("rope.dimension_count", n_turned)
    factor = own.real("rope.scaling.factor", own.real("rope.scale_linear", 1.0)) or 1.0
    kind = own.text("rope.scaling.type", "linear" if factor != 1 else "none")
    return {
        "rope_dims": 0 if n_turned == head_dim else n_turned,
        "rope_theta": own.real("rope.freq_base", 10_000.0),
        "rope_scaling": kind,
        "rope_factor": factor if kind == "linear" else 1.0,
    }


def _stretched(config: ModelConfig, own: Values, factors: Tensor) -> ModelConfig:
    """With the llama3 stretching that has these factors. Files do not say how far it goes, nor
    from which context, so that is found: most contexts are powers of two."""
    told = own.count("rope.scaling.original_context_length", 0, most=LARGEST_CONTEXT)
    plain = rope_frequencies(config)
    fits = config.rope_scaling == "none" and factors.shape == plain.shape
    for original in (told, *(1 << n for n in range(MOST_WAVES))) if fits else ():
        waves = original * plain[-1].item() / (2 * math.pi)
        kept = min(1.0, max(0.0, (waves - LONG_WAVES) / (SHORT_WAVES - LONG_WAVES)))
        inverse = 1 / factors[-1].item()
        if original == 0 or inverse <= kept or kept == 1:
            continue
        factor = _shortest((1 - kept) / (inverse - kept))
        if factor < 1:
            continue
        found = replace(
            config, rope_scaling="llama3", rope_factor=factor, rope_original_len=original
        )
        expected = rope_factors(found)
        if expected is not None and torch.allclose(expected.double(), factors, rtol=CLOSE):
            return found
    raise own.refuse(ROPE_FACTORS, f"[… {factors.flatten()[-1].item():g}]")


def _check_xielu(settings: Values, n_layers: int) -> None:
    """That the activation is relu(x)²: what a trained one computes we do not."""
    for key, n in (("alpha_p", 1.0), ("alpha_n", 0.0), ("beta", 0.0)):
        values = settings.all_of(f"xielu.{key}", float, n_layers)
        plain = values if key == "beta" else [_softplus(value) for value in values]
        if any(abs(value - n) > 1e-6 for value in plain):
            raise settings.refuse(f"xielu.{key}", values[0])


def _shortest(value: float) -> float:
    """To six digits: what was computed by float32 numbers is not surer than that."""
    return float(f"{value:.6g}")


def _softplus(x: float) -> float:
    return x if x > 20 else math.log1p(math.exp(x))
