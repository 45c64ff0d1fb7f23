"""The stock architectures of transformers that compute what our switches say.

One table, which the writer and the reader share: what each has, what its settings and its
tensors are called. Held against transformers itself by tests/core/test_huggingface*.py.

Sources: the configuration and modelling files of transformers 5.24.
"""

from __future__ import annotations

from core.interop.huggingface.description import ANY, PLAIN, Architecture, Part
from core.interop.huggingface.layouts import CONV1D, FUSED_BY_HEAD, FUSED_CONV1D, OFFSET
from core.interop.huggingface.llamas import (
    APERTUS,
    ARCEE,
    LLAMA,
    LLAMA_KEYS,
    MISTRAL,
    QKVO,
    QWEN2,
    QWEN3,
    SMOLLM3,
    STABLELM,
    STARCODER2,
    without,
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
    keys=without(
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
        Part("embed_out", ("head",)),
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
    keys=without(
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
