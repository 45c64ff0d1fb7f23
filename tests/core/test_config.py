"""Settings: what follows from others, how they change, and presets."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from core.config import (
    BenchConfig,
    EvalConfig,
    ModelConfig,
    RunConfig,
    SamplingConfig,
    TrainConfig,
    read_toml,
)
from core.errors import ConfigError, MinitfError, did_you_mean
from core.fields import flag_fields
from core.presets import preset


def test_contradictions_between_sections_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        RunConfig(train=TrainConfig(steps=1, context=300))
    assert str(caught.value) == "context=300 is longer than max_seq_len=256."
    assert caught.value.hint == "Try max_seq_len=300 or a shorter context."
    with pytest.raises(ConfigError) as caught:
        RunConfig(eval=EvalConfig(stride=129))
    message = "stride=129 is longer than context=128: tokens would be left out."
    assert str(caught.value) == message
    assert caught.value.hint == "Try stride=128."


def test_whole_numbers_are_welcome_where_a_number_is_meant() -> None:
    assert type(TrainConfig(steps=1, lr=1).lr) is float


def test_defaults_that_depend_on_others_are_resolved() -> None:
    config = ModelConfig(d_model=96, n_heads=6)
    assert (config.head_dim, config.kv_heads, config.hidden_dim) == (16, 6, 384)
    assert ModelConfig(activation="swiglu").hidden_dim == 344
    assert ModelConfig(d_ff=100, activation="swiglu").hidden_dim == 100
    assert ModelConfig(n_kv_heads=2).kv_heads == 2


def test_the_width_of_a_head_need_not_be_a_share_of_the_model() -> None:
    wide = ModelConfig(d_model=30, n_heads=4, d_head=8)
    assert (wide.head_dim, ModelConfig(d_model=32, n_heads=4).head_dim) == (8, 8)


def test_a_new_budget_replaces_the_old_one() -> None:
    by_time = preset("quick")
    assert by_time.train.seconds == 90
    by_steps = by_time.with_changes(steps=200)
    assert (by_steps.train.steps, by_steps.train.seconds, by_steps.train.epochs) == (200, 0, 0)
    by_tokens = by_steps.with_changes(tokens=10_000)
    assert (by_tokens.train.tokens, by_tokens.train.steps) == (10_000, 0)
    assert by_tokens.with_changes(epochs=1.0).train.tokens == 0
    back = by_steps.with_changes(seconds=5)
    assert (back.train.steps, back.train.seconds) == (0, 5)
    both = back.with_changes(steps=10, seconds=2.0)
    assert (both.train.steps, both.train.seconds) == (10, 2)


def test_no_steps_alone_is_a_budget_too_and_means_that_nothing_is_trained() -> None:
    by_time = preset("quick")
    assert by_time.with_changes(steps=0).train.is_untrained
    assert read_toml("[train]\nsteps = 0\n", by_time).train.is_untrained
    for others in ({"steps": 0, "seconds": 2.0}, {"seconds": 0.0}, {"epochs": 0.0, "steps": 3}):
        assert not by_time.with_changes(**others).train.is_untrained


def test_changes_find_their_section_by_name() -> None:
    changed = RunConfig().with_changes(d_model=64, corpus="x.txt", lr=0.1, stride=7)
    assert changed.model.d_model == 64
    assert changed.text.corpus == "x.txt"
    assert changed.train.lr == 0.1
    assert changed.eval.stride == 7
    assert RunConfig().with_changes(vocab_size=300).text.vocab_size == 300
    assert RunConfig().with_changes() == RunConfig()


def test_an_unknown_change_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=re.escape("There is no setting 'layers'.")) as caught:
        RunConfig().with_changes(layers=3)
    assert caught.value.hint == "Did you mean n_layers?"


def test_no_flag_name_is_used_twice() -> None:
    names = [item.name for _, item in flag_fields(RunConfig())]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("config", [RunConfig(), SamplingConfig(), BenchConfig()])
def test_every_field_explains_itself(config: Any) -> None:
    for section, item in flag_fields(config):
        assert item.metadata["help"], (section, item.name)
        assert not item.metadata["help"].endswith(".")


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(ConfigError, match=re.escape("There is no preset 'quik'.")) as caught:
        preset("quik")
    assert caught.value.hint == "Did you mean quick?"


def test_the_seed_preset_is_the_experiment_it_says() -> None:
    config = preset("seed")
    model, text, train = config.model, config.text, config.train
    assert (model.n_layers, model.d_model, model.n_heads, model.max_seq_len) == (1, 128, 4, 1024)
    assert (model.positions, model.norm, model.norm_place) == ("rope", "layernorm", "pre")
    assert (model.activation, model.hidden_dim) == ("relu", 512)
    assert (text.corpus, text.tokenizer, text.vocab_size) == ("python-docs", "bpe", 1004)
    assert (text.max_tokens, text.validation_fraction) == (50_000, 0.2)
    assert (train.steps, train.batch_size, train.context) == (100, 16, 128)
    assert (train.lr, train.warmup_steps, train.grad_clip) == (1e-3, 10, 1.0)


def test_the_quick_preset_ends_after_90_seconds() -> None:
    assert (preset("quick").train.seconds, preset("quick").train.steps) == (90, 0)


def test_configs_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ModelConfig().d_model = 3  # type: ignore[misc]


def test_an_error_is_a_sentence_with_a_hint() -> None:
    error = MinitfError("A sentence.", hint="A way out.")
    assert (str(error), error.hint) == ("A sentence.", "A way out.")
    assert MinitfError("A sentence.").hint == ""
    assert did_you_mean("x", []) == ""


def test_a_longer_context_alone_makes_the_model_hold_it() -> None:
    base = RunConfig().with_changes(max_seq_len=128, context=64)
    assert base.with_changes(context=300).model.max_seq_len == 300
    assert base.with_changes(context=32).model.max_seq_len == 128
    with pytest.raises(ConfigError, match="context=300 is longer than max_seq_len=200"):
        base.with_changes(context=300, max_seq_len=200)
