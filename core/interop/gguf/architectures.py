"""What llama.cpp computes under each name, and where it keeps each tensor.

One table for both ways: the writer looks for a row that computes a model, the reader for the
row of a file.

Sources: the graphs and the tensor names of llama.cpp, and the GGUF specification
(github.com/ggml-org/ggml, docs/gguf.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from core.config import ModelConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A model that llama.cpp knows, in our words."""

    name: str
    norm: str
    activation: str
    positions: str = "rope"
    qk_norm: bool = False
    biases: str = "free"
    """"none" at all, "free" to be there, in "all" linear layers and norms, in "norms" alone."""
    is_adjacent: bool = False
    """Whether rope turns the pairs (2r, 2r + 1) of a head, and not (r, r + R/2) as ours."""
    is_fused: bool = False
    """Whether queries, keys and values come from one matrix."""
    can_tie: bool = True
    can_be_parallel: bool = False
    has_free_heads: bool = False
    """Whether heads may be wider or narrower than d_model / n_heads."""
    has_rope_dims: bool = False
    """Whether rope may turn a part of each head."""
    has_rope_factors: bool = False
    """Whether a file may stretch each frequency of rope on its own."""
    is_written: bool = True
    """Whether ours are written as such; others are only read."""


ARCHITECTURES = (
    Architecture(
        name="llama",
        norm="rmsnorm",
        activation="swiglu",
        is_adjacent=True,
        has_free_heads=True,
        has_rope_factors=True,
    ),
    Architecture(
        name="qwen3",
        norm="rmsnorm",
        activation="swiglu",
        qk_norm=True,
        biases="none",
        has_free_heads=True,
    ),
    Architecture(name="qwen2", norm="rmsnorm", activation="swiglu", is_written=False),
    Architecture(
        name="stablelm",
        norm="layernorm",
        activation="swiglu",
        biases="norms",
        can_tie=False,
        has_rope_dims=True,
    ),
    Architecture(
        name="apertus",
        norm="rmsnorm",
        activation="relu2",
        qk_norm=True,
        biases="none",
        can_tie=False,
        has_free_heads=True,
        has_rope_factors=True,
    ),
    Architecture(
        name="arcee",
        norm="rmsnorm",
        activation="relu2",
        biases="none",
        is_adjacent=True,
        has_free_heads=True,
        has_rope_factors=True,
    ),
    Architecture(
        name="nemotron",
        norm="layernorm",
        activation="relu2",
        biases="all",
        can_tie=False,
        has_rope_dims=True,
    ),
    Architecture(name="starcoder2", norm="layernorm", activation="gelu_tanh", biases="all"),
    Architecture(
        name="gptneox",
        norm="layernorm",
        activation="gelu_tanh",
        biases="all",
        is_fused=True,
        can_tie=False,
        can_be_parallel=True,
        has_rope_dims=True,
    ),
    Architecture(
        name="gpt2",
        norm="layernorm",
        activation="gelu_tanh",
        positions="learned",
        biases="all",
        is_fused=True,
    ),
)
"""Of two that fit a model the earlier is taken."""

BY_NAME = {row.name: row for row in ARCHITECTURES}

ROPE_FACTORS = "rope_freqs.weight"
"""What each frequency of rope is divided by: the tensor of llama3's stretching."""

_PROJECTIONS = {
    "attention.q_proj": "attn_q",
    "attention.k_proj": "attn_k",
    "attention.v_proj": "attn_v",
    "attention.o_proj": "attn_output",
    "feed_forward.gate_proj": "ffn_gate",
    "feed_forward.up_proj": "ffn_up",
    "feed_forward.down_proj": "ffn_down",
}


@dataclass(frozen=True, slots=True)
class Piece:
    """A tensor of the file."""

    name: str
    parts: tuple[tuple[str, int], ...]
    """Our tensors that it holds, one below the other: name and number of rows."""
    n_heads: tuple[int, ...] = ()
    """Of each part whose rows are turned in adjacent pairs; 0 for one that is not."""


def pieces(row: Architecture, config: ModelConfig, *, is_fused: bool) -> Iterator[Piece]:
    """The tensors of a model in the order of the file, all those that it may have.

    Args:
        is_fused: whether queries, keys and values are one tensor here.
    """
    d = config.d_model
    yield _single("token_embd.weight", "embedding.weight", config.vocab_size)
    if config.positions == "learned":
        yield _single("position_embd.weight", "position_table", config.max_seq_len)
    for i in range(config.n_layers):
        yield from _block_pieces(row, config, f"blk.{i}.", f"blocks.{i}.", is_fused=is_fused)
    for kind in ("weight", "bias"):
        yield _single(f"output_norm.{kind}", f"final_norm.{kind}", d)
    if not config.tied_head:
        yield _single("output.weight", "head.weight", config.vocab_size)


def _block_pieces(
    row: Architecture, config: ModelConfig, theirs: str, ours: str, *, is_fused: bool
) -> Iterator[Piece]:
    d, hidden = config.d_model, config.hidden_dim
    q, kv = (n * config.head_dim for n in (config.n_heads, config.kv_heads))
    n_rows = dict(zip(_PROJECTIONS, (q, kv, kv, d, hidden, hidden, d), strict=True))
    turned = (config.n_heads, config.kv_heads, 0) if row.is_adjacent else (0, 0, 0)
    qkv = list(zip(list(_PROJECTIONS)[:3], turned, strict=True))
    for kind in ("weight", "bias"):
        yield _single(f"{theirs}attn_norm.{kind}", f"{ours}attention_norm.{kind}", d)
        if is_fused:
            parts = tuple((f"{ours}{name}.{kind}", n_rows[name]) for name, _ in qkv)
            yield Piece(f"{theirs}attn_qkv.{kind}", parts, turned)
        for name, n_heads in () if is_fused else qkv:
            part = (f"{ours}{name}.{kind}", n_rows[name])
            yield Piece(f"{theirs}{_PROJECTIONS[name]}.{kind}", (part,), (n_heads,))
        for name in list(_PROJECTIONS)[3:]:
            if "gate" not in name or config.activation == "swiglu":
                there = f"{theirs}{_PROJECTIONS[name]}.{kind}"
                yield _single(there, f"{ours}{name}.{kind}", n_rows[name])
        yield _single(f"{theirs}ffn_norm.{kind}", f"{ours}feed_forward_norm.{kind}", d)
    for letter in "qk" if row.qk_norm else "":
        there = f"{theirs}attn_{letter}_norm.weight"
        yield _single(there, f"{ours}attention.{letter}_norm.weight", config.head_dim)


def _single(theirs: str, ours: str, n_rows: int) -> Piece:
    return Piece(theirs, ((ours, n_rows),), (0,))


def to_adjacent(tensor: Tensor, n_heads: int) -> Tensor:
    """Rows of each head in another order: those that rope turns together side by side."""
    return tensor.unflatten(0, (n_heads, 2, -1)).transpose(1, 2).flatten(0, 2)


def from_adjacent(tensor: Tensor, n_heads: int) -> Tensor:
    """Undo `to_adjacent`."""
    return tensor.unflatten(0, (n_heads, -1, 2)).transpose(1, 2).flatten(0, 2)
