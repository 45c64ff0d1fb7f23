"""`config.json` of transformers, from our configuration and back.

What a key of theirs means is in `core.interop.huggingface_architectures`; here is how rope,
biases and the things that must not be are written and read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from core.config import ModelConfig
from core.errors import ConfigError, FormatError
from core.interop.foreign import kept_positions
from core.interop.huggingface_architectures import (
    ACTIVATION_NAMES,
    ARCHITECTURES,
    OTHER_ACTIVATION_NAMES,
    Architecture,
    Json,
)
from core.interop.huggingface_settings import HARMLESS, MATTERS
from core.model.positions import LONG_WAVES, SHORT_WAVES

LARGEST = 1 << 24
"""Of any size in a config.json: no model in reach has a larger one."""
LIMITS = {"vocab_size": LARGEST, "max_position_embeddings": 1 << 31}


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
        settings |= _rope_to_json(architecture, config)
    return settings | {"torch_dtype": "float32", "dtype": "float32", "use_cache": True}


def _rope_to_json(architecture: Architecture, config: ModelConfig) -> Json:
    """As transformers 5 reads it, and as 4 does."""
    scaling: Json = {"rope_type": "default"}
    if config.rope_scaling != "none":
        scaling = {"rope_type": config.rope_scaling, "factor": config.rope_factor}
    if config.rope_scaling == "llama3":
        scaling |= {
            "low_freq_factor": LONG_WAVES,
            "high_freq_factor": SHORT_WAVES,
            "original_max_position_embeddings": config.rope_original_len,
        }
    theta_key, *part_keys = architecture.rope_keys
    turned = _share(config.rope_dims or config.head_dim, config.head_dim)
    part = {"partial_rotary_factor": turned} if part_keys else {}
    return {
        "rope_parameters": scaling | {"rope_theta": config.rope_theta} | part,
        "rope_scaling": None if config.rope_scaling == "none" else scaling,
        theta_key: config.rope_theta,
        **dict.fromkeys(part_keys, turned),
    }


def _share(n: int, whole: int) -> float:
    """Of which `int(whole * share)` is n."""
    share = n / whole
    return share if int(whole * share) == n else math.nextafter(share, math.inf)


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
        most = LIMITS.get(key, LARGEST)
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
    return FormatError(f"{source}: config.json has {key}={_shown(value)}.", hint=hint)


def as_number(source: str, key: str, value: object) -> float:
    """`value`, if it is a finite number that is not enormous.

    Raises:
        FormatError: it is not.
    """
    is_number = type(value) in (int, float) and abs(value) < 1e30  # type: ignore[arg-type]
    if not is_number:
        raise wrong(source, key, value, "That takes a number.")
    return float(value)  # type: ignore[arg-type]


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


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
        f"{source}: minitf does not know the architecture {_shown(model_type)}.",
        hint=f"It knows {', '.join(sorted(known))}.",
    )


def from_json(settings: Settings, asked_positions: int) -> tuple[ModelConfig, tuple[str, ...]]:
    """Our configuration, with all of the model's positions, and what to say about it.

    Args:
        asked_positions: how many positions are kept; see `kept_positions`.

    Raises:
        FormatError: it asks for what minitf lacks.
    """
    architecture = settings.architecture
    _refuse_what_matters(settings)
    sizes = {
        ours: settings.whole(architecture.keys[ours])
        for ours in ("vocab_size", "max_seq_len", "d_model", "n_layers", "n_heads")
    }
    kept, remarks = kept_positions(sizes["max_seq_len"], asked_positions)
    _check_window(settings, kept)
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
        return ModelConfig(**fields, **_rope(settings, whole.head_dim)), remarks
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


def _rope(settings: Settings, head_dim: int) -> dict[str, Any]:
    """What `rope_scaling`, or else `rope_parameters`, and the keys beside them say."""
    if not settings.architecture.rope_keys:
        return {}
    found = settings.get("rope_scaling") or settings.get("rope_parameters") or {}
    if not isinstance(found, dict):
        raise settings.error("rope_scaling", found, "That takes an object.")
    source = settings.source
    kind = found.get("rope_type", found.get("type", "default"))
    theta_key, *part_keys = settings.architecture.rope_keys
    theta = found.get("rope_theta")
    fields: dict[str, Any] = {
        "rope_theta": settings.number(theta_key)
        if theta is None
        else as_number(source, "rope_theta", theta)
    }
    part = found.get("partial_rotary_factor")
    if part is None:
        part = settings.get(part_keys[0] if part_keys else "partial_rotary_factor")
    share = 1.0 if part is None else as_number(source, "partial_rotary_factor", part)
    if share != 1 and not part_keys:
        raise wrong(source, "partial_rotary_factor", part, "There, minitf turns whole heads only.")
    if not 0 < share <= 1 or not (n_turned := int(head_dim * share)):
        raise wrong(source, "partial_rotary_factor", part, "That is above 0, and at most 1.")
    fields["rope_dims"] = 0 if n_turned == head_dim else n_turned
    return fields | _rope_scaling(settings, found, kind)


def _rope_scaling(settings: Settings, found: Json, kind: object) -> dict[str, Any]:
    source = settings.source
    if kind == "default":
        return {}
    if kind not in ("linear", "llama3"):
        raise wrong(source, "rope_type", kind, "minitf has default, linear and llama3.")
    fields = {"rope_scaling": kind, "rope_factor": as_number(source, "factor", found.get("factor"))}
    if kind == "linear":
        return fields
    for key, ours in (("low_freq_factor", LONG_WAVES), ("high_freq_factor", SHORT_WAVES)):
        if found.get(key) != ours:
            raise wrong(source, key, found.get(key), f"minitf has {ours:g} there.")
    original = found.get("original_max_position_embeddings")
    if original is None:
        original = settings.whole(settings.architecture.keys["max_seq_len"])
    if type(original) is not int or not 1 <= original <= LIMITS["max_position_embeddings"]:
        key = "original_max_position_embeddings"
        raise wrong(source, key, original, "That takes a whole number from 1 up.")
    return fields | {"rope_original_len": original}


def _check_window(settings: Settings, kept: int) -> None:
    """A window at least as long as the positions that are kept hides nothing."""
    defaults = settings.architecture.defaults
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


def _refuse_what_matters(settings: Settings) -> None:
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
    width = settings.get("word_embed_proj_dim")
    if width is not None and width != settings.get(architecture.keys["d_model"]):
        raise settings.error("word_embed_proj_dim", width, "minitf has the width of the stream.")


def _list(names: Iterable[str]) -> str:
    names = list(names)
    shown = ", ".join(name[:40] for name in names[:6])
    return shown if len(names) <= 6 else f"{shown} and {len(names) - 6} more"
