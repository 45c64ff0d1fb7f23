"""The stock architectures of transformers that compute what our switches say.

One table, which the writer and the reader share: what each has, what its settings and its
tensors are called. Held against transformers itself by tests/core/test_huggingface*.py.

Sources: the configuration and modelling files of transformers 5.24.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.interop.huggingface_layouts import (
    AS_IS,
    CONV1D,
    FUSED_BY_HEAD,
    FUSED_CONV1D,
    OFFSET,
    Layout,
)

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
    """The values of our switches that it computes; see `MISSING` and `core.interop.
    huggingface_writer.switches`."""
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
    def is_gated(self) -> bool:
        """Whether its feed-forward has a gate."""
        return self.has["activation"] == GATED

    @property
    def bias_keys(self) -> set[str]:
        """Settings that say whether there are biases."""
        return {part.bias for part in self.parts if isinstance(part.bias, str)}

    @property
    def prefix(self) -> str:
        """What the names of all tensors but the head's begin with, in a model with a head."""
        return self.parts[0].theirs.split(".")[0] + "."


MISSING: Mapping[str, tuple[Any, ...]] = {
    "norm_place": ("pre",),
    "parallel": (False,),
    "qk_norm": (False,),
    "logit_softcap": (0.0,),
    "rope_dims": (0,),
}
"""What an architecture has that says nothing else; of other switches it has all values."""

QKVO = ("q_proj", "k_proj", "v_proj", "o_proj")
LLAMA_KEYS = {
    "vocab_size": "vocab_size",
    "max_seq_len": "max_position_embeddings",
    "d_model": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "d_head": "head_dim",
    "d_ff": "intermediate_size",
    "activation": "hidden_act",
    "norm_eps": "rms_norm_eps",
    "tied_head": "tie_word_embeddings",
}
LLAMA_DEFAULTS = {
    "num_key_value_heads": None,
    "head_dim": None,
    "hidden_act": "silu",
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "attention_bias": False,
    "mlp_bias": False,
    "rope_theta": 10_000.0,
    "attention_dropout": 0.0,
}


def _without(keys: Mapping[str, str], *names: str, **changes: str) -> dict[str, str]:
    return {ours: key for ours, key in keys.items() if ours not in names} | changes


def _llama_parts(
    *,
    qkv: bool | str = False,
    o: bool | str = False,
    mlp: bool | str = False,
    norms: bool = False,
    norm_names: tuple[str, str] = ("input_layernorm", "post_attention_layernorm"),
    mlp_names: Mapping[str, str] | None = None,
) -> tuple[Part, ...]:
    layer, block = "model.layers.{i}", "blocks.{i}"
    mlp_names = mlp_names or {name: name for name in ("gate_proj", "up_proj", "down_proj")}
    attention_norm, feed_forward_norm = norm_names
    return (
        Part("model.embed_tokens", ("embedding",)),
        Part(f"{layer}.{attention_norm}", (f"{block}.attention_norm",), norms),
        *(
            Part(
                f"{layer}.self_attn.{name}",
                (f"{block}.attention.{name}",),
                o if name == "o_proj" else qkv,
            )
            for name in QKVO
        ),
        Part(f"{layer}.self_attn.q_norm", (f"{block}.attention.q_norm",)),
        Part(f"{layer}.self_attn.k_norm", (f"{block}.attention.k_norm",)),
        Part(f"{layer}.{feed_forward_norm}", (f"{block}.feed_forward_norm",), norms),
        *(
            Part(f"{layer}.mlp.{theirs}", (f"{block}.feed_forward.{ours}",), mlp)
            for ours, theirs in mlp_names.items()
        ),
        Part("model.norm", ("final_norm",), norms),
        Part("lm_head", ("head",)),
    )


LLAMA = Architecture(
    name="LlamaForCausalLM",
    model_type="llama",
    has={"positions": ("rope",), "norm": ("rmsnorm",), "activation": GATED, "n_heads": (0,)},
    keys=LLAMA_KEYS,
    dropout_keys=("attention_dropout",),
    defaults=LLAMA_DEFAULTS,
    rope_keys=("rope_theta",),
    parts=_llama_parts(qkv="attention_bias", o="attention_bias", mlp="mlp_bias"),
)
MISTRAL = Architecture(
    name="MistralForCausalLM",
    model_type="mistral",
    has={"positions": ("rope",), "norm": ("rmsnorm",), "activation": GATED},
    keys=LLAMA_KEYS,
    dropout_keys=("attention_dropout",),
    defaults=LLAMA_DEFAULTS
    | {"num_key_value_heads": 8, "max_position_embeddings": 131_072, "sliding_window": 4096},
    fixed={"sliding_window": None},
    rope_keys=("rope_theta",),
    parts=_llama_parts(),
)
QWEN2 = Architecture(
    name="Qwen2ForCausalLM",
    model_type="qwen2",
    has={"positions": ("rope",), "norm": ("rmsnorm",), "activation": GATED, "d_head": (0,)},
    keys=_without(LLAMA_KEYS, "d_head"),
    dropout_keys=("attention_dropout",),
    defaults=LLAMA_DEFAULTS
    | {"num_key_value_heads": 32, "max_position_embeddings": 32_768, "use_sliding_window": False},
    fixed={"use_sliding_window": False},
    rope_keys=("rope_theta",),
    parts=_llama_parts(qkv=True),
)
QWEN3 = Architecture(
    name="Qwen3ForCausalLM",
    model_type="qwen3",
    has={
        "positions": ("rope",),
        "norm": ("rmsnorm",),
        "activation": GATED,
        "qk_norm": (True,),
    },
    keys=LLAMA_KEYS,
    dropout_keys=("attention_dropout",),
    defaults={**QWEN2.defaults, "head_dim": 128},
    fixed={"use_sliding_window": False},
    rope_keys=("rope_theta",),
    parts=_llama_parts(qkv="attention_bias", o="attention_bias"),
)
ARCEE = Architecture(
    name="ArceeForCausalLM",
    model_type="arcee",
    has={"positions": ("rope",), "norm": ("rmsnorm",), "activation": PLAIN, "n_heads": (0,)},
    keys=LLAMA_KEYS,
    dropout_keys=("attention_dropout",),
    defaults=LLAMA_DEFAULTS
    | {"hidden_act": "relu2", "max_position_embeddings": 4096, "rms_norm_eps": 1e-5},
    rope_keys=("rope_theta",),
    parts=_llama_parts(qkv="attention_bias", o="attention_bias", mlp="mlp_bias"),
)
APERTUS = Architecture(
    name="ApertusForCausalLM",
    model_type="apertus",
    has={"positions": ("rope",), "norm": ("rmsnorm",), "activation": PLAIN, "qk_norm": (True,)},
    keys=LLAMA_KEYS,
    dropout_keys=("attention_dropout",),
    defaults=LLAMA_DEFAULTS
    | {
        "hidden_act": "xielu",
        "max_position_embeddings": 65_536,
        "rms_norm_eps": 1e-5,
        "rope_theta": 12_000_000.0,
    },
    rope_keys=("rope_theta",),
    parts=_llama_parts(
        qkv="attention_bias",
        o="attention_bias",
        norm_names=("attention_layernorm", "feedforward_layernorm"),
    ),
)
SMOLLM3 = Architecture(
    name="SmolLM3ForCausalLM",
    model_type="smollm3",
    has={"positions": ("none",), "norm": ("rmsnorm",), "activation": GATED},
    keys=LLAMA_KEYS,
    dropout_keys=("attention_dropout",),
    defaults=LLAMA_DEFAULTS
    | {
        "num_key_value_heads": 4,
        "max_position_embeddings": 32_768,
        "tie_word_embeddings": True,
        "use_sliding_window": False,
    },
    fixed={"use_sliding_window": False},
    fixed_per_block={"no_rope_layers": 0},
    parts=_llama_parts(qkv="attention_bias", o="attention_bias", mlp="mlp_bias"),
)
STARCODER2 = Architecture(
    name="Starcoder2ForCausalLM",
    model_type="starcoder2",
    has={"positions": ("rope",), "norm": ("layernorm",), "activation": PLAIN},
    keys=_without(LLAMA_KEYS, norm_eps="norm_epsilon"),
    dropout_keys=("residual_dropout", "attention_dropout", "embedding_dropout"),
    defaults=LLAMA_DEFAULTS
    | {
        "num_key_value_heads": 2,
        "hidden_act": "gelu_pytorch_tanh",
        "max_position_embeddings": 4096,
        "norm_epsilon": 1e-5,
        "use_bias": True,
        "tie_word_embeddings": True,
        "sliding_window": None,
        "residual_dropout": 0.0,
    },
    fixed={"sliding_window": None},
    rope_keys=("rope_theta",),
    parts=_llama_parts(
        qkv="use_bias",
        o="use_bias",
        mlp="use_bias",
        norms=True,
        mlp_names={"up_proj": "c_fc", "down_proj": "c_proj"},
    ),
)
STABLELM = Architecture(
    name="StableLmForCausalLM",
    model_type="stablelm",
    has={
        "positions": ("rope",),
        "norm": ("layernorm",),
        "activation": GATED,
        "d_head": (0,),
        "rope_dims": ANY,
    },
    keys=_without(LLAMA_KEYS, "d_head", norm_eps="layer_norm_eps"),
    dropout_keys=("hidden_dropout", "attention_dropout"),
    defaults=LLAMA_DEFAULTS
    | {
        "num_key_value_heads": 32,
        "max_position_embeddings": 4096,
        "layer_norm_eps": 1e-5,
        "use_qkv_bias": False,
        "qk_layernorm": False,
        "use_parallel_residual": False,
        "partial_rotary_factor": 0.25,
        "hidden_dropout": 0.0,
    },
    fixed={"qk_layernorm": False, "use_parallel_residual": False},
    rope_keys=("rope_theta", "partial_rotary_factor"),
    parts=_llama_parts(qkv="use_qkv_bias", norms=True),
)
_NEOX, _BLOCK = "gpt_neox.layers.{i}", "blocks.{i}"
GPT_NEOX = Architecture(
    name="GPTNeoXForCausalLM",
    model_type="gpt_neox",
    has={
        "positions": ("rope",),
        "norm": ("layernorm",),
        "activation": PLAIN,
        "n_kv_heads": (0,),
        "d_head": (0,),
        "rope_dims": ANY,
        "parallel": (False, True),
    },
    keys=_without(
        LLAMA_KEYS,
        "d_head",
        "n_kv_heads",
        norm_eps="layer_norm_eps",
        parallel="use_parallel_residual",
    ),
    dropout_keys=("hidden_dropout", "attention_dropout"),
    defaults={
        "hidden_act": "gelu",
        "max_position_embeddings": 2048,
        "layer_norm_eps": 1e-5,
        "tie_word_embeddings": False,
        "use_parallel_residual": True,
        "attention_bias": True,
        "rotary_emb_base": 10_000.0,
        "rotary_pct": 0.25,
        "hidden_dropout": 0.0,
    },
    rope_keys=("rotary_emb_base", "rotary_pct"),
    parts=(
        Part("gpt_neox.embed_in", ("embedding",)),
        Part(f"{_NEOX}.input_layernorm", (f"{_BLOCK}.attention_norm",), True),
        Part(
            f"{_NEOX}.attention.query_key_value",
            tuple(f"{_BLOCK}.attention.{name}" for name in QKVO[:3]),
            "attention_bias",
            FUSED_BY_HEAD,
        ),
        Part(f"{_NEOX}.attention.dense", (f"{_BLOCK}.attention.o_proj",), "attention_bias"),
        Part(f"{_NEOX}.post_attention_layernorm", (f"{_BLOCK}.feed_forward_norm",), True),
        Part(f"{_NEOX}.mlp.dense_h_to_4h", (f"{_BLOCK}.feed_forward.up_proj",), True),
        Part(f"{_NEOX}.mlp.dense_4h_to_h", (f"{_BLOCK}.feed_forward.down_proj",), True),
        Part("gpt_neox.final_layer_norm", ("final_norm",), True),
        Part("lm_head", ("head",)),
    ),
)
_GPT2 = "transformer.h.{i}"
GPT2 = Architecture(
    name="GPT2LMHeadModel",
    model_type="gpt2",
    has={
        "positions": ("learned",),
        "norm": ("layernorm",),
        "activation": PLAIN,
        "n_kv_heads": (0,),
        "d_head": (0,),
    },
    keys={
        "vocab_size": "vocab_size",
        "max_seq_len": "n_positions",
        "d_model": "n_embd",
        "n_layers": "n_layer",
        "n_heads": "n_head",
        "d_ff": "n_inner",
        "activation": "activation_function",
        "norm_eps": "layer_norm_epsilon",
        "tied_head": "tie_word_embeddings",
    },
    dropout_keys=("resid_pdrop", "attn_pdrop", "embd_pdrop"),
    defaults={
        "n_positions": 1024,
        "n_inner": None,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "tie_word_embeddings": True,
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "add_cross_attention": False,
        "resid_pdrop": 0.1,
    },
    fixed={
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "add_cross_attention": False,
    },
    parts=(
        Part("transformer.wte", ("embedding",)),
        Part("transformer.wpe", ("position_table",)),
        Part(f"{_GPT2}.ln_1", (f"{_BLOCK}.attention_norm",), True),
        Part(
            f"{_GPT2}.attn.c_attn",
            tuple(f"{_BLOCK}.attention.{name}" for name in QKVO[:3]),
            True,
            FUSED_CONV1D,
        ),
        Part(f"{_GPT2}.attn.c_proj", (f"{_BLOCK}.attention.o_proj",), True, CONV1D),
        Part(f"{_GPT2}.ln_2", (f"{_BLOCK}.feed_forward_norm",), True),
        Part(f"{_GPT2}.mlp.c_fc", (f"{_BLOCK}.feed_forward.up_proj",), True, CONV1D),
        Part(f"{_GPT2}.mlp.c_proj", (f"{_BLOCK}.feed_forward.down_proj",), True, CONV1D),
        Part("transformer.ln_f", ("final_norm",), True),
        Part("lm_head", ("head",)),
    ),
)
_OPT = "model.decoder.layers.{i}"
OPT = Architecture(
    name="OPTForCausalLM",
    model_type="opt",
    has={
        "positions": ("learned",),
        "norm": ("layernorm",),
        "norm_place": ("pre", "post"),
        "activation": PLAIN,
        "n_kv_heads": (0,),
        "d_head": (0,),
        "norm_eps": (1e-5,),
    },
    keys=_without(
        LLAMA_KEYS,
        "n_kv_heads",
        "d_head",
        "norm_eps",
        d_ff="ffn_dim",
        activation="activation_function",
        norm_place="do_layer_norm_before",
    ),
    dropout_keys=("dropout", "attention_dropout"),
    defaults={
        "max_position_embeddings": 2048,
        "activation_function": "relu",
        "do_layer_norm_before": True,
        "tie_word_embeddings": True,
        "enable_bias": True,
        "_remove_final_layer_norm": False,
        "layer_norm_elementwise_affine": True,
        "word_embed_proj_dim": None,
        "dropout": 0.1,
    },
    fixed={"_remove_final_layer_norm": False, "layer_norm_elementwise_affine": True},
    parts=(
        Part("model.decoder.embed_tokens", ("embedding",)),
        Part("model.decoder.embed_positions", ("position_table",), layout=OFFSET),
        Part(f"{_OPT}.self_attn_layer_norm", (f"{_BLOCK}.attention_norm",), True),
        *(
            Part(
                f"{_OPT}.self_attn.{name.replace('o_', 'out_')}",
                (f"{_BLOCK}.attention.{name}",),
                "enable_bias",
            )
            for name in QKVO
        ),
        Part(f"{_OPT}.final_layer_norm", (f"{_BLOCK}.feed_forward_norm",), True),
        Part(f"{_OPT}.fc1", (f"{_BLOCK}.feed_forward.up_proj",), "enable_bias"),
        Part(f"{_OPT}.fc2", (f"{_BLOCK}.feed_forward.down_proj",), "enable_bias"),
        Part("model.decoder.final_layer_norm", ("final_norm",), True),
        Part("lm_head", ("head",)),
    ),
)
ARCHITECTURES = (
    LLAMA,
    MISTRAL,
    QWEN3,
    ARCEE,
    APERTUS,
    STARCODER2,
    STABLELM,
    GPT_NEOX,
    GPT2,
    OPT,
    SMOLLM3,
    QWEN2,
)
"""In the order in which the writer tries them."""
