"""Models that transformers made itself, read by us: the same logits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.interop.foreign import LONGEST
from core.text.tokenizer import ByteTokenizer, load_tokenizer
from tests.core.huggingface_models import (
    ATOL,
    POSITIONS,
    VOCAB,
    config_of,
    difference,
    lively,
    read,
    some_ids,
    theirs,
    transformers,
    written,
)

SIZES = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": POSITIONS,
    "pad_token_id": None,
}
OPT = {key: value for key, value in SIZES.items() if key != "intermediate_size"}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 5000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}

FOREIGN: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {**SIZES, "num_key_value_heads": 2}),
    "llama 3, tied": (
        "Llama",
        {**SIZES, "num_key_value_heads": 1, "rope_parameters": LLAMA3, "tie_word_embeddings": True},
    ),
    "llama, some biases": ("Llama", {**SIZES, "attention_bias": True}),
    "llama, linear": (
        "Llama",
        {**SIZES, "rope_parameters": {"rope_type": "linear", "factor": 3.0, "rope_theta": 1e4}},
    ),
    "mistral": (
        "Mistral",
        {**SIZES, "num_key_value_heads": 2, "head_dim": 16, "sliding_window": POSITIONS},
    ),
    "qwen3": ("Qwen3", {**SIZES, "num_key_value_heads": 2, "head_dim": 16}),
    "qwen3, biases": ("Qwen3", {**SIZES, "num_key_value_heads": 2, "attention_bias": True}),
    "qwen2": ("Qwen2", {**SIZES, "num_key_value_heads": 2, "tie_word_embeddings": True}),
    "gpt2": (
        "GPT2",
        {"vocab_size": VOCAB, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": POSITIONS},
    ),
    "neox": ("GPTNeoX", {**SIZES, "rotary_pct": 0.25}),
    "neox in turns": (
        "GPTNeoX",
        {**SIZES, "use_parallel_residual": False, "rotary_pct": 1.0, "attention_bias": False},
    ),
    "opt": (
        "OPT",
        {**OPT, "ffn_dim": 48, "word_embed_proj_dim": 32, "do_layer_norm_before": True},
    ),
    "starcoder2": ("Starcoder2", {**SIZES, "num_key_value_heads": 2, "use_bias": True}),
    "stablelm": ("StableLm", {**SIZES, "num_key_value_heads": 4, "use_qkv_bias": True}),
}


@torch.no_grad()
def foreign(name: str) -> Any:
    """A model of theirs with weights in which nothing is zero or one."""
    kind, settings = FOREIGN[name]
    torch.manual_seed(3)
    config = getattr(transformers, f"{kind}Config")(**settings)
    suffix = "LMHeadModel" if kind == "GPT2" else "ForCausalLM"
    model = getattr(transformers, f"{kind}{suffix}")(config).eval()
    for parameter in model.parameters():
        scale = 0.2 if parameter.dim() == 1 else 0.15
        parameter.add_(torch.randn(parameter.shape) * scale)
    return model


def saved(model: Any, folder: Path, **how: Any) -> Path:
    model.save_pretrained(folder, **how)
    (folder / "tokenizer.json").write_text(ByteTokenizer().to_json(), "utf-8")
    return folder


def edit(folder: Path, name: str = "config.json", **changes: Any) -> None:
    """Change settings of a file; None takes one out."""
    content = json.loads((folder / name).read_text("utf-8")) | changes
    kept = {key: value for key, value in content.items() if value is not ...}
    (folder / name).write_text(json.dumps(kept), "utf-8")


@pytest.mark.parametrize("name", FOREIGN)
def test_logits_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    model = foreign(name)
    ours, found = read(saved(model, tmp_path / "a"))
    assert difference(ours, model) < ATOL
    assert found.remarks == ()
    assert found.stem == "a"
    assert found.config.max_seq_len == POSITIONS


@pytest.mark.parametrize("name", FOREIGN)
def test_what_came_in_goes_out_and_is_the_same(name: str, tmp_path: Path) -> None:
    model = foreign(name)
    ours, _ = read(saved(model, tmp_path / "a"))
    written(ours, tmp_path / "b")
    assert difference(ours, theirs(tmp_path / "b"), 128) < ATOL


def test_shards_are_one_model(tmp_path: Path) -> None:
    model = foreign("llama")
    folder = saved(model, tmp_path / "a", max_shard_size="30KB")
    assert len(list(folder.glob("*.safetensors"))) > 3
    assert difference(read(folder)[0], model) < ATOL


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_numbers_become_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    model = foreign("qwen3").to(dtype)
    folder = saved(model, tmp_path / "a")
    assert difference(read(folder)[0], theirs(folder)) < ATOL


def test_weights_are_read_when_they_are_asked_for(tmp_path: Path) -> None:
    folder = saved(foreign("neox"), tmp_path / "a")
    _, found = read(folder)
    one, other = (found.tensors["blocks.0.attention.k_proj.weight"]() for _ in range(2))
    assert one.data_ptr() != other.data_ptr()
    assert torch.equal(one, other)


def test_a_model_stored_without_its_head_is_read(tmp_path: Path) -> None:
    """As the hub's gpt2 is: no prefix, and masks among the weights."""
    model = foreign("gpt2")
    folder = saved(model, tmp_path / "a")
    tensors = load_file(folder / "model.safetensors")
    bare = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
    bare["h.0.attn.bias"] = torch.ones(1, 1, 8, 8)
    bare["h.0.attn.masked_bias"] = torch.tensor(-1e4)
    save_file(bare, folder / "model.safetensors", metadata={"format": "pt"})
    assert difference(read(folder)[0], model) < ATOL


@pytest.mark.parametrize(
    ("name", "buffers"),
    [
        ("llama", {"model.layers.1.self_attn.rotary_emb.inv_freq": torch.ones(4)}),
        (
            "neox",
            {
                "gpt_neox.layers.0.attention.bias": torch.ones(1, 1, 8, 8),
                "gpt_neox.layers.0.attention.masked_bias": torch.tensor(-1e9),
                "gpt_neox.layers.0.attention.rotary_emb.inv_freq": torch.ones(4),
            },
        ),
    ],
)
def test_what_older_versions_stored_beside_the_weights_is_passed_over(
    name: str, buffers: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    model = foreign(name)
    folder = saved(model, tmp_path / "a")
    tensors = load_file(folder / "model.safetensors") | buffers
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    assert difference(read(folder)[0], model) < ATOL


@pytest.mark.parametrize("is_equal", [True, False])
def test_a_head_beside_the_embedding_that_it_is_tied_to(is_equal: bool, tmp_path: Path) -> None:
    """transformers believes the weights, not the setting."""
    folder = saved(foreign("llama 3, tied"), tmp_path / "a")
    tensors = load_file(folder / "model.safetensors")
    head = tensors["model.embed_tokens.weight"].clone()
    tensors["lm_head.weight"] = head if is_equal else head.flip(0)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    ours, found = read(folder)
    assert found.config.tied_head is is_equal
    assert difference(ours, theirs(folder)) < ATOL


def test_settings_of_transformers_4_are_understood(tmp_path: Path) -> None:
    model = foreign("llama 3, tied")
    folder = saved(model, tmp_path / "a")
    scaling = {key: value for key, value in LLAMA3.items() if key != "rope_theta"}
    edit(folder, rope_parameters=..., rope_theta=5000.0, rope_scaling=scaling)
    assert difference(read(folder)[0], model) < ATOL
    edit(folder, rope_scaling={"type": "linear", "factor": 2}, hidden_act="swish")
    _, found = read(folder)
    assert (found.config.rope_scaling, found.config.rope_factor) == ("linear", 2.0)


def test_what_a_config_leaves_out_is_what_transformers_takes(tmp_path: Path) -> None:
    left_out = {
        "Llama": ["rms_norm_eps", "hidden_act", "num_key_value_heads", "head_dim"],
        "GPT2": ["n_inner", "activation_function", "layer_norm_epsilon", "tie_word_embeddings"],
        "GPTNeoX": ["rope_parameters", "use_parallel_residual", "layer_norm_eps", "hidden_act"],
        "OPT": ["activation_function", "do_layer_norm_before", "word_embed_proj_dim"],
        "StableLm": ["rope_parameters", "use_qkv_bias", "layer_norm_eps"],
        "Starcoder2": ["hidden_act", "norm_epsilon", "tie_word_embeddings", "use_bias"],
    }
    for name in ("llama", "gpt2", "neox", "opt", "stablelm", "starcoder2"):
        kind, settings = FOREIGN[name]
        folder = tmp_path / name
        sizes = {k: v for k, v in settings.items() if k not in left_out[kind]}
        if kind == "StableLm":
            sizes["use_qkv_bias"] = False
        model = foreign_of(kind, sizes)
        saved(model, folder)
        edit(folder, **dict.fromkeys(left_out[kind], ...))
        assert difference(read(folder)[0], theirs(folder), 64) < ATOL, kind


def foreign_of(kind: str, settings: dict[str, Any]) -> Any:
    FOREIGN["one more"] = (kind, settings)
    return foreign("one more")


def test_as_many_positions_are_kept_as_are_asked_for(tmp_path: Path) -> None:
    for name in ("llama", "gpt2", "opt"):
        model = foreign(name)
        folder = saved(model, tmp_path / name)
        ours, found = read(folder, 100)
        assert found.config.max_seq_len == 100
        assert found.remarks == (f"100 of its {POSITIONS} positions are kept.",)
        assert difference(ours, model, 100) < ATOL
    edit(tmp_path / "llama", max_position_embeddings=131_072)
    _, found = read(tmp_path / "llama")
    assert found.config.max_seq_len == LONGEST
    _, found = read(tmp_path / "llama", 10_000)
    assert found.config.max_seq_len == 10_000


def test_a_window_is_no_matter_where_fewer_positions_are_kept(tmp_path: Path) -> None:
    model = foreign("mistral")
    folder = saved(model, tmp_path / "a")
    edit(folder, sliding_window=256)
    ours, _ = read(folder, 256)
    assert difference(ours, theirs(folder), 256) < ATOL
    folder = saved(foreign("qwen2"), tmp_path / "b")
    edit(folder, sliding_window=16, use_sliding_window=False)
    assert read(folder)[1].config.max_seq_len == POSITIONS


def test_settings_that_nobody_knows_are_named(tmp_path: Path) -> None:
    folder = saved(foreign("llama"), tmp_path / "a")
    edit(folder, mascot="llama", house_style=[1])
    _, found = read(folder)
    assert found.remarks == (
        "Settings that minitf does not know were passed over: house_style, mascot.",
    )
    edit(folder, **{f"k{i}": 0 for i in range(9)})
    _, found = read(folder)
    assert found.remarks[0].endswith("house_style, k0, k1, k2, k3, k4 and 5 more.")


def test_ends_of_texts_are_found(tmp_path: Path) -> None:
    folder = saved(foreign("llama"), tmp_path / "a")
    edit(folder, eos_token_id=[7, 9, 7])
    (folder / "generation_config.json").unlink()
    assert read(folder)[1].end_ids == (7, 9)
    edit(folder, eos_token_id=3)
    assert read(folder)[1].end_ids == (3,)
    (folder / "generation_config.json").write_text('{"eos_token_id": 5}')
    assert read(folder)[1].end_ids == (5,)
    (folder / "generation_config.json").write_text("{}")
    edit(folder, eos_token_id=...)
    assert read(folder)[1].end_ids == ()


def test_the_tokenizer_is_the_very_text(tmp_path: Path) -> None:
    folder = saved(foreign("llama"), tmp_path / "a")
    assert read(folder)[1].tokenizer_json == ByteTokenizer().to_json()


def test_gpt2_files_without_a_tokenizer_json_make_one(tmp_path: Path) -> None:
    from core.text.tokenizer import train_bpe

    folder = saved(foreign("gpt2"), tmp_path / "a")
    (folder / "tokenizer.json").unlink()
    ours = train_bpe("the river runs to the sea, and the sea is wide. " * 30, 280)
    tables = json.loads(ours.to_json())["model"]
    vocab = tables["vocab"] | {"<|endoftext|>": 280}
    (folder / "vocab.json").write_text(json.dumps(vocab), "utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in tables["merges"]), ""]
    (folder / "merges.txt").write_text("\n".join(lines), "utf-8")
    source = read(folder)[1].tokenizer_json
    from tokenizers import Tokenizer as Engine

    slow = transformers.GPT2Tokenizer.from_pretrained(folder)
    for text in ("the river's   sea\n\n", "é☃ 12<|endoftext|>the", ""):
        assert Engine.from_str(source).encode(text).ids == slow(text)["input_ids"]


def test_an_imported_folder_is_written_as_it_was_read(tmp_path: Path) -> None:
    """A model of ours: what the writer makes needs nothing but the reader."""
    model = lively(config_of(norm="rmsnorm", activation="swiglu"))
    written(model, tmp_path / "a")
    ours, found = read(tmp_path / "a")
    ids = some_ids(40)
    with torch.no_grad():
        assert torch.equal(ours(ids), model(ids))
    assert load_tokenizer(found.tokenizer_json).kind == "byte"
