"""A folder of transformers, read.

Nothing of it is believed: sizes are checked before anything of that size is made, and each
tensor's shape before it is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from core.config import ModelConfig
from core.errors import FormatError
from core.interop.foreign import ForeignModel, Read, kept_positions
from core.interop.huggingface.config import find_architecture, from_json, has_bias
from core.interop.huggingface.description import Architecture
from core.interop.huggingface.safetensors_folder import StoredTensor, stored_tensors
from core.interop.huggingface.settings import Settings
from core.interop.huggingface.tensors import Named, joined, named_tensors
from core.interop.huggingface.tokenizer import CONFIG, read_end_ids, read_tokenizer
from core.interop.untrusted_files import read_object
from core.model.transformer import Transformer

LM_HEAD = "lm_head.weight"
MOST_LAYERS = 1024
BUFFERS = re.compile(r"\.(rotary_emb\.inv_freq|attn\.bias|(attn|attention)\.masked_bias)$")
"""Tensors that older versions kept and that hold nothing learned; see also `_is_buffer`."""


def read_hf(folder: Path, source: str, max_seq_len: int) -> ForeignModel:
    """Understand the folder.

    Args:
        source: what to call it in messages.
        max_seq_len: positions to keep; 0 keeps all up to `core.interop.foreign.LONGEST`.

    Raises:
        FormatError: it is damaged, or a model that minitf cannot compute.
    """
    found = read_object(folder, CONFIG, source)
    architecture = find_architecture(found, source)
    settings = Settings(architecture, found, source)
    config, remarks = from_json(settings, max_seq_len)
    tokenizer_json = read_tokenizer(folder, source)
    end_ids = read_end_ids(folder, found, config.vocab_size, source)
    stored = _without_buffers(_renamed(architecture, stored_tensors(folder, source)))
    config = _untied_if_told(architecture, config, stored)
    kept, _ = kept_positions(config.max_seq_len, max_seq_len)
    return ForeignModel(
        config=replace(config, max_seq_len=kept),
        tensors=_reads(settings, config, stored, kept),
        tokenizer_json=tokenizer_json,
        format="hf",
        architecture=architecture.name,
        source=source,
        stem=folder.resolve().name,
        end_ids=end_ids,
        remarks=remarks,
    )


def _renamed(
    architecture: Architecture, stored: dict[str, StoredTensor]
) -> dict[str, StoredTensor]:
    """Models without their head are stored without the prefix of those with one. Where a head
    is there, it gets the name in our table."""
    prefix = architecture.prefix
    if LM_HEAD in stored:
        stored[architecture.head] = stored.pop(LM_HEAD)
    if any(name.startswith(prefix) for name in stored):
        return stored
    return {
        name if name == architecture.head else prefix + name: tensor
        for name, tensor in stored.items()
    }


def _without_buffers(stored: dict[str, StoredTensor]) -> dict[str, StoredTensor]:
    return {name: tensor for name, tensor in stored.items() if not _is_buffer(name, tensor)}


def _is_buffer(name: str, tensor: StoredTensor) -> bool:
    is_mask = name.endswith(".attention.bias") and len(tensor.shape) == 4
    return is_mask or bool(BUFFERS.search(name))


def _untied_if_told(
    architecture: Architecture, config: ModelConfig, stored: dict[str, StoredTensor]
) -> ModelConfig:
    """Where head and embedding are both there, though tied, transformers believes the weights.
    A head that is the embedding is dropped from `stored`."""
    embedding, head = stored.get(architecture.embedding), architecture.head
    if not config.tied_head or head not in stored or embedding is None:
        return config
    same_shape = stored[head].shape == embedding.shape
    if same_shape and torch.equal(stored[head].read(), embedding.read()):
        del stored[head]
        return config
    return replace(config, tied_head=False)


def _reads(
    settings: Settings, config: ModelConfig, stored: Mapping[str, StoredTensor], kept: int
) -> dict[str, Read]:
    """How to read each of our parameters.

    Raises:
        FormatError: tensors are missing, left over, or of another shape.
    """
    source = settings.source
    _check_layers(config, stored, source)
    ours = _shapes(config, source)
    reads: dict[str, Read] = {}
    left = dict(stored)
    for named in named_tensors(settings.architecture, config, ours, partial(has_bias, settings)):
        if not named.is_theirs:
            for name in named.ours:
                reads[name] = partial(torch.zeros, ours[name].shape)
            continue
        tensor = left.pop(named.theirs, None)
        if tensor is None:
            raise FormatError(
                f"{source} lacks a tensor: {named.theirs}.",
                hint="Fetch the folder again, with all of its files.",
            )
        shape = tuple(joined(named, ours, config).shape)
        if tensor.shape != shape:
            raise FormatError(
                f"{source}: {named.theirs} has the shape {tensor.shape}, not {shape}.",
                hint="The file is damaged, or config.json is of another model.",
            )
        for i, name in enumerate(named.ours):
            reads[name] = partial(_read, tensor, named, i, config, kept)
    if left:
        raise FormatError(
            f"{source} holds a tensor that {settings.architecture.name} has not: {min(left)}.",
            hint="Its architecture has parts that minitf lacks.",
        )
    return reads


def _read(tensor: StoredTensor, named: Named, i: int, config: ModelConfig, kept: int) -> Tensor:
    part = named.layout.split(tensor.read(), config)[i]
    return part[:kept] if named.ours == ("position_table",) else part


def _check_layers(config: ModelConfig, stored: Mapping[str, StoredTensor], source: str) -> None:
    """So that no giant is built, not even without memory."""
    if config.n_layers > len(stored):
        raise FormatError(
            f"{source}: config.json speaks of {config.n_layers} blocks, and there are"
            f" {len(stored)} tensors.",
            hint="The file is damaged, or config.json is of another model.",
        )


def _shapes(config: ModelConfig, source: str) -> dict[str, Tensor]:
    """Our parameters, without memory."""
    if config.n_layers > MOST_LAYERS:
        raise _too_large(source)
    short = config if config.positions == "learned" else replace(config, max_seq_len=1)
    try:
        with torch.device("meta"):
            return dict(Transformer(short, seed=None).named_parameters())
    except (RuntimeError, OverflowError) as error:
        raise _too_large(source) from error


def _too_large(source: str) -> FormatError:
    return FormatError(
        f"{source}: config.json describes a model that is too large.", hint="The file is damaged."
    )
