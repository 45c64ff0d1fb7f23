"""Rope in the settings of transformers, both ways.

transformers 5 keeps all of it in `rope_parameters`; 4 had `rope_theta`, `rope_scaling` and, in
some architectures, a key for the part of a head that is turned. We write both, and read either.
"""

from __future__ import annotations

import math
from typing import Any

from core.config import ModelConfig
from core.interop.huggingface.description import Architecture, Json
from core.interop.huggingface.settings import Settings, as_number, wrong
from core.model.positions import LONG_WAVES, SHORT_WAVES


def rope_to_json(architecture: Architecture, config: ModelConfig) -> Json:
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


def rope_from_json(settings: Settings, head_dim: int) -> dict[str, Any]:
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
    if type(original) is not int or not 1 <= original <= (1 << 31):
        key = "original_max_position_embeddings"
        raise wrong(source, key, original, "That takes a whole number from 1 up.")
    return fields | {"rope_original_len": original}
