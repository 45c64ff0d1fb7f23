"""What comes from elsewhere becomes a run, whole or not at all."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from core import api, arrivals, recipes
from core.events import ImportCompleted
from core.store import checkpoint
from core.store.find import find_run
from core.store.tokens import tokenized_text_of
from core.testing import MODEL_SWITCHES, byte_tokenizer, result_of, tiny_model_config
from tests.core.arriving_models import CONFIG, VOCAB, foreign, nothing_left
from tests.core.arriving_models import arriving as arriving


def test_it_becomes_a_run_with_those_very_weights(arriving: Any) -> None:
    model = foreign()
    result = arriving(model)
    run = find_run("it").run
    kept = load_file(run.checkpoint_path(0) / "model.safetensors")
    assert kept.keys() == model.tensors.keys()
    assert all(torch.equal(kept[name], read()) for name, read in model.tensors.items())
    assert run.config.model == CONFIG
    assert run.tokenizer_path.read_text() == model.tokenizer_json
    assert (result.run, result.step, result.format) == ("it", 0, "hf")
    assert (result.architecture, result.remarks) == ("LlamaForCausalLM", ("Something.",))
    assert (result.vocab_size, result.context) == (VOCAB, 32)
    assert result.n_params == sum(tensor.numel() for tensor in kept.values())
    assert result.bytes == (run.checkpoint_path(0) / "model.safetensors").stat().st_size
    facts = run.provenance
    assert (facts["imported_from"], facts["architecture"]) == ("some/model", "LlamaForCausalLM")
    assert (facts["end_ids"], facts["tokenizer"]) == ([257], byte_tokenizer().kind)


@pytest.mark.parametrize("switches", MODEL_SWITCHES.values(), ids=MODEL_SWITCHES)
def test_models_of_every_switch_arrive(arriving: Any, switches: dict[str, Any]) -> None:
    config = tiny_model_config(vocab_size=VOCAB, **switches)
    arriving(foreign(config))
    assert find_run("it").run.config.model == config


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_number_types_become_float32(arriving: Any, dtype: torch.dtype) -> None:
    whole = foreign()
    tensors = {k: partial(lambda r: r().to(dtype), v) for k, v in whole.tensors.items()}
    arriving(replace(whole, tensors=tensors))
    kept = load_file(find_run("it").run.path / "init.safetensors")
    for name, read in whole.tensors.items():
        assert torch.equal(kept[name], read().to(dtype).float())


def test_a_run_without_a_name_is_called_after_its_source(arriving: Any) -> None:
    assert [arriving(name=None).run for _ in range(2)] == ["model", "model-1"]


@pytest.mark.slow
def test_a_corpus_keeps_the_name_that_finds_it_again(arriving: Any, text_file: str) -> None:
    arriving(name="generated", corpus="generated")
    assert find_run("generated").run.config.text.corpus == "generated"
    assert api.evaluate("generated", threads=1).tokens > 1000


def test_an_import_that_is_stopped_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text_file: str
) -> None:
    session: Any = None
    whole, read = foreign(), []

    def stopping(name: str) -> torch.Tensor:
        read.append(name)
        if len(read) == 5:
            session.stop()
        return whole.tensors[name]()

    tensors = {name: partial(stopping, name) for name in whole.tensors}
    monkeypatch.setattr(arrivals, "read", lambda *_: replace(whole, tensors=tensors))
    session = recipes.importing(tmp_path, name="it", corpus=text_file)
    assert not any(isinstance(event, ImportCompleted) for event in session.run())
    assert len(read) == 5
    assert nothing_left()


def test_a_full_disk_leaves_nothing(arriving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Any, path: Path, __: Any) -> None:
        path.write_bytes(b"half of it")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(checkpoint, "save_file", refuse)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        arriving()
    assert nothing_left()


def test_models_of_one_tokenizer_and_ids_of_other_widths_read_the_same_text(
    arriving: Any, text_file: str
) -> None:
    arriving(name="small")
    wide = replace(CONFIG, vocab_size=70_000, d_model=8, n_layers=1)
    arriving(foreign(wide), name="large")
    small, large = (result_of(tokenized_text_of(find_run(n).run)) for n in ("small", "large"))
    assert small.validation_ids.tolist() == large.validation_ids.tolist()
    assert (small.validation_ids.dtype, large.validation_ids.dtype) == (np.uint16, np.uint32)
