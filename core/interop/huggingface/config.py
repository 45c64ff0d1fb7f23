"""`config.json` of transformers, from our configuration and back.

What a key of theirs means is in `core.interop.huggingface.architectures`; here is how rope,
biases and the things that must not be are written and read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from core.config import ModelConfig
from core.errors import ConfigError, FormatError
from core.interop.foreign import kept_positions
from core.interop.huggingface.architectures import ARCHITECTURES
from core.interop.huggingface.description import (
    ACTIVATION_NAMES,
    OTHER_ACTIVATION_NAMES,
    Architecture,
    Json,
)
from core.interop.huggingface.rope import rope_from_json, rope_to_json
from core.interop.huggingface.settings import Settings, check_window, refuse_what_matters, shown


def to_json(architecture: Architecture, config: ModelConfig) -> Json:
    """What `config.json` says of the model, but for its special tokens."""
    resolved = {
        "n_kv_heads": config.kv_heads,
        "d_head": config.head_dim,
        "d_ff": config.hidden_dim,
        "activation": ACTIVATION_NAMES[config.activation],
        "norm_place": config.norm_place == "pre",
    }
    settings: Json = {"architectures": [architecture.name], "model_type": architecture.model_type}
    for ours, theirs in architecture.keys.items():
        settings[theirs] = resolved.get(ours, getattr(config, ours))
    settings |= architecture.fixed
    settings |= {key: [v] * config.n_layers for key, v in architecture.fixed_per_block.items()}
    settings |= dict.fromkeys(architecture.bias_keys, config.bias)
    settings |= dict.fromkeys(architecture.dropout_keys, config.dropout)
    if architecture.rope_keys:
        settings |= rope_to_json(architecture, config)
    return settings | {"torch_dtype": "float32", "dtype": "float32", "use_cache": True}


def find_architecture(found: Json, source: str) -> Architecture:
    """The entry of the table that a `config.json` is of.

    Raises:
        FormatError: there is none.
    """
    model_type = found.get("model_type")
    for architecture in ARCHITECTURES:
        if architecture.model_type == model_type:
            return architecture
    known = [architecture.model_type for architecture in ARCHITECTURES]
    raise FormatError(
        f"{source}: minitf does not know the architecture {shown(model_type)}.",
        hint=f"It knows {', '.join(sorted(known))}.",
    )


def from_json(settings: Settings, asked_positions: int) -> tuple[ModelConfig, tuple[str, ...]]:
    """Our configuration, with all of the model's positions, and what to say about it.

    Dropout is the model's own (0.1 in GPT-2 and OPT): it acts when training goes on, as it does
    in transformers, and is written again on export. A run that only begins with these weights
    (`--init-from`) has the dropout of its own settings.

    Args:
        asked_positions: how many positions are kept; see `kept_positions`.

    Raises:
        FormatError: it asks for what minitf lacks.
    """
    architecture = settings.architecture
    refuse_what_matters(settings)
    sizes = {
        ours: settings.whole(architecture.keys[ours])
        for ours in ("vocab_size", "max_seq_len", "d_model", "n_layers", "n_heads")
    }
    kept, remarks = kept_positions(sizes["max_seq_len"], asked_positions)
    check_window(settings, kept)
    fields: dict[str, Any] = sizes | _head_sizes(settings, sizes)
    if "norm_eps" in architecture.keys:
        fields["norm_eps"] = settings.number(architecture.keys["norm_eps"])
    if "parallel" in architecture.keys:
        fields["parallel"] = settings.flag(architecture.keys["parallel"])
    if "norm_place" in architecture.keys:
        is_pre = settings.flag(architecture.keys["norm_place"])
        fields["norm_place"] = "pre" if is_pre else "post"
    fields["positions"] = architecture.has["positions"][0]
    fields["norm"] = architecture.has["norm"][0]
    fields["qk_norm"] = architecture.has.get("qk_norm", (False,))[0]
    fields["tied_head"] = settings.flag(architecture.keys["tied_head"])
    fields["dropout"] = settings.number(architecture.dropout_keys[0])
    fields["activation"] = _activation(settings)
    fields["bias"] = any(has_bias(settings, part.bias) for part in architecture.parts)
    if unknown := settings.unknown():
        remarks += (f"Settings that minitf does not know were passed over: {_list(unknown)}.",)
    try:
        whole = ModelConfig(**fields)
        return ModelConfig(**fields, **rope_from_json(settings, whole.head_dim)), remarks
    except ConfigError as error:
        raise FormatError(
            f"{settings.source}: config.json describes no model of ours: {error}", hint=error.hint
        ) from error


def has_bias(settings: Settings, bias: bool | str) -> bool:
    """Whether a part has a bias, by what the table says of it."""
    return settings.flag(bias) if isinstance(bias, str) else bias


def _head_sizes(settings: Settings, sizes: dict[str, int]) -> dict[str, int]:
    keys = settings.architecture.keys
    fields = {"d_ff": 4 * sizes["d_model"]}
    if settings.get(keys["d_ff"]) is not None or keys["d_ff"] not in settings.architecture.defaults:
        fields["d_ff"] = settings.whole(keys["d_ff"])
    if "n_kv_heads" in keys and settings.get(keys["n_kv_heads"]) is not None:
        n_kv_heads = settings.whole(keys["n_kv_heads"])
        fields["n_kv_heads"] = 0 if n_kv_heads == sizes["n_heads"] else n_kv_heads
    if "d_head" in keys and settings.get(keys["d_head"]) is not None:
        d_head = settings.whole(keys["d_head"])
        fields["d_head"] = 0 if d_head * sizes["n_heads"] == sizes["d_model"] else d_head
    return fields


def _activation(settings: Settings) -> str:
    key = settings.architecture.keys["activation"]
    value = settings.get(key)
    names = {theirs: ours for ours, theirs in ACTIVATION_NAMES.items()} | OTHER_ACTIVATION_NAMES
    known = {
        theirs: ours
        for theirs, ours in names.items()
        if ours in settings.architecture.has["activation"]
    }
    if not isinstance(value, str) or value not in known:
        raise settings.error(key, value, f"minitf has {', '.join(sorted(known))} there.")
    return known[value]


def _list(names: Iterable[str]) -> str:
    names = list(names)
    shown = ", ".join(name[:40] for name in names[:6])
    return shown if len(names) <= 6 else f"{shown} and {len(names) - 6} more"
