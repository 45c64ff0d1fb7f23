"""The architectures of transformers whose tensors are called as Llama's are."""

from __future__ import annotations

from collections.abc import Mapping

from core.interop.huggingface.description import ANY, GATED, PLAIN, Architecture, Part

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


def without(keys: Mapping[str, str], *names: str, **changes: str) -> dict[str, str]:
    """`keys`, some left out and others called differently."""
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
    has={"positions": ("rope",), "norm": ("rmsnorm",), "activation": GATED},
    keys=LLAMA_KEYS,
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
    keys=without(LLAMA_KEYS, norm_eps="norm_epsilon"),
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
    keys=without(LLAMA_KEYS, "d_head", norm_eps="layer_norm_eps"),
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
