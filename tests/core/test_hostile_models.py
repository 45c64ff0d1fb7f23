"""Models that somebody made to harm: each ends soon, in a sentence, and leaves nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from core import recipes
from core.config import ModelConfig
from core.errors import ConfigError, ExportError, FormatError, TokenizerError
from core.interop.huggingface import reader
from core.interop.huggingface.hub import model_name
from core.interop.huggingface.safetensors_folder import MOST_HEADER_BYTES, stored_tensors
from core.interop.untrusted_files import file_in
from core.measure.tokenize import _Reader, _Tally
from core.store.find import find_run
from core.text import imported_tables
from core.text.tokenizer import ByteTokenizer
from tests.core.foreign_tokenizers import unigram
from tests.core.huggingface_models import config_of, lively, written


def test_a_hint_for_a_giant_comes_at_once() -> None:
    with pytest.raises(ConfigError, match="n_heads=1000000000000 is not a multiple of"):
        ModelConfig(d_model=2 * 10**12, n_heads=10**12, n_kv_heads=7)
    with pytest.raises(ConfigError, match="does not divide into n_heads=7"):
        ModelConfig(d_model=10**18, n_heads=7)


@pytest.mark.parametrize("name", ["circle.json", "a" * 5000])
def test_links_in_a_circle_and_endless_names_are_no_files(tmp_path: Path, name: str) -> None:
    (tmp_path / "circle.json").symlink_to(tmp_path / "circle.json")
    with pytest.raises(FormatError, match=f"^M lacks {name}\\.$"):
        file_in(tmp_path, name, "M")


def test_an_endless_source_is_not_there() -> None:
    with pytest.raises(FormatError, match=r"^There is no file or folder 'aaa"):
        list(recipes.importing("a" * 5000).run())


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.gguf")
    with pytest.raises(FormatError, match="is none of the files that minitf reads"):
        list(recipes.importing(str(tmp_path / "x.gguf")).run())


def test_a_header_of_a_million_tensors_is_not_read(tmp_path: Path) -> None:
    n = MOST_HEADER_BYTES + 1
    (tmp_path / "model.safetensors").write_bytes(n.to_bytes(8, "little") + b"{}".ljust(n))
    with pytest.raises(FormatError) as caught:
        stored_tensors(tmp_path, "M")
    assert str(caught.value) == (
        "M: model.safetensors cannot be read: its header has 8388609 bytes, and 8388608 are"
        " allowed."
    )


TABLES = {"model": {"type": "BPE", "vocab": {"a": 0}}, "pre_tokenizer": {"type": "ByteLevel"}}
STEP = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 10}


@pytest.mark.parametrize(
    "step",
    [STEP, {"type": "ByteLevel"}, STEP | {"pattern": {"String": ""}, "content": "aa"}],
)
def test_a_text_cannot_be_made_endlessly_long(step: dict[str, Any]) -> None:
    steps = {"type": "Sequence", "normalizers": [step] * 30}
    with pytest.raises(TokenizerError) as caught:
        imported_tables.token_bytes(TABLES | {"normalizer": steps})
    assert str(caught.value) == (
        "The tokenizer.json is damaged: its steps make a text more than 4096 times as long."
    )


def test_a_million_blocks_are_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(lively(config_of(positions="learned")), tmp_path / "m")
    monkeypatch.setattr(reader, "MOST_LAYERS", 1)
    with pytest.raises(FormatError) as caught:
        reader.read_hf(tmp_path / "m", "M", 0)
    assert (str(caught.value), caught.value.hint) == (
        "M: config.json describes a model that is too large.",
        "The file is damaged.",
    )


def test_a_text_that_gives_no_tokens_is_counted() -> None:
    tokenizer = ByteTokenizer()
    result = _Tally(tokenizer, 0).result(_Reader(tokenizer, "t", "t"), "prompt", 3)
    assert (result.tokens, result.bytes_per_token) == (0, 0.0)


def test_a_piece_that_is_no_text_is_damage() -> None:
    tables = json.loads(unigram())
    tables["model"]["vocab"][0] = [["x"], 0.0]
    with pytest.raises(TokenizerError, match="its vocabulary is not a table of ids"):
        imported_tables.vocabulary(tables)


@pytest.mark.parametrize("source", ["hub:them/tiny", "hub:them/tiny@refs/pr/1"])
def test_a_model_of_the_hub_is_called_by_its_name(source: str) -> None:
    assert model_name(source) == "tiny"


def test_an_export_never_goes_into_the_folder_of_the_runs(tmp_path: Path, text_file: str) -> None:
    written(lively(config_of(positions="learned")), tmp_path / "m")
    list(recipes.importing(tmp_path / "m", name="mine", corpus=text_file).run())
    toml = find_run("mine", needs_checkpoint=False).run.path / "run.toml"
    before = toml.read_bytes()
    for format in ("gguf", "capsule"):
        with pytest.raises(ExportError) as caught:
            list(recipes.exporting("mine", format=format, out=toml, overwrite=True).run())
        assert (str(caught.value), caught.value.hint) == (
            f"{str(toml)!r} is in the folder of the runs.",
            "Name another place: what is there belongs to minitf.",
        )
    assert toml.read_bytes() == before
