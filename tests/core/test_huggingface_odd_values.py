"""Folders with any value in any setting: taken or refused, and nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from core.errors import FormatError
from core.interop.huggingface.config import find_architecture, from_json
from core.interop.huggingface.reader import read_hf
from core.interop.huggingface.settings import Settings
from tests.core.huggingface_folders import whole as whole

ODD = [None, True, -1, 0, 3, 10**25, 0.5, -1e29, "x", "", [], [[1]], {}, {"a": []}]


def odd_settings(folder: Path) -> Iterator[dict[str, Any]]:
    """The settings of a folder with one of them wrong, in every way."""
    whole = json.loads((folder / "config.json").read_text("utf-8"))
    for key in (*whole, "sliding_window", "layer_types", "head_dim", "quantization_config"):
        for value in ODD:
            yield whole | {key: value}
    for part in whole.get("rope_parameters", {}):
        for value in ODD:
            rope = whole["rope_parameters"] | {part: value}
            yield whole | {"rope_parameters": rope, "rope_scaling": None}


def test_any_value_of_any_setting_is_taken_or_refused(whole: dict[str, Path]) -> None:
    """Whatever stands there, nothing else escapes."""
    n_refused = 0
    for folder in whole.values():
        for found in odd_settings(folder):
            try:
                from_json(Settings(find_architecture(found, "M"), found, "M"), 0)
            except FormatError:
                n_refused += 1
    assert n_refused > 1000


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["llama", "gpt2", "neox", "opt"])
def test_so_it_is_when_the_whole_folder_is_read(
    kind: str, whole: dict[str, Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(whole[kind], tmp_path / "a"))
    for found in odd_settings(whole[kind]):
        (folder / "config.json").write_text(json.dumps(found), "utf-8")
        with suppress(FormatError):
            read_hf(folder, "M", 0)
