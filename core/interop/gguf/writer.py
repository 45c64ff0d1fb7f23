"""A file that llama.cpp and Ollama load as it is.

Nothing is approximated but what the number type asks for: where no architecture of llama.cpp
computes a model, also not by other weights, the switch in the way is named.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from gguf import GGML_QUANT_VERSION, GGUFValueType, GGUFWriter
from torch import Tensor

from core.config import ModelConfig
from core.errors import ExportError
from core.interop.equivalents import (
    Portable,
    untied,
    with_biases,
    with_position_table,
    with_rms_norm,
    without_zero_biases,
)
from core.interop.foreign import Written
from core.interop.gguf import number_types, settings
from core.interop.gguf.architectures import (
    ARCHITECTURES,
    ROPE_FACTORS,
    Architecture,
    Piece,
    pieces,
    to_adjacent,
)
from core.interop.gguf.tokenizer import to_fields
from core.interop.gguf.tokenizer_keys import add_tokenizer
from core.store.stages import IsStopping, Telling, telling
from core.text.tokenizer import Tokenizer


def write_gguf(
    model: Portable,
    tokenizer: Tokenizer,
    path: Path,
    title: str,
    number_type: str,
    is_stopping: IsStopping,
) -> Telling[Written]:
    """Write `path`, which does not exist yet.

    Args:
        title: the model's name in the file: the run's, so that the file of an imported model
            differs in this from the one it came from if the run is called otherwise.
        number_type: "f32", "f16", "q8_0" or "q4_0", of the matrices.

    Raises:
        ExportError: no architecture of llama.cpp computes this model.
    """
    model = without_zero_biases(model)
    row = choose_architecture(model.config)
    model = _fitted(model, row)
    fields = to_fields(tokenizer, model.config.vocab_size)
    writer = GGUFWriter(path, row.name)
    with closing(writer):
        _add_settings(writer, row, model.config, title, number_type)
        add_tokenizer(writer, fields)
        work = _write_tensors(writer, row, model, number_type)
        about = yield from telling("writing the gguf", work, is_stopping)
    return Written(row.name, (*model.remarks, *about))


def choose_architecture(config: ModelConfig) -> Architecture:
    """The row that computes this model.

    Raises:
        ExportError: there is none; the switches that the nearest lacks are named.
    """
    rows = [row for row in ARCHITECTURES if row.is_written]
    row = min(rows, key=lambda row: _distance(_lacks(row, config)))
    if lacks := _lacks(row, config):
        switch, wanted = next(iter(lacks.items()))
        raise ExportError(
            f"No architecture of llama.cpp computes this model: {row.name} comes nearest, and"
            f" knows no {switch}={_spelt(getattr(config, switch))}.",
            hint=f"Train with {switch}={wanted}, or take another --format.",
        )
    return row


def _distance(lacks: dict[str, str]) -> tuple[bool, bool, int]:
    """Of another activation, or other positions, it would be another kind of model."""
    return "activation" in lacks, "positions" in lacks, len(lacks)


def _lacks(row: Architecture, config: ModelConfig) -> dict[str, str]:
    """Switches that a row cannot follow, and what they would have to be."""
    is_centred = row.norm == "rmsnorm" and config.norm == "layernorm" and not config.bias
    is_stretched = config.rope_scaling == "llama3" and not row.has_rope_factors
    is_partial = config.positions == "rope" and config.rope_dims not in (0, config.head_dim)
    has_odd_heads = config.head_dim * config.n_heads != config.d_model
    checks = {
        "norm_place": (config.norm_place == "pre", "pre"),
        "logit_softcap": (not config.logit_softcap, "0"),
        "ngram_buckets": (not config.ngram_buckets, "0"),
        "activation": (config.activation == row.activation, "swiglu, relu2 or gelu_tanh"),
        "positions": ((config.positions == "rope") == (row.positions == "rope"), row.positions),
        "norm": (config.norm == row.norm or is_centred or config.bias, row.norm),
        "bias": (
            not config.bias or (row.biases in ("all", "free") and config.norm == row.norm),
            "false",
        ),
        "qk_norm": (config.qk_norm == row.qk_norm, _spelt(row.qk_norm)),
        "parallel": (row.can_be_parallel or not config.parallel, "false"),
        "rope_dims": (row.has_rope_dims or not is_partial, "0"),
        "rope_scaling": (not is_stretched, "linear"),
        "d_head": (row.has_free_heads or not has_odd_heads, "0"),
    }
    return {switch: wanted for switch, (is_met, wanted) in checks.items() if not is_met}


def _spelt(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _fitted(model: Portable, row: Architecture) -> Portable:
    """The same function with the parts that a row has."""
    if model.config.norm != row.norm:
        model = with_rms_norm(model)
    if not row.can_tie:
        model = untied(model)
    if row.positions == "learned":
        model = with_position_table(model)
    if row.biases in ("all", "norms"):
        model = with_biases(model)
    return model


def _add_settings(
    writer: GGUFWriter, row: Architecture, config: ModelConfig, title: str, number_type: str
) -> None:
    writer.add_type("model")
    writer.add_name(title)
    writer.add_file_type(number_types.WRITTEN[number_type][1])
    writer.add_quantization_version(GGML_QUANT_VERSION)
    found = {f"{row.name}.{key}": v for key, v in settings.describe(row, config).items()}
    if row.name == "apertus":
        found |= settings.describe_xielu(config.n_layers)
    kinds = {
        bool: GGUFValueType.BOOL,
        int: GGUFValueType.UINT32,
        float: GGUFValueType.FLOAT32,
        str: GGUFValueType.STRING,
        list: GGUFValueType.ARRAY,
    }
    for key, value in found.items():
        writer.add_key_value(key, value, kinds[type(value)])


def _write_tensors(
    writer: GGUFWriter, row: Architecture, model: Portable, number_type: str
) -> Generator[float, None, tuple[str, ...]]:
    wanted = number_types.WRITTEN[number_type][0]
    plan = [
        (piece, number_types.choose_type(piece.name, _joined(piece, model.weights), wanted))
        for piece in pieces(row, model.config, is_fused=row.is_fused)
        if _is_written(piece, row, model.weights)
    ]
    factors = settings.rope_factors(model.config)
    if factors is not None:
        _announce(writer, ROPE_FACTORS, factors, number_types.NumberType.F32)
    for piece, kind in plan:
        _announce(writer, piece.name, _joined(piece, model.weights), kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    if factors is not None:
        writer.write_tensor_data(factors.numpy())
    for n, (piece, kind) in enumerate(plan, 1):
        writer.write_tensor_data(number_types.encode(_joined(piece, model.weights), kind))
        yield n / len(plan)
    return _remarks(row, plan, wanted)


def _is_written(piece: Piece, row: Architecture, weights: dict[str, Tensor]) -> bool:
    is_idle = row.biases == "norms" and piece.name.endswith(".bias") and "norm" not in piece.name
    return piece.parts[0][0] in weights and not is_idle


def _announce(writer: GGUFWriter, name: str, tensor: Tensor, kind: number_types.NumberType) -> None:
    n_bytes = number_types.count_bytes(tuple(tensor.shape), kind)
    writer.add_tensor_info(name, tensor.shape, np.dtype(np.float32), n_bytes, raw_dtype=kind)


def _joined(piece: Piece, weights: dict[str, Tensor]) -> Tensor:
    parts = [
        to_adjacent(weights[name], n_heads) if n_heads else weights[name]
        for (name, _), n_heads in zip(piece.parts, piece.n_heads, strict=True)
    ]
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def _remarks(
    row: Architecture,
    plan: list[tuple[Piece, number_types.NumberType]],
    wanted: number_types.NumberType,
) -> tuple[str, ...]:
    remarks = []
    for kind in (number_types.NumberType.F16, number_types.NumberType.F32):
        names = {_any_block(piece.name) for piece, k in plan if k == kind and not _is_small(piece)}
        if names and kind != wanted:
            remarks.append(
                f"Kept as {kind.name.lower()}, because {wanted.name.lower()} cannot hold them:"
                f" {', '.join(sorted(names))}."
            )
    if row.activation == "gelu_tanh":
        remarks.append(
            "On processors llama.cpp reads GELU from a table in half precision: its logits"
            " differ by up to about 0.01."
        )
    return tuple(remarks)


def _any_block(name: str) -> str:
    return re.sub(r"^blk\.\d+\.", "blk.*.", name)


def _is_small(piece: Piece) -> bool:
    return piece.name == "position_embd.weight" or "norm" in piece.name or ".bias" in piece.name
