"""A folder that transformers loads as it is.

The model goes out as the first architecture of the table that computes it; where none does, as
the first that computes an equivalent of it (`core.interop.equivalents`).
"""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

from torch import Tensor

from core.config import ModelConfig
from core.errors import ExportError
from core.interop.equivalents import (
    Portable,
    applied,
    with_biases,
    with_heads_repeated,
    with_position_table,
    with_rms_norm,
    without_zero_biases,
)
from core.interop.foreign import Written
from core.interop.huggingface.architectures import ARCHITECTURES
from core.interop.huggingface.config import to_json
from core.interop.huggingface.description import ANY, MISSING, Architecture, Json
from core.interop.huggingface.safetensors_folder import SINGLE
from core.interop.huggingface.tensors import joined, named_tensors
from core.interop.huggingface.tokenizer import (
    CONFIG,
    GENERATION,
    TOKENIZER,
    TOKENIZER_CONFIG,
    special_ids,
    tokenizer_config,
)
from core.store.checkpoint import save_tensors
from core.store.files import write_synced
from core.store.stages import IsStopping, Telling, telling
from core.text.tokenizer import Tokenizer

REWRITINGS = (
    (),
    (with_heads_repeated,),
    (with_rms_norm,),
    (with_position_table,),
    (with_position_table, with_heads_repeated),
)
"""What is tried in turn; each step leaves alone what it cannot change."""
FUNDAMENTAL = ("positions", "norm", "activation")
"""Switches that one would rather not change in order to have a model written."""


def write_hf(
    model: Portable, tokenizer: Tokenizer, folder: Path, is_stopping: IsStopping
) -> Telling[Written]:
    """Write `folder`, which does not exist yet.

    Raises:
        ExportError: no architecture of transformers computes this model.
        Stopped: somebody asked for an end.
    """
    architecture, model = choose(model)
    folder.mkdir()
    ids = special_ids(tokenizer)
    text = tokenizer.to_json()
    settings = {
        CONFIG: to_json(architecture, model.config) | ids,
        GENERATION: ids,
        TOKENIZER_CONFIG: tokenizer_config(text, ids, model.config.max_seq_len),
    }
    for name, content in settings.items():
        write_synced(folder / name, _bytes(content))
    write_synced(folder / TOKENIZER, text.encode())
    work = _write_weights(architecture, model, folder / SINGLE)
    yield from telling("writing the weights", work, is_stopping)
    return Written(architecture.name, model.remarks)


def choose(model: Portable) -> tuple[Architecture, Portable]:
    """The architecture to write `model` as, and what is written.

    Raises:
        ExportError: there is none; it names the switches that are in the way of the nearest.
    """
    model = without_zero_biases(model)
    ways: list[tuple[dict[str, Any], Architecture]] = []
    for steps in REWRITINGS:
        rewritten = applied(model, *steps)
        for architecture in ARCHITECTURES:
            ways.append((in_the_way(architecture, rewritten), architecture))
            if not ways[-1][0]:
                return architecture, rewritten
    obstacles, nearest = min(
        ways, key=lambda way: sum(2 if name in FUNDAMENTAL else 1 for name in way[0])
    )
    has = ", ".join(f"{name}={_word(value)}" for name, value in obstacles.items())
    raise ExportError(
        f"No architecture of transformers computes {has} with the other switches of this model.",
        hint=f"{nearest.name} would, with {_wanted(nearest, obstacles)}.",
    )


def in_the_way(architecture: Architecture, model: Portable) -> dict[str, Any]:
    """Our switches, and their values, that the architecture lacks."""
    values = switches(model.config)
    obstacles = {
        name: value
        for name, value in values.items()
        if (allowed := architecture.has.get(name, MISSING.get(name, ANY))) and value not in allowed
    }
    if model.config.bias and not _takes_biases(architecture, model):
        obstacles["bias"] = True
    return obstacles


def switches(config: ModelConfig) -> dict[str, Any]:
    """What distinguishes architectures; 0 where a setting is what it is by default."""
    is_even = not config.d_model % config.n_heads
    has_rope = config.positions == "rope"
    return {
        "logit_softcap": config.logit_softcap,
        "ngram_buckets": config.ngram_buckets,
        "parallel": config.parallel,
        "qk_norm": config.qk_norm,
        "norm_place": config.norm_place,
        "positions": config.positions,
        "norm": config.norm,
        "activation": config.activation,
        "rope_dims": config.rope_dims if has_rope and config.rope_dims != config.head_dim else 0,
        "d_head": 0 if config.head_dim * config.n_heads == config.d_model else config.head_dim,
        "n_kv_heads": 0 if config.kv_heads == config.n_heads else config.kv_heads,
        "n_heads": 0 if is_even else config.n_heads,
        "norm_eps": config.norm_eps,
    }


def _takes_biases(architecture: Architecture, model: Portable) -> bool:
    """Whether each bias that is not zero has a place."""
    tensors = list(named_tensors(architecture, model.config, model.weights, bool))
    placed = {name for named in tensors if named.is_theirs for name in named.ours}
    return all(
        name in placed or not tensor.any()
        for name, tensor in model.weights.items()
        if name.endswith(".bias")
    )


def _wanted(architecture: Architecture, obstacles: dict[str, Any]) -> str:
    words = []
    for name in obstacles:
        if name == "bias":
            words.append("bias=false")
        elif name == "n_heads":
            words.append("n_heads that divides d_model")
        else:
            allowed = architecture.has.get(name, MISSING.get(name, ANY))
            words.append(f"{name}={' or '.join(map(_word, allowed))}")
    return " and ".join(words)


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _write_weights(
    architecture: Architecture, model: Portable, path: Path
) -> Generator[float, None, None]:
    has_bias = bool if model.config.bias else (lambda bias: bias is True)
    whole = with_biases(model)
    tensors: dict[str, Tensor] = {}
    for n, name in enumerate(
        named := list(named_tensors(architecture, model.config, whole.weights, has_bias))
    ):
        if name.is_theirs:
            tensors[name.theirs] = joined(name, whole.weights, model.config).contiguous()
        yield n / len(named)
    save_tensors(path, tensors, metadata={"format": "pt"})


def _bytes(content: Json) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
