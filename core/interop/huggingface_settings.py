"""What settings of transformers are to minitf that are no setting of ours."""

from __future__ import annotations

from typing import Any

_HARMLESS = """
architectures model_type transformers_version torch_dtype dtype use_cache bos_token_id
eos_token_id pad_token_id unk_token_id sep_token_id decoder_start_token_id initializer_range
init_std _name_or_path pretraining_tp gradient_checkpointing return_dict task_specific_params
id2label label2id summary_type summary_use_proj summary_activation summary_proj_to_labels
summary_first_dropout n_ctx classifier_dropout problem_type tokenizer_class max_window_layers
layerdrop _attn_implementation attn_implementation reorder_and_upcast_attn is_decoder
output_attentions output_hidden_states prefix _attn_implementation_autoset unsloth_version
unsloth_fixed no_rope_layer_interval original_max_position_embeddings chunk_size_feed_forward
layer_norm_eps rope_theta rope_scaling rope_parameters sliding_window layer_types
use_sliding_window activation_dropout
"""
HARMLESS = frozenset(_HARMLESS.split())
"""They do not change what is computed, or are looked at by name elsewhere."""
MATTERS: dict[str, tuple[Any, ...]] = {
    "quantization_config": (None,),
    "auto_map": (None,),
    "attention_multiplier": (None, 1, 1.0),
    "embedding_multiplier": (None, 1, 1.0),
    "residual_multiplier": (None, 1, 1.0),
    "logits_scaling": (None, 1, 1.0),
    "logit_scale": (None, 1, 1.0),
    "final_logit_softcapping": (None,),
    "attn_logit_softcapping": (None,),
    "query_pre_attn_scalar": (None,),
    "attention_chunk_size": (None,),
    "attn_temperature_tuning": (None, False),
    "clip_qkv": (None,),
    "alibi": (None, False),
    "rope_interleaved": (None, False),
    "num_experts": (None, 0, 1),
    "num_local_experts": (None, 0, 1),
    "is_encoder_decoder": (None, False),
    "pruned_heads": (None, {}),
}
"""Settings that ask for what minitf lacks, unless they have one of these values."""
