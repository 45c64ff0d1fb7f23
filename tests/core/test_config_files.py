"""Settings in files: that nothing is lost on the way to TOML, and what is no such file."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from core.config import RunConfig, SamplingConfig, read_toml, write_toml
from core.config.sweep import read_sweep
from core.errors import ConfigError
from core.fields import MAX_SEED
from core.presets import ABOUT, PRESETS, preset
from core.store.named import config_named


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_survives_toml(name: str) -> None:
    assert read_toml(write_toml(preset(name))) == preset(name)
    assert set(ABOUT) == set(PRESETS)


@given(
    lr=st.floats(1e-12, 1e12),
    seed=st.integers(0, MAX_SEED),
    corpus=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    flag=st.booleans(),
)
def test_any_values_survive_toml(lr: float, seed: int, corpus: str, flag: bool) -> None:
    config = RunConfig().with_changes(lr=lr, seed=seed, corpus=corpus, qk_norm=flag)
    assert read_toml(write_toml(config)) == config


def test_a_toml_file_changes_what_it_names_alone() -> None:
    base = preset("seed")
    found = read_toml("[model]\nn_layers = 7\n[train]\nlr = 1\n", base)
    assert found == base.with_changes(n_layers=7, lr=1.0)


@pytest.mark.parametrize(
    ("toml", "message", "hint"),
    [
        ("[modl]\n", "The config has no table [modl].", "Did you mean model?"),
        ("lr = 3\n", "The config has no table [lr].", "The setting lr belongs below [train]."),
        ("model = 3\n", "The config has no table [model].", "Did you mean model?"),
        (
            "[model]\nn_layer = 3\n",
            "The table [model] has no field 'n_layer'.",
            "Did you mean n_layers?",
        ),
        ("[model]\nd_model = 1.5\n", "d_model=1.5 is not a whole number.", "The default is 128."),
    ],
)
def test_a_mistake_in_a_file_is_named(toml: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_toml(toml)
    assert (str(caught.value), caught.value.hint) == (message, hint)


@pytest.mark.parametrize("toml", ["[model\n", "a = " + "9" * 5000])
def test_a_file_that_is_not_toml_is_refused_by_its_name(toml: str) -> None:
    with pytest.raises(ConfigError, match=re.escape("my.toml is not valid TOML: ")) as caught:
        read_toml(toml, source="my.toml")
    assert caught.value.hint == "The tables are [model], [text], [train] and [eval]."


def test_a_budget_in_a_file_replaces_the_old_one_too() -> None:
    found = read_toml("[train]\nsteps = 5\n", preset("quick"))
    assert (found.train.steps, found.train.seconds) == (5, 0)
    found = read_toml("[train]\nseconds = 5\n", preset("seed"))
    assert (found.train.steps, found.train.seconds) == (0, 5)


def test_a_list_of_texts_survives_toml() -> None:
    """No section of a run has one; the ways in and out know it all the same."""
    texts = ("\n\n", "END", '"é日😀')
    tables = tomllib.loads(
        tomli_w.dumps({"sampling": dataclasses.asdict(SamplingConfig(stop=texts))})
    )
    assert type(tables["sampling"]["stop"]) is list
    assert SamplingConfig(**tables["sampling"]).stop == texts


def test_a_vocabulary_in_the_wrong_table_is_not_ignored() -> None:
    with pytest.raises(ConfigError) as caught:
        read_toml("[model]\nvocab_size = 900", source="c.toml")
    assert str(caught.value) == (
        "c.toml sets vocab_size in [model], where it comes from the tokenizer."
    )
    assert caught.value.hint == "Set it in [text]."
    assert read_toml("[model]\nvocab_size = 0") == RunConfig()


@pytest.mark.parametrize("read", [read_toml, read_sweep])
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a = " + "[" * 100_000, "nested too deeply"),
        ("a" + ".a" * 100_000 + " = 1", "more than 1,000 dots"),
        ("[" + "a." * 100_000 + "a]", "more than 1,000 dots"),
        ("#" * 1_000_001, "1,000,001 characters"),
    ],
)
def test_toml_that_would_fill_the_memory_or_the_stack_is_refused(
    read: Any, text: str, says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        read(text)


def test_a_name_longer_than_any_file_has_is_no_config() -> None:
    with pytest.raises(ConfigError, match="is no preset, no file and no run"):
        config_named("9" * 5000)


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("random = 3", "random=3 is no table", "It has n, seed and ranges."),
        ("set = 3\n[grid]\nlr = [1e-3]", "set=3 is no table", "As in [set] and steps = 500."),
        (
            "[grid]\n"
            + "\n".join(
                f"{name} = {list(range(1, 900))}"
                for name in ("d_model", "n_layers", "n_heads", "d_ff", "steps", "batch_size")
            ),
            "1,000,000,000,000,000 settings, which are more than 999 runs",
            "Try fewer, or [random].",
        ),
    ],
)
def test_a_garbled_or_endless_sweep_is_refused_at_once(text: str, says: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        read_sweep(text)
    assert refused.value.hint == hint
