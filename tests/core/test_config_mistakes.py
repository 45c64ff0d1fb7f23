"""Settings that are impossible: what is refused, and with which words."""

from __future__ import annotations

from typing import Any

import pytest

from core.config import (
    BenchConfig,
    CacheConfig,
    EvalConfig,
    ModelConfig,
    SamplingConfig,
    TextConfig,
    TrainConfig,
)
from core.errors import ConfigError
from core.fields import MAX_SEED

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
