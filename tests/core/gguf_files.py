"""GGUF files for tests: written by us, changed in one place, or made of bytes."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from gguf import GGUFReader, GGUFValueType, GGUFWriter
from torch import Tensor

from core.interop.equivalents import Portable
from core.interop.foreign import ForeignModel, Written
from core.interop.gguf.reader import read_gguf
from core.interop.gguf.writer import write_gguf
from core.model.transformer import Transformer
from core.testing import byte_tokenizer, result_of, tiny_model
from core.text.tokenizer import Tokenizer

MAGIC = b"GGUF"
ABSENT = object()


def write(
    path: Path,
    model: Transformer | Portable,
    number_type: str = "f32",
    tokenizer: Tokenizer | None = None,
) -> Written:
    """Write a model under the name "tiny"."""
    if isinstance(model, Transformer):
        weights = {name: p.detach() for name, p in model.named_parameters()}
        model = Portable(model.config, weights)
    spoken = tokenizer or byte_tokenizer()
    return result_of(write_gguf(model, spoken, path, "tiny", number_type, lambda: False))


def llama(**changes: Any) -> Transformer:
    """A tiny model that llama.cpp knows as one of Llama's, over bytes."""
    switches = {"vocab_size": 256, "norm": "rmsnorm", "activation": "swiglu"}
    return tiny_model(**(switches | changes))


def weights_of(model: ForeignModel) -> dict[str, Tensor]:
    """All of them, read."""
    return {name: read().float() for name, read in model.tensors.items()}


def loaded(model: ForeignModel) -> Transformer:
    """As one of ours."""
    ours = Transformer(model.config).eval()
    missing, extra = ours.load_state_dict(weights_of(model), strict=False)
    assert not extra
    assert set(missing) <= {"head.weight"}
    return ours


def values(path: Path) -> dict[str, Any]:
    """What a file says, by the reader of the `gguf` package."""
    fields = GGUFReader(path).fields.values()
    return {f.name: f.contents() for f in fields if not f.name.startswith("GGUF.")}


def retold(
    path: Path,
    settings: Mapping[str, Any] | None = None,
    tensors: Mapping[str, Any] | None = None,
) -> Path:
    """A copy that says something else: settings, or tensors (float32), ABSENT to leave one out."""
    there = values(path) | dict(settings or {})
    out = path.with_name("retold.gguf")
    writer = GGUFWriter(out, there.pop("general.architecture"))
    kinds = {bool: GGUFValueType.BOOL, int: GGUFValueType.UINT32, float: GGUFValueType.FLOAT32}
    kinds |= {str: GGUFValueType.STRING, list: GGUFValueType.ARRAY}
    for key, value in there.items():
        if value is not ABSENT:
            writer.add_key_value(key, value, kinds[type(value)])
    arrays = {t.name: torch.from_numpy(t.data.copy()) for t in GGUFReader(path).tensors}
    for name, tensor in (arrays | dict(tensors or {})).items():
        if tensor is not ABSENT:
            writer.add_tensor(name, tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out


def text(value: str | bytes) -> bytes:
    """A text as the file has it."""
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def setting(key: str, kind: int, data: bytes) -> bytes:
    """A key and its value."""
    return text(key) + struct.pack("<I", kind) + data


def tensor(name: str, dims: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    """What is said of one."""
    sizes = struct.pack(f"<I{len(dims)}Q", len(dims), *dims)
    return text(name) + sizes + struct.pack("<IQ", kind, offset)


def raw(
    settings: tuple[bytes, ...] = (),
    tensors: tuple[bytes, ...] = (),
    data: bytes = b"",
    *,
    version: int = 3,
    n_tensors: int | None = None,
    n_settings: int | None = None,
) -> bytes:
    """A file by its parts; numbers of parts that are not told are those that are there."""
    n = len(tensors) if n_tensors is None else n_tensors
    n_pairs = len(settings) if n_settings is None else n_settings
    start = MAGIC + struct.pack("<IQQ", version, n, n_pairs) + b"".join(settings + tensors)
    return start + bytes(-len(start) % 32) + data


def read(path: Path, max_seq_len: int = 0) -> ForeignModel:
    """As an import does; called after its file."""
    return read_gguf(path, path.name, max_seq_len)
