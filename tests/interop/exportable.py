"""Models that llama.cpp computes, by what is particular about them."""

from __future__ import annotations

from typing import Any

import torch

from core.config import ModelConfig
from core.model.transformer import Transformer

LLAMA = {"norm": "rmsnorm", "activation": "swiglu"}
GELU = {"activation": "gelu_tanh"}
LLAMA3 = {"rope_scaling": "llama3", "rope_factor": 8.0, "rope_original_len": 64}

EXPORTABLE: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", LLAMA | {"n_kv_heads": 2, "tied_head": True, "norm_eps": 1e-6}),
    "llama with biases and wide heads": (
        "llama",
        LLAMA | {"bias": True, "d_head": 24, "rope_theta": 500_000.0},
    ),
    "llama of layer norms": ("llama", {"activation": "swiglu"}),
    "llama 3": ("llama", LLAMA | LLAMA3),
    "llama stretched evenly": ("llama", LLAMA | {"rope_scaling": "linear", "rope_factor": 4.0}),
    "qwen 3": ("qwen3", LLAMA | {"qk_norm": True, "n_kv_heads": 2, "tied_head": True}),
    "quick": ("qwen3", {"activation": "swiglu", "qk_norm": True, "n_kv_heads": 1}),
    "apertus": ("apertus", {"activation": "relu2", "qk_norm": True}),
    "apertus 3": ("apertus", {"activation": "relu2", "qk_norm": True, "d_head": 32} | LLAMA3),
    "relu2 and rms norms": (
        "arcee",
        {"norm": "rmsnorm", "activation": "relu2", "n_kv_heads": 1} | LLAMA3,
    ),
    "relu2 and layer norms": (
        "nemotron",
        {"activation": "relu2", "bias": True, "rope_dims": 8, "n_kv_heads": 2},
    ),
    "relu2, layer norms and wide heads": ("arcee", {"activation": "relu2", "d_head": 32}),
    "swiglu and a part of rope": (
        "stablelm",
        {"activation": "swiglu", "rope_dims": 8, "n_kv_heads": 2},
    ),
    "gelu and rope": ("starcoder2", GELU | {"tied_head": True, "n_kv_heads": 2}),
    "gpt-neox": ("gptneox", GELU | {"bias": True, "parallel": True, "rope_dims": 4}),
    "gpt-neox in turns": ("gptneox", GELU | {"rope_dims": 8, "n_kv_heads": 2}),
    "gpt-2": ("gpt2", GELU | {"positions": "learned", "bias": True, "tied_head": True}),
    "gpt-2 of sines": ("gpt2", GELU | {"positions": "sinusoidal", "n_kv_heads": 2}),
    "gpt-2 without positions": ("gpt2", GELU | {"positions": "none"}),
}
"""What llama.cpp knows it as, and the switches."""


def lively_model(seed: int = 0, **changes: Any) -> Transformer:
    """Two layers, 64 wide, with weights so large that every part of it shows in the logits."""
    shape = {"vocab_size": 300, "max_seq_len": 600, "d_model": 64, "n_layers": 2, "n_heads": 4}
    model = Transformer(ModelConfig(**(shape | changes))).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if name.endswith("norm.weight"):
                p.copy_(1 + 0.3 * noise)
            elif name.endswith(".bias"):
                p.copy_(0.2 * noise)
            elif name in ("embedding.weight", "position_table", "head.weight"):
                p.copy_(0.4 * noise)
            else:
                p.mul_(1.5)
    return model
