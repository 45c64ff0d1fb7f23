"""Settings: what is refused and with which words, and that nothing is lost on the way to TOML."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from core.config import (
    BenchConfig,
    CacheConfig,
    EvalConfig,
    ModelConfig,
    RunConfig,
    SamplingConfig,
    TextConfig,
    TrainConfig,
    read_toml,
    write_toml,
)
from core.config.sweep import read_sweep
from core.errors import ConfigError, MinitfError, did_you_mean
from core.fields import MAX_SEED, flag_fields
from core.presets import ABOUT, PRESETS, preset
from core.store.named import config_named

MODEL = [
    (
        {"d_model": 30},
        "d_model=30 does not divide into n_heads=4.",
        "Try d_model=24 or 32, or n_heads=3.",
    ),
    ({"d_model": 3}, "d_model=3 does not divide into n_heads=4.", "Try d_model=8."),
    (
        {"n_kv_heads": 3},
        "n_heads=4 is not a multiple of n_kv_heads=3.",
        "Try n_kv_heads=1, 2, 4.",
    ),
    (
        {"d_model": 20},
        "rope turns pairs, and the head width 5 is odd.",
        "Try d_model=40 or positions=learned.",
    ),
    ({"rope_theta": 1.0}, "rope_theta=1 is not above 1.", "The usual value is 10000."),
    ({"dropout": 1.0}, "dropout=1 is not in [0, 1).", "Try dropout=0.1."),
    ({"dropout": -0.5}, "dropout=-0.5 is not in [0, 1).", "Try dropout=0.1."),
    (
        {"n_layers": 0},
        "n_layers=0 is below 1, the least that makes sense.",
        "The default is 4.",
    ),
    (
        {"logit_softcap": -1},
        "logit_softcap=-1 is below 0, the least that makes sense.",
        "The default is 0.0.",
    ),
    (
        {"positions": "rop"},
        "positions='rop' is not one of rope, sinusoidal, learned, none.",
        "Did you mean rope?",
    ),
    (
        {"norm": "?"},
        "norm='?' is not one of layernorm, rmsnorm.",
        "Known: layernorm, rmsnorm.",
    ),
    ({"d_model": "128"}, "d_model='128' is not a whole number.", "The default is 128."),
    ({"d_model": True}, "d_model=True is not a whole number.", "The default is 128."),
    ({"dropout": "high"}, "dropout='high' is not a number.", "The default is 0.0."),
    ({"qk_norm": 1}, "qk_norm=1 is not true or false.", "The default is False."),
    ({"norm": 5}, "norm=5 is not a text.", "The default is 'layernorm'."),
    ({"dropout": float("nan")}, "dropout=nan is not a finite number.", "The default is 0.0."),
    (
        {"rope_theta": float("inf")},
        "rope_theta=inf is not a finite number.",
        "The default is 10000.0.",
    ),
    ({"norm_eps": 0}, "norm_eps=0 is not above 0.", "The usual value is 1e-05."),
    (
        {"parallel": True, "norm_place": "post"},
        "parallel=true needs norms before each part, and norm_place=post.",
        "Try norm_place=pre.",
    ),
    (
        {"d_head": 5},
        "rope turns pairs, and the head width 5 is odd.",
        "Try d_head=10 or positions=learned.",
    ),
    *(
        (
            {"rope_dims": dims, "d_head": 16},
            f"rope_dims={dims} is not an even number up to the head width 16.",
            "0 turns all of a head.",
        )
        for dims in (3, 18)
    ),
    (
        {"rope_dims": -2},
        "rope_dims=-2 is below 0, the least that makes sense.",
        "The default is 0.",
    ),
    ({"rope_factor": 0.5}, "rope_factor=0.5 is below 1.", "1 does not stretch rope."),
    (
        {"rope_scaling": "llama3", "rope_factor": 8.0},
        "rope_scaling=llama3 needs the context before it was stretched.",
        "Set rope_original_len, as in rope_original_len=8192.",
    ),
    (
        {"rope_scaling": "yarn"},
        "rope_scaling='yarn' is not one of none, linear, llama3.",
        "Known: linear, llama3, none.",
    ),
]
TEXT = [
    (
        {"vocab_size": 2_000_000},
        "vocab_size=2000000 is above 1000000, the most for bpe.",
        "Small models learn best with 512 to 8192.",
    ),
    (
        {"generated_chars": 10**12},
        "generated_chars=1000000000000 is above 10000000000.",
        "10000000 is more than a small model can use.",
    ),
    (
        {"vocab_size": 259},
        "vocab_size=259 is below 260, the least for bpe.",
        "Try vocab_size=1024, or tokenizer=byte.",
    ),
    ({"corpus": ""}, "The corpus has no name.", "Name a text file, or python-docs."),
    (
        {"validation_fraction": 0.0},
        "validation_fraction=0 is not between 0 and 1.",
        "The usual value is 0.1.",
    ),
    (
        {"validation_fraction": 1},
        "validation_fraction=1 is not between 0 and 1.",
        "The usual value is 0.1.",
    ),
    (
        {"max_tokens": -1},
        "max_tokens=-1 is below 0, the least that makes sense.",
        "The default is 0.",
    ),
    (
        {"tokenizer": "bytes"},
        "tokenizer='bytes' is not one of bpe, byte, char.",
        "Did you mean byte?",
    ),
]
TRAIN = [
    ({"lr": 0.0}, "lr=0 is not above 0.", "Try lr=0.001."),
    ({"lr": -1}, "lr=-1 is not above 0.", "Try lr=0.001."),
    ({"beta1": 1.0}, "beta1=1 is not in [0, 1).", "The usual value is 0.9."),
    ({"beta2": -0.1}, "beta2=-0.1 is not in [0, 1).", "The usual value is 0.95."),
    ({"min_lr": 1.5}, "min_lr=1.5 is not in [0, 1).", "The usual value is 0.1."),
    ({"momentum": 1}, "momentum=1 is not in [0, 1).", "The usual value is 0.95."),
    (
        {"head_lr": -0.1},
        "head_lr=-0.1 is below 0, the least that makes sense.",
        "The default is 0.0.",
    ),
    (
        {"optimizer": "moun"},
        "optimizer='moun' is not one of adamw, muon, sgd, lion.",
        "Did you mean muon?",
    ),
    ({"seed": MAX_SEED + 1}, f"seed={MAX_SEED + 1} is above {MAX_SEED}.", "Try a smaller seed."),
    ({"seed": -1}, "seed=-1 is below 0, the least that makes sense.", "The default is 0."),
    ({"decay_share": 0.0}, "decay_share=0 is not in (0, 1].", "The usual value is 0.2."),
    ({"decay_share": 1.5}, "decay_share=1.5 is not in (0, 1].", "The usual value is 0.2."),
    ({"return_lr": 0.0}, "return_lr=0 is not in (0, 1].", "The usual value is 0.5."),
    (
        {"on_divergence": "retrun"},
        "on_divergence='retrun' is not one of stop, return.",
        "Did you mean return?",
    ),
    (
        {"grad_accum": 0},
        "grad_accum=0 is below 1, the least that makes sense.",
        "The default is 1.",
    ),
    ({"context": 0}, "context=0 is below 1, the least that makes sense.", "The default is 128."),
    (
        {"seconds": -0.5},
        "seconds=-0.5 is below 0, the least that makes sense.",
        "The default is 0.0.",
    ),
    ({"device": "gpu"}, "device='gpu' is not one of auto, cpu, cuda, mps.", "Did you mean cpu?"),
]
SAMPLING = [
    (
        {"count": 300},
        "count=300 is above 256: all are written at once.",
        "Write some, then others with another seed.",
    ),
    ({"top_p": 0.0}, "top_p=0 is not in (0, 1].", "Try top_p=0.9."),
    ({"top_p": 1.1}, "top_p=1.1 is not in (0, 1].", "Try top_p=0.9."),
    ({"min_p": -0.1}, "min_p=-0.1 is not in [0, 1].", "Try min_p=0.05."),
    (
        {"temperature": -1},
        "temperature=-1 is below 0, the least that makes sense.",
        "The default is 0.8.",
    ),
    (
        {"max_new_tokens": 0},
        "max_new_tokens=0 is below 1, the least that makes sense.",
        "The default is 200.",
    ),
    ({"seed": MAX_SEED + 1}, f"seed={MAX_SEED + 1} is above {MAX_SEED}.", "Try a smaller seed."),
    (
        {"seed": MAX_SEED - 1, "count": 3},
        f"seed={MAX_SEED + 1} for the last of 3 is above {MAX_SEED}.",
        "Try a smaller seed.",
    ),
    ({"count": 0}, "count=0 is below 1, the least that makes sense.", "The default is 1."),
    (
        {"repetition_penalty": 0.0},
        "repetition_penalty=0 is not in [0.01, 100].",
        "Try repetition_penalty=1.2; 1 is off.",
    ),
    (
        {"repetition_penalty": 101},
        "repetition_penalty=101 is not in [0.01, 100].",
        "Try repetition_penalty=1.2; 1 is off.",
    ),
    (
        {"presence_penalty": 1e6},
        "presence_penalty=1e+06 is not in [-100, 100].",
        "Try presence_penalty=0.5; 0 is off.",
    ),
    (
        {"frequency_penalty": -101},
        "frequency_penalty=-101 is not in [-100, 100].",
        "Try frequency_penalty=0.5; 0 is off.",
    ),
    (
        {"penalty_window": -1},
        "penalty_window=-1 is below 0, the least that makes sense.",
        "The default is 0.",
    ),
    (
        {"cache": "windows"},
        "cache='windows' is not one of static, none, window, sinks, int8.",
        "Did you mean window?",
    ),
    ({"cache": False}, "cache=False is not a text.", "The default is 'static'."),
    (
        {"engine": "c"},
        "engine='c' is not one of auto, torch, fast, graph.",
        "Known: auto, fast, graph, torch.",
    ),
    ({"window": 0}, "window=0 is below 1, the least that makes sense.", "The default is 256."),
    ({"sinks": -1}, "sinks=-1 is below 0, the least that makes sense.", "The default is 4."),
    ({"stop": ("a", "")}, "A stop string is empty.", "Give at least one character."),
    ({"stop": "END"}, "stop='END' is not a list of texts.", "The default is ()."),
    ({"stop": ("a", 3)}, "stop=('a', 3) is not a list of texts.", "The default is ()."),
]
BENCH = [
    ({"n": 1}, "n=1 is below 2, the least that makes sense.", "The default is 128."),
    ({"reps": 0}, "reps=0 is below 1, the least that makes sense.", "The default is 5."),
    (
        {"threads": (1, -1)},
        "threads=-1 is below 0, the least that makes sense.",
        "The default is 0.",
    ),
    (
        {"caches": "disk"},
        "caches='disk' is not one of static, none, window, sinks, int8.",
        "Known: int8, none, sinks, static, window.",
    ),
    ({"bits": 3}, "bits=3 is not one of 0, 8, 4.", "0 takes the weights as they are stored."),
    ({"bits": ("8",)}, "bits=('8',) is not a list of whole numbers.", "The default is (0,)."),
    (
        {"engines": ()},
        "engines is empty, so that there is nothing to time.",
        "The default is torch, fast.",
    ),
    ({"warmup": -1}, "warmup=-1 is below 0, the least that makes sense.", "The default is 1."),
]
CACHE = [
    (
        {"cache": "int4"},
        "cache='int4' is not one of static, none, window, sinks, int8.",
        "Did you mean int8?",
    ),
    ({"window": 0}, "window=0 is below 1, the least that makes sense.", "The default is 256."),
    ({"sinks": -1}, "sinks=-1 is below 0, the least that makes sense.", "The default is 4."),
]
EVAL = [
    ({"stride": -1}, "stride=-1 is below 0, the least that makes sense.", "The default is 0."),
]
MISTAKES = [
    *((ModelConfig, *case) for case in MODEL),
    *((TextConfig, *case) for case in TEXT),
    *((lambda **kw: TrainConfig(**({"steps": 1} | kw)), *case) for case in TRAIN),
    *((SamplingConfig, *case) for case in SAMPLING),
    *((BenchConfig, *case) for case in BENCH),
    *((CacheConfig, *case) for case in CACHE),
    *((EvalConfig, *case) for case in EVAL),
]


@pytest.mark.parametrize(("make", "fields", "message", "hint"), MISTAKES)
def test_an_impossible_setting_is_refused_with_a_way_out(
    make: Any, fields: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        make(**fields)
    assert str(caught.value) == message
    assert caught.value.hint == hint


@pytest.mark.parametrize("value", [10**400, -(10**400)])
def test_a_number_beyond_every_float_is_a_mistake_and_no_crash(value: int) -> None:
    with pytest.raises(ConfigError, match="is not a number"):
        TrainConfig(steps=1, lr=value)  # type: ignore[arg-type]
    if value < 0:
        with pytest.raises(ConfigError, match="is below 0"):
            TrainConfig(steps=value)


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


def test_a_budget_in_a_file_replaces_the_old_one_too() -> None:
    found = read_toml("[train]\nsteps = 5\n", preset("quick"))
    assert (found.train.steps, found.train.seconds) == (5, 0)
    found = read_toml("[train]\nseconds = 5\n", preset("seed"))
    assert (found.train.steps, found.train.seconds) == (0, 5)


def test_a_longer_context_alone_makes_the_model_hold_it() -> None:
    base = RunConfig().with_changes(max_seq_len=128, context=64)
    assert base.with_changes(context=300).model.max_seq_len == 300
    assert base.with_changes(context=32).model.max_seq_len == 128
    with pytest.raises(ConfigError, match="context=300 is longer than max_seq_len=200"):
        base.with_changes(context=300, max_seq_len=200)


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
