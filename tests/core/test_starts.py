"""A run that begins with the weights of another one: fine-tuning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from core import api, paths
from core.config import RunConfig
from core.store.find import find_run
from core.store.metrics import read_metrics
from core.testing import tiny_run_config

torch.set_num_threads(1)


@pytest.fixture
def config(text_file: str) -> RunConfig:
    return tiny_run_config(text_file, dropout=0.2)


@pytest.fixture
def other_text(tmp_path: Path) -> str:
    path = tmp_path / "hills.txt"
    path.write_text("".join(f"Hill {i} is {i * 7} high, and green.\n" for i in range(200)))
    return str(path)


def weights(name: str, file: str) -> dict[str, torch.Tensor]:
    return load_file(paths.runs_dir() / name / file)


def equal(left: dict[str, Any], right: dict[str, Any]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def losses(name: str) -> list[tuple[int, float]]:
    events = read_metrics(paths.runs_dir() / name)
    return [(e["step"], e["loss"]) for e in events if e["event"] == "StepCompleted"]


LAST = "checkpoints/step-00000004/model.safetensors"


def test_a_run_begins_with_the_weights_the_model_and_the_tokenizer_of_another(
    config: RunConfig, other_text: str
) -> None:
    api.train(config.with_changes(tokenizer="bpe", vocab_size=280), name="base")
    api.train("quick", name="tuned", init_from="base@2", corpus=other_text, steps=4, threads=1)
    base, tuned = find_run("base").run, find_run("tuned").run
    start = "checkpoints/step-00000002/model.safetensors"
    assert equal(weights("tuned", "init.safetensors"), weights("base", start))
    assert not equal(weights("tuned", LAST), weights("base", start))
    assert tuned.tokenizer_path.read_bytes() == base.tokenizer_path.read_bytes()
    assert tuned.config.model == base.config.with_changes(dropout=0.0).model
    assert (tuned.config.text.tokenizer, tuned.config.text.vocab_size) == ("bpe", 280)
    assert (tuned.config.text.corpus, tuned.config.train.context) == (other_text, 32)
    assert tuned.provenance["init_from"] == "base@2"
