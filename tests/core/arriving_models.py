"""Models as a reader would understand them, and the fixture that lets them arrive."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from core import arrivals, paths, recipes
from core.config import ModelConfig
from core.events import ImportCompleted
from core.interop.foreign import ForeignModel
from core.model.transformer import Transformer
from core.testing import byte_tokenizer

torch.set_num_threads(1)
VOCAB = 259
"""Three more than the tokenizer has."""
CONFIG = ModelConfig(
    vocab_size=VOCAB,
    max_seq_len=32,
    d_model=32,
    n_layers=2,
    n_heads=4,
    n_kv_heads=2,
    d_ff=48,
    norm="rmsnorm",
    norm_eps=1e-6,
    activation="swiglu",
)


def foreign(config: ModelConfig = CONFIG, **changes: Any) -> ForeignModel:
    """A model with weights of any seed, as a reader would understand it."""
    model = Transformer(config, seed=3)
    given = {name: p.detach().clone() for name, p in model.named_parameters()}
    found = ForeignModel(
        config=config,
        tensors={name: partial(lambda t: t, tensor) for name, tensor in given.items()},
        tokenizer_json=byte_tokenizer().to_json(),
        format="hf",
        architecture="LlamaForCausalLM",
        source="some/model",
        stem="model",
        end_ids=(257,),
        remarks=("Something.",),
    )
    return replace(found, **changes)


@pytest.fixture
def arriving(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text_file: str) -> Any:
    """Imports a model as if a reader had read it; returns the result."""

    def arrive(model: ForeignModel | None = None, **given: Any) -> Any:
        monkeypatch.setattr(arrivals, "read", lambda *_: model or foreign())
        session = recipes.importing(tmp_path, **({"name": "it", "corpus": text_file} | given))
        *_, last = session.run()
        assert isinstance(last, ImportCompleted)
        return last.result

    return arrive


def nothing_left() -> bool:
    folder = paths.runs_dir()
    return not folder.exists() or not list(folder.iterdir())
