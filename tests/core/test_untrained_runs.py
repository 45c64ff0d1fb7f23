"""Runs without a budget: a model as its seed made it, with a vocabulary of any size."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch

from core import recipes
from core.config import ModelConfig, RunConfig
from core.errors import TokenizerError
from core.events import CheckpointSaved, RunFinished
from core.interop.gguf.tokenizer import to_fields
from core.measure.costs import Costs
from core.measure.forecast import extrapolate
from core.open_run import open_for_use
from core.presets import preset
from core.store.find import find_run
from core.testing import tiny_run_config

BENCH = {
    "bench-small": (1, 128, 4, 352, 1024),
    "bench-medium": (4, 256, 4, 704, 1024),
    "bench-large": (12, 768, 12, 2048, 32_000),
}
VOCAB = 700
"""More than the text of these tests yields."""


@pytest.fixture
def config(text_file: str) -> RunConfig:
    return tiny_run_config(text_file).with_changes(steps=0, tokenizer="bpe", vocab_size=VOCAB)


def drive(session: recipes.Session) -> list[Any]:
    return list(session.run())


def test_a_run_of_no_steps_leaves_what_its_seed_made(config: RunConfig) -> None:
    told = drive(recipes.training(config, name="new"))
    assert [type(e) for e in told][-2:] == [CheckpointSaved, RunFinished]
    assert (told[-1].reason, told[-1].result.steps, told[-1].result.val_loss) == ("budget", 0, None)
    opened = open_for_use("new", device="cpu", dtype="float32", threads=1)
    assert (opened.step, opened.run.checkpoint_steps()) == (0, [0])
    fresh = type(opened.model)(opened.run.config.model, seed=config.train.seed)
    for name, weight in opened.model.state_dict().items():
        assert torch.equal(weight, fresh.state_dict()[name]), name


def test_gone_on_with_it_is_finished_until_a_budget_is_given(config: RunConfig) -> None:
    drive(recipes.training(config, name="new"))
    [*_, finished] = drive(recipes.resuming("new"))
    assert (finished.reason, finished.result.steps) == ("finished already", 0)
    [*_, finished] = drive(recipes.resuming("new", steps=2))
    assert (finished.reason, finished.result.steps) == ("budget", 2)


def test_its_forecast_is_nothing_but_a_checkpoint(config: RunConfig) -> None:
    costs = {f.name: 2.0 for f in dataclasses.fields(Costs)}
    assert extrapolate(config, 1000, Costs(**costs)) == (0, 0.0, 2.0)


@pytest.mark.parametrize("tokenizer", ["bpe", "byte", "char"])
def test_a_fixed_vocabulary_is_that_of_model_tokenizer_and_export(
    config: RunConfig, tokenizer: str
) -> None:
    changes: dict[str, Any] = {"tokenizer": tokenizer, "fixed_vocab": True}
    drive(recipes.training(config.with_changes(**changes), name="fixed"))
    opened = open_for_use("fixed", device="cpu", dtype="float32", threads=1)
    assert opened.model.config.vocab_size == opened.tokenizer.vocab_size == VOCAB
    ids = opened.tokenizer.encode("The river runs.")
    assert opened.tokenizer.decode(ids) == "The river runs."
    assert opened.tokenizer.decode([VOCAB - 1]) == ""
    if tokenizer != "char":
        assert len(to_fields(opened.tokenizer, VOCAB).tokens) == VOCAB


def test_else_the_vocabulary_is_what_the_text_yields(config: RunConfig) -> None:
    drive(recipes.training(config, name="free"))
    assert 256 < find_run("free").run.config.model.vocab_size < VOCAB


def test_a_text_with_more_tokens_than_are_fixed_is_refused(config: RunConfig) -> None:
    changes: dict[str, Any] = {"tokenizer": "byte", "vocab_size": 100, "fixed_vocab": True}
    with pytest.raises(TokenizerError) as refused:
        drive(recipes.training(config.with_changes(**changes), name="small"))
    assert str(refused.value) == (
        "The tokenizer does not fit: its largest id is 255, and the model has vocab_size=100."
    )


def test_a_run_that_begins_with_another_has_its_vocabulary(config: RunConfig) -> None:
    drive(recipes.training(config.with_changes(fixed_vocab=True), name="fixed"))
    drive(recipes.training(config.with_changes(steps=1), name="next", init_from="fixed"))
    model = open_for_use("next", device="cpu", dtype="float32", threads=1).model
    assert model.config.vocab_size == VOCAB


@pytest.mark.parametrize(("name", "shape"), BENCH.items(), ids=BENCH)
def test_models_to_measure_with_are_llamas_of_a_size_that_no_text_changes(
    name: str, shape: tuple[int, ...]
) -> None:
    config = preset(name)
    n_layers, d_model, n_heads, d_ff, vocab_size = shape
    assert config.model == ModelConfig(
        max_seq_len=2304,
        n_layers=n_layers,
        d_model=d_model,
        n_heads=n_heads,
        n_kv_heads=n_heads,
        d_head=d_model // n_heads,
        d_ff=d_ff,
        norm="rmsnorm",
        activation="swiglu",
    )
    assert (config.text.vocab_size, config.text.fixed_vocab) == (vocab_size, True)
    assert config.train.is_untrained
    matrices = n_layers * (4 * d_model**2 + 3 * d_model * d_ff) + 2 * vocab_size * d_model
    norms = (2 * n_layers + 1) * d_model
    assert recipes.estimate(config).n_params == matrices + norms
    assert math.isclose(recipes.estimate(config).kv_bytes_per_token, 8 * n_layers * d_model)
