"""Folders of transformers for tests to spoil, one of each kind, and what is said of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from core.errors import FormatError
from core.interop.huggingface.reader import read_hf
from tests.core.huggingface_models import config_of, lively, written

LLAMA = {"norm": "rmsnorm", "activation": "swiglu", "n_kv_heads": 2}
WEIGHTS = "model.safetensors"
Change = dict[str, Any]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A good folder of each kind."""
    place = tmp_path_factory.mktemp("whole")
    kinds: dict[str, dict[str, Any]] = {
        "llama": LLAMA,
        "mistral": {**LLAMA, "n_heads": 3, "n_kv_heads": 1, "d_head": 16},
        "qwen3": {**LLAMA, "qk_norm": True},
        "gpt2": {"positions": "learned"},
        "neox": {"rope_dims": 4},
        "opt": {"positions": "learned", "norm_place": "post"},
        "smollm3": {**LLAMA, "positions": "none"},
        "stablelm": {"activation": "swiglu"},
    }
    for name, changes in kinds.items():
        written(lively(config_of(**changes)), place / name)
    return {name: place / name for name in kinds}


@pytest.fixture
def folder(whole: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole["llama"], tmp_path / "llama"))


def refusal(folder: Path, max_seq_len: int = 0) -> tuple[str, str]:
    with pytest.raises(FormatError) as caught:
        read_hf(folder, "M", max_seq_len)
    return str(caught.value), caught.value.hint


def edit(folder: Path, changes: Change, name: str = "config.json") -> None:
    content = json.loads((folder / name).read_text("utf-8")) | changes
    kept = {key: value for key, value in content.items() if value is not ...}
    (folder / name).write_text(json.dumps(kept), "utf-8")


AGAIN = "Fetch the folder again, with all of its files."
