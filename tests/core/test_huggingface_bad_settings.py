"""Folders whose config.json is of a model that we lack, or of none: one sentence each."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.core.huggingface_folders import Change, edit, refusal
from tests.core.huggingface_folders import folder as folder
from tests.core.huggingface_folders import whole as whole
from tests.core.huggingface_models import POSITIONS

WHOLE = "That takes a whole number from 1 to 16777216."
ROPE = {"rope_type": "llama3", "factor": 2.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
SETTINGS: list[tuple[str, Change, str, str]] = [
    ("llama", {"hidden_size": ...}, "hidden_size=None", WHOLE),
    ("llama", {"hidden_size": [32]}, "hidden_size=something nested", WHOLE),
    ("llama", {"num_hidden_layers": True}, "num_hidden_layers=True", WHOLE),
    ("llama", {"vocab_size": -1}, "vocab_size=-1", WHOLE),
    ("llama", {"vocab_size": 1 << 40}, "vocab_size=1099511627776", WHOLE),
    ("llama", {"intermediate_size": "48"}, "intermediate_size='48'", WHOLE),
    ("llama", {"intermediate_size": ...}, "intermediate_size=None", WHOLE),
    (
        "llama",
        {"max_position_embeddings": 1 << 40},
        "max_position_embeddings=1099511627776",
        "That takes a whole number from 1 to 2147483648.",
    ),
    ("llama", {"rms_norm_eps": "tiny"}, "rms_norm_eps='tiny'", "That takes a number."),
    (
        "llama",
        {"rope_theta": 1e300, "rope_parameters": ...},
        "rope_theta=1e+300",
        "That takes a number.",
    ),
    ("llama", {"tie_word_embeddings": 0}, "tie_word_embeddings=0", "That takes true or false."),
    ("llama", {"attention_bias": "no"}, "attention_bias='no'", "That takes true or false."),
    (
        "llama",
        {"hidden_act": "gelu"},
        "hidden_act='gelu'",
        "minitf has silu, swish there.",
    ),
    ("llama", {"hidden_act": ["silu"]}, "hidden_act=something nested", "minitf has silu, swish"),
    ("gpt2", {"activation_function": "silu"}, "activation_function='silu'", "minitf has gelu, "),
    *(
        ("llama", {"rope_scaling": {"rope_type": kind}}, f"rope_type='{kind}'", "minitf has def")
        for kind in ("yarn", "dynamic", "longrope")
    ),
    ("llama", {"rope_scaling": {"type": "yarn"}}, "rope_type='yarn'", "minitf has default, linear"),
    ("llama", {"rope_scaling": {"rope_type": ["a"]}}, "rope_type=something nested", "minitf has"),
    ("llama", {"rope_scaling": "linear"}, "rope_scaling='linear'", "That takes an object."),
    ("llama", {"rope_scaling": {"rope_type": "linear"}}, "factor=None", "That takes a number."),
    (
        "llama",
        {"rope_scaling": ROPE | {"low_freq_factor": 2.0}},
        "low_freq_factor=2.0",
        "minitf has 1 there.",
    ),
    (
        "llama",
        {"rope_scaling": ROPE | {"original_max_position_embeddings": 2.5}},
        "original_max_position_embeddings=2.5",
        "That takes a whole number from 1 up.",
    ),
    (
        "llama",
        {"partial_rotary_factor": 0.5},
        "partial_rotary_factor=0.5",
        "There, minitf turns whole heads only.",
    ),
    (
        "neox",
        {"rotary_pct": 1.5, "rope_parameters": ...},
        "partial_rotary_factor=1.5",
        "That is above 0, and at most 1.",
    ),
    ("neox", {"head_dim": 16}, "head_dim=16", "minitf has 8 there."),
    (
        "mistral",
        {"sliding_window": 256},
        "sliding_window=256",
        f"minitf looks back over all of its {POSITIONS} positions; keep at most 256.",
    ),
    ("mistral", {"sliding_window": "all"}, "sliding_window='all'", WHOLE),
    (
        "qwen3",
        {"use_sliding_window": True, "sliding_window": 16},
        "sliding_window=16",
        "minitf looks back over all",
    ),
    (
        "qwen3",
        {"layer_types": ["linear_attention"]},
        "layer_types=something nested",
        "minitf has full_attention and sliding_attention there.",
    ),
    ("qwen3", {"layer_types": 7}, "layer_types=7", "minitf has full_attention and"),
    (
        "gpt2",
        {"scale_attn_by_inverse_layer_idx": True},
        "scale_attn_by_inverse_layer_idx=True",
        "minitf has False there.",
    ),
    ("gpt2", {"scale_attn_weights": False}, "scale_attn_weights=False", "minitf has True there."),
    ("stablelm", {"qk_layernorm": True}, "qk_layernorm=True", "minitf has False there."),
    ("stablelm", {"use_parallel_residual": True}, "use_parallel_residual=True", "minitf has"),
    ("opt", {"word_embed_proj_dim": 16}, "word_embed_proj_dim=16", "minitf has 32 there."),
    ("smollm3", {"no_rope_layers": [1, 0]}, "no_rope_layers=something nested", "minitf has 0 for"),
    ("smollm3", {"no_rope_layers": ...}, "no_rope_layers=None", "minitf has 0 for each block ther"),
    *(
        ("llama", {key: value}, f"{key}={shown}", "minitf lacks what that asks for.")
        for key, value, shown in (
            ("attention_multiplier", 0.5, "0.5"),
            ("logits_scaling", 8.0, "8.0"),
            ("final_logit_softcapping", 30.0, "30.0"),
            ("quantization_config", {"bits": 4}, "something nested"),
            ("auto_map", {"AutoModel": "x.Y"}, "something nested"),
            ("num_local_experts", 8, "8"),
        )
    ),
]


@pytest.mark.parametrize(("kind", "changes", "named", "hint"), SETTINGS)
def test_a_setting_that_we_lack_is_named(
    kind: str,
    changes: Change,
    named: str,
    hint: str,
    whole: dict[str, Path],
    tmp_path: Path,
) -> None:
    folder = Path(shutil.copytree(whole[kind], tmp_path / "a"))
    edit(folder, changes)
    message, advice = refusal(folder)
    assert message == f"M: config.json has {named}."
    assert advice.startswith(hint)


def test_a_shape_that_no_model_has_is_refused_in_our_words(folder: Path) -> None:
    edit(folder, {"num_key_value_heads": 3})
    assert refusal(folder) == (
        "M: config.json describes no model of ours: n_heads=4 is not a multiple of n_kv_heads=3.",
        "Try n_kv_heads=1, 2, 4.",
    )


def test_an_unknown_architecture_is_named_with_those_that_we_know(folder: Path) -> None:
    edit(folder, {"model_type": "rwkv"})
    message, hint = refusal(folder)
    assert message == "M: minitf does not know the architecture 'rwkv'."
    assert hint == (
        "It knows apertus, arcee, gpt2, gpt_neox, llama, mistral, opt, qwen2, qwen3, smollm3,"
        " stablelm, starcoder2."
    )
    edit(folder, {"model_type": {"a": 1}})
    assert refusal(folder)[0] == "M: minitf does not know the architecture something nested."


def test_more_blocks_than_tensors_are_refused_before_they_are_built(folder: Path) -> None:
    edit(folder, {"num_hidden_layers": 9_000_000})
    assert refusal(folder) == (
        "M: config.json speaks of 9000000 blocks, and there are 21 tensors.",
        "The file is damaged, or config.json is of another model.",
    )


def test_a_model_that_no_machine_can_hold_is_refused(folder: Path) -> None:
    edit(folder, dict.fromkeys(("hidden_size", "num_attention_heads", "head_dim"), 1 << 24))
    assert refusal(folder) == (
        "M: config.json describes a model that is too large.",
        "The file is damaged.",
    )
