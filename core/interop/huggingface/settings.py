"""A `config.json` that somebody wrote: its values, checked one by one, and what must not be."""

from __future__ import annotations

from typing import Any

from core.errors import FormatError
from core.interop.huggingface.description import Architecture, Json

LARGEST = 1 << 24
"""Of any size in a config.json: no model in reach has a larger one."""
_LIMITS = {"vocab_size": LARGEST, "max_position_embeddings": 1 << 31}

ATTENTIONS = ("full_attention", "sliding_attention")
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


class Settings:
    """A `config.json` that somebody wrote, with the defaults of its architecture."""

    def __init__(self, architecture: Architecture, found: Json, source: str) -> None:
        self.architecture = architecture
        self.source = source
        self._found = found

    def __contains__(self, key: str) -> bool:
        return key in self._found

    def get(self, key: str) -> Any:
        """Its value, of any type; the architecture's default, or None."""
        return self._found.get(key, self.architecture.defaults.get(key))

    def whole(self, key: str) -> int:
        """A whole number from 1 up.

        Raises:
            FormatError: it is missing, or not one.
        """
        value = self.get(key)
        most = _LIMITS.get(key, LARGEST)
        if type(value) is not int or not 1 <= value <= most:
            raise self.error(key, value, f"That takes a whole number from 1 to {most}.")
        return value

    def number(self, key: str) -> float:
        """A finite number.

        Raises:
            FormatError: it is not one.
        """
        return as_number(self.source, key, self.get(key))

    def flag(self, key: str) -> bool:
        """True or false.

        Raises:
            FormatError: it is neither.
        """
        value = self.get(key)
        if type(value) is not bool:
            raise self.error(key, value, "That takes true or false.")
        return value

    def unknown(self) -> list[str]:
        """Keys of which nobody here has heard."""
        architecture = self.architecture
        known = {
            *HARMLESS,
            *MATTERS,
            *architecture.keys.values(),
            *architecture.defaults,
            *architecture.fixed,
            *architecture.fixed_per_block,
            *architecture.bias_keys,
            *architecture.dropout_keys,
            *architecture.rope_keys,
        }
        return sorted(key for key in self._found if key not in known)

    def error(self, key: str, value: object, hint: str) -> FormatError:
        """That `key` has a value that cannot be."""
        return wrong(self.source, key, value, hint)


def wrong(source: str, key: str, value: object, hint: str) -> FormatError:
    """A setting that minitf cannot take."""
    return FormatError(f"{source}: config.json has {key}={shown(value)}.", hint=hint)


def as_number(source: str, key: str, value: object) -> float:
    """`value`, if it is a finite number that is not enormous.

    Raises:
        FormatError: it is not.
    """
    is_number = type(value) in (int, float) and abs(value) < 1e30  # type: ignore[arg-type]
    if not is_number:
        raise wrong(source, key, value, "That takes a number.")
    return float(value)  # type: ignore[arg-type]


def shown(value: object) -> str:
    """It, or its beginning."""
    text = "something nested" if isinstance(value, list | dict) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def check_window(settings: Settings, kept: int) -> None:
    """A window at least as long as the positions that are kept hides nothing; there is no other
    kind of attention.

    Raises:
        FormatError: it is shorter.
    """
    defaults = settings.architecture.defaults
    kinds = settings.get("layer_types")
    if kinds is not None and (
        not isinstance(kinds, list) or any(kind not in ATTENTIONS for kind in kinds)
    ):
        raise settings.error("layer_types", kinds, f"minitf has {' and '.join(ATTENTIONS)} there.")
    window = None
    if "sliding_window" in defaults or (
        "use_sliding_window" in defaults and settings.flag("use_sliding_window")
    ):
        window = settings.get("sliding_window")
    if window is None:
        return
    if (n := settings.whole("sliding_window")) < kept:
        raise settings.error(
            "sliding_window",
            n,
            f"minitf looks back over all of its {kept} positions; keep at most {n}.",
        )


def refuse_what_matters(settings: Settings) -> None:
    """Settings that change what is computed in a way that we lack.

    Raises:
        FormatError: there is one.
    """
    for key, harmless in MATTERS.items():
        if key in settings and settings.get(key) not in harmless:
            raise settings.error(key, settings.get(key), "minitf lacks what that asks for.")
    architecture = settings.architecture
    for key, value in architecture.fixed.items():
        # A window is looked at by itself.
        if "sliding_window" not in key and settings.get(key) != value:
            raise settings.error(key, settings.get(key), f"minitf has {value} there.")
    for key, value in architecture.fixed_per_block.items():
        blocks = settings.get(key)
        n_blocks = settings.whole(architecture.keys["n_layers"])
        if not isinstance(blocks, list) or blocks[:n_blocks] != [value] * n_blocks:
            raise settings.error(key, blocks, f"minitf has {value} for each block there.")
    _refuse_other_widths(settings)


def _refuse_other_widths(settings: Settings) -> None:
    """Of OPT's embedding, and of heads where they are not to be chosen."""
    keys = settings.architecture.keys
    d_model, n_heads = (settings.whole(keys[ours]) for ours in ("d_model", "n_heads"))
    widths = {"word_embed_proj_dim": d_model}
    if "d_head" not in keys:
        widths["head_dim"] = d_model // n_heads
    for key, width in widths.items():
        if (value := settings.get(key)) not in (None, width):
            raise settings.error(key, value, f"minitf has {width} there.")
