"""What there is to say about a stock architecture of transformers.

The architectures themselves: `core.interop.huggingface.architectures`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.interop.huggingface.layouts import AS_IS, Layout

Json = dict[str, Any]
ANY: tuple[Any, ...] = ()
"""All values of a switch."""
PLAIN = ("relu", "gelu", "gelu_tanh", "relu2")
GATED = ("swiglu",)
ACTIVATION_NAMES = {
    "relu": "relu",
    "gelu": "gelu",
    "gelu_tanh": "gelu_pytorch_tanh",
    "relu2": "relu2",
    "swiglu": "silu",
}
"""Ours and theirs, as they are written."""
OTHER_ACTIVATION_NAMES = {
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_python": "gelu",
    "swish": "swiglu",
}
"""More of theirs that are the same function, for reading."""


@dataclass(frozen=True, slots=True)
class Part:
    """A layer of theirs, without "weight" or "bias"; {i} is the number of the block."""

    theirs: str
    ours: tuple[str, ...]
    bias: bool | str = False
    """Whether it has one; or the setting that says so."""
    layout: Layout = AS_IS


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """What one class of transformers computes, and what it calls things."""

    name: str
    model_type: str
    has: Mapping[str, tuple[Any, ...]]
    """The values of our switches that it computes; see `MISSING`, and `switches` of the writer."""
    keys: Mapping[str, str]
    """Our fields and its settings."""
    dropout_keys: tuple[str, ...]
    defaults: Mapping[str, Any]
    """Of the settings that a config.json may leave out."""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Settings that must have this very value."""
    fixed_per_block: Mapping[str, Any] = field(default_factory=dict)
    """Lists in which each block must have this very value."""
    rope_keys: tuple[str, ...] = ()
    """Its settings for `rope_theta` and, if it can turn a part of a head, for that part."""
    parts: tuple[Part, ...]

    @property
    def bias_keys(self) -> tuple[str, ...]:
        """Settings that say whether there are biases."""
        return tuple(dict.fromkeys(p.bias for p in self.parts if isinstance(p.bias, str)))

    @property
    def embedding(self) -> str:
        """The tensor of the embedding."""
        return f"{self.parts[0].theirs}.weight"

    @property
    def head(self) -> str:
        """The tensor of the head, if it is not the embedding's; some files call it lm_head."""
        return f"{self.parts[-1].theirs}.weight"

    @property
    def prefix(self) -> str:
        """What the names of all tensors but the head's begin with, in a model with a head."""
        return self.parts[0].theirs.split(".")[0] + "."


MISSING: Mapping[str, tuple[Any, ...]] = {
    "norm_place": ("pre",),
    "parallel": (False,),
    "qk_norm": (False,),
    "logit_softcap": (0.0,),
    "ngram_buckets": (0,),
    "rope_dims": (0,),
}
"""What an architecture has that says nothing else; of other switches it has all values."""
