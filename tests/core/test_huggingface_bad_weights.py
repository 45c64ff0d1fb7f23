"""Folders whose weights are damaged or do not fit: one sentence each."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.errors import FormatError
from core.interop.huggingface.reader import read_hf
from tests.core.huggingface_folders import AGAIN, WEIGHTS, refusal
from tests.core.huggingface_folders import folder as folder
from tests.core.huggingface_folders import whole as whole


def header_of(data: bytes) -> tuple[dict[str, Any], bytes]:
    (n,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + n]), data[8 + n :]


def with_header(header: dict[str, Any], rest: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + rest


def overlapping(data: bytes) -> bytes:
    header, rest = header_of(data)
    names = [name for name in header if name != "__metadata__"]
    header[names[1]]["data_offsets"] = header[names[0]]["data_offsets"]
    return with_header(header, rest)


def beyond(data: bytes) -> bytes:
    header, rest = header_of(data)
    header["lm_head.weight"]["data_offsets"][1] += 1 << 40
    return with_header(header, rest)


def enormous(data: bytes) -> bytes:
    header, rest = header_of(data)
    header["lm_head.weight"]["shape"] = [1 << 62, 1 << 62]
    return with_header(header, rest)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "seven bytes": lambda data: data[:7],
    "half a header": lambda data: data[:200],
    "half": lambda data: data[: len(data) // 2],
    "one byte short": lambda data: data[:-1],
    "one byte more": lambda data: data + b"\0",
    "a header longer than the file": lambda data: struct.pack("<Q", 1 << 62) + data[8:],
    "no header": lambda data: struct.pack("<Q", 0) + data[8:],
    "no json": lambda data: data[:8] + b"\xff" * 50 + data[58:],
    "deep json": lambda data: struct.pack("<Q", 90_000) + b"[" * 90_000,
    "overlapping tensors": overlapping,
    "a tensor beyond the end": beyond,
    "an enormous shape": enormous,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_weights_are_refused(damage: str, folder: Path) -> None:
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(DAMAGES[damage](data))
    message, hint = refusal(folder)
    assert message.startswith("M: model.safetensors cannot be read: ")
    assert hint == "It is damaged, or not whole; fetch it again."


def change_tensors(folder: Path, **changes: torch.Tensor | None) -> None:
    tensors = load_file(folder / WEIGHTS) | changes
    kept = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    save_file(kept, folder / WEIGHTS, metadata={"format": "pt"})


def test_tensors_that_do_not_fit_are_named(folder: Path) -> None:
    norm = "model.layers.1.input_layernorm.weight"
    original = (folder / WEIGHTS).read_bytes()
    change_tensors(folder, **{norm: None})
    assert refusal(folder) == (f"M lacks a tensor: {norm}.", AGAIN)
    (folder / WEIGHTS).write_bytes(original)
    change_tensors(folder, **{"model.layers.1.self_attn.q_proj.bias": torch.ones(32)})
    assert refusal(folder) == (
        "M holds a tensor that LlamaForCausalLM has not: model.layers.1.self_attn.q_proj.bias.",
        "Its architecture has parts that minitf lacks.",
    )
    (folder / WEIGHTS).write_bytes(original)
    change_tensors(folder, **{norm: torch.ones(31)})
    assert refusal(folder) == (
        f"M: {norm} has the shape (31,), not (32,).",
        "The file is damaged, or config.json is of another model.",
    )


def test_a_fused_tensor_of_another_shape_is_refused(whole: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole["gpt2"], tmp_path / "a"))
    fused = "transformer.h.0.attn.c_attn.weight"
    change_tensors(folder, **{fused: torch.ones(96, 32)})
    assert refusal(folder)[0] == f"M: {fused} has the shape (96, 32), not (32, 96)."


def test_whole_numbers_are_no_weights(folder: Path) -> None:
    name = "model.layers.0.mlp.up_proj.weight"
    change_tensors(folder, **{name: torch.zeros(88, 32, dtype=torch.int8)})
    found = read_hf(folder, "M", 0)
    with pytest.raises(FormatError) as caught:
        found.tensors["blocks.0.feed_forward.up_proj.weight"]()
    assert str(caught.value) == f"M: {name} is of the type I8."
    assert caught.value.hint == "minitf reads f32, f16 and bf16; fetch the model unquantised."
