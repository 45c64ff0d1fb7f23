"""The same function by other weights, for programs that lack one of our switches.

Each function takes a model and returns one that computes the same logits, up to rounding.
Weights are float32, by the names of our parameters; those that are not touched are shared.

Sources: layer norm as an RMS norm of a centred stream, arXiv:2401.15024 §3.2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from core.config import ModelConfig
from core.model.positions import sinusoidal_table

Weights = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Portable:
    """A model on its way out."""

    config: ModelConfig
    weights: Weights
    remarks: tuple[str, ...] = ()

    def changed(self, weights: Weights, remark: str = "", **config: object) -> Portable:
        """With other settings and weights, and one more thing to tell."""
        remarks = (*self.remarks, remark) if remark else self.remarks
        return Portable(replace(self.config, **config), self.weights | weights, remarks)  # type: ignore[arg-type]


def with_rms_norm(model: Portable) -> Portable:
    """Layer norm without biases subtracts the mean of the stream. When all that is written into
    the stream has mean zero there is nothing to subtract, and an RMS norm is left. The head
    reads the last norm, so it cannot be tied to an embedding that is centred. A model with
    biases, with norms after each part or with sinusoidal positions stays as it is."""
    config = model.config
    is_able = config.norm == "layernorm" and config.norm_place == "pre" and not config.bias
    if not is_able or config.positions == "sinusoidal":  # that table is fixed, and not centred
        return model
    model = untied(model)
    centred = {
        name: tensor - tensor.mean(dim=-1 if _is_table(name) else 0, keepdim=True)
        for name, tensor in model.weights.items()
        if _writes_into_stream(name)
    }
    remark = "Layer norms are written as RMS norms over centred weights: the same function."
    return model.changed(centred, remark, norm="rmsnorm")


def untied(model: Portable) -> Portable:
    """The head as a matrix of its own."""
    if not model.config.tied_head:
        return model
    head = model.weights["embedding.weight"].clone()
    return model.changed({"head.weight": head}, tied_head=False)


def with_position_table(model: Portable) -> Portable:
    """Sinusoidal positions, or none, as learned ones."""
    config = model.config
    if config.positions not in ("sinusoidal", "none"):
        return model
    if config.positions == "sinusoidal":
        table = sinusoidal_table(config.max_seq_len, config.d_model)
    else:
        table = torch.zeros(config.max_seq_len, config.d_model)
    remark = f"positions={config.positions} is written as a table of learned positions."
    return model.changed({"position_table": table}, remark, positions="learned")


def with_biases(model: Portable) -> Portable:
    """Biases of zero where there are none."""
    if model.config.bias:
        return model
    zeros = {
        f"{name.removesuffix('weight')}bias": torch.zeros(tensor.size(0))
        for name, tensor in model.weights.items()
        if name.endswith((".weight",)) and _has_bias(name, model.config)
    }
    return model.changed(zeros, bias=True)


def without_zero_biases(model: Portable) -> Portable:
    """Without biases, if all of them are zero and do nothing; many architectures have none."""
    biases = [name for name in model.weights if name.endswith(".bias")]
    if not model.config.bias or any(model.weights[name].any() for name in biases):
        return model
    weights = {name: w for name, w in model.weights.items() if not name.endswith(".bias")}
    return Portable(replace(model.config, bias=False), weights, model.remarks)


def with_heads_repeated(model: Portable) -> Portable:
    """A key and value head for each query head."""
    config = model.config
    n_times = config.n_heads // config.kv_heads
    if n_times == 1:
        return model
    repeated = {
        name: tensor.unflatten(0, (config.kv_heads, config.head_dim))
        .repeat_interleave(n_times, 0)
        .flatten(0, 1)
        for name, tensor in model.weights.items()
        if ".k_proj." in name or ".v_proj." in name
    }
    remark = f"Each of the {config.kv_heads} key and value heads is written {n_times} times."
    return model.changed(repeated, remark, n_kv_heads=0)


def applied(model: Portable, *steps: Callable[[Portable], Portable]) -> Portable:
    """One after another."""
    for step in steps:
        model = step(model)
    return model


def _writes_into_stream(name: str) -> bool:
    return _is_table(name) or ".o_proj." in name or ".down_proj." in name


def _is_table(name: str) -> bool:
    """Whether each column is a number of the stream, not each row."""
    return name in ("embedding.weight", "position_table") or name.startswith("ngrams.")


def _has_bias(name: str, config: ModelConfig) -> bool:
    is_norm = name.endswith("_norm.weight") and not name.endswith(
        ("q_norm.weight", "k_norm.weight")
    )
    return ("_proj." in name) or (is_norm and config.norm == "layernorm")
