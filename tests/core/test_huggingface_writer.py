"""What we write, read by transformers: the same logits, the same tokens, or a clear refusal."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from core.config import ModelConfig
from core.errors import ExportError
from core.infer.decoder import Decoder
from core.infer.engines.torch_engine import TorchEngine
from core.interop.huggingface.architectures import ARCHITECTURES
from core.interop.huggingface.config import to_json
from core.interop.huggingface.writer import choose
from core.model.transformer import Transformer
from core.presets import PRESETS, preset
from core.store.stages import Stopped, never
from core.testing import CPU, MODEL_SWITCHES, result_of
from core.text.tokenizer import ByteTokenizer, CharTokenizer, Tokenizer, train_bpe
from tests.core.huggingface_models import (
    ATOL,
    POSITIONS,
    config_of,
    difference,
    lively,
    portable,
    read,
    same_files,
    some_ids,
    theirs,
    transformers,
    written,
)

LLAMA = {"norm": "rmsnorm", "activation": "swiglu"}
LLAMA3 = {"rope_scaling": "llama3", "rope_factor": 4.0, "rope_original_len": 100}
STORIES = "The river runs to the sea; the sea is wide, and fish swim in it.\n" * 40

EXPORTABLE: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaForCausalLM", {**LLAMA, "n_kv_heads": 2, "rope_theta": 500.0}),
    "llama, tied, biases, linear": (
        "LlamaForCausalLM",
        {**LLAMA, "bias": True, "tied_head": True, "rope_scaling": "linear", "rope_factor": 2.0},
    ),
    "llama 3": ("LlamaForCausalLM", {**LLAMA, **LLAMA3, "norm_eps": 1e-6, "d_head": 12}),
    "mistral": ("MistralForCausalLM", {**LLAMA, "n_heads": 3, "d_head": 16, "n_kv_heads": 1}),
    "qwen3": ("Qwen3ForCausalLM", {**LLAMA, "qk_norm": True, "n_kv_heads": 1, "d_head": 16}),
    "arcee": (
        "ArceeForCausalLM",
        {"norm": "rmsnorm", "activation": "relu2", "bias": True, "n_kv_heads": 2},
    ),
    "apertus": (
        "ApertusForCausalLM",
        {"norm": "rmsnorm", "activation": "gelu", "qk_norm": True, "d_head": 12, **LLAMA3},
    ),
    "quick": (
        "Qwen3ForCausalLM",
        {"activation": "swiglu", "qk_norm": True, "n_kv_heads": 1, "zero_init": True},
    ),
    "apertus, layer norms": ("ApertusForCausalLM", {"activation": "relu2", "qk_norm": True}),
    "apertus, tied": ("ApertusForCausalLM", {"qk_norm": True, "tied_head": True}),
    "starcoder2": ("Starcoder2ForCausalLM", {"activation": "gelu_tanh", "n_kv_heads": 2}),
    "starcoder2, biases": ("Starcoder2ForCausalLM", {"bias": True, "tied_head": True}),
    "stablelm": ("StableLmForCausalLM", {"activation": "swiglu", "n_kv_heads": 2, "rope_dims": 4}),
    "neox": (
        "GPTNeoXForCausalLM",
        {"activation": "gelu", "bias": True, "parallel": True, "rope_dims": 2, **LLAMA3},
    ),
    "neox, no biases, few heads": (
        "GPTNeoXForCausalLM",
        {"rope_dims": 4, "n_kv_heads": 1, "tied_head": True},
    ),
    "gpt2": (
        "GPT2LMHeadModel",
        {"positions": "learned", "activation": "gelu_tanh", "bias": True, "tied_head": True},
    ),
    "gpt2 of sines, one head": ("GPT2LMHeadModel", {"positions": "sinusoidal", "n_kv_heads": 1}),
    "gpt2 without positions": ("GPT2LMHeadModel", {"positions": "none", "activation": "relu2"}),
    "opt": (
        "OPTForCausalLM",
        {"positions": "learned", "norm_place": "post", "bias": True, "tied_head": True},
    ),
    "opt of sines": ("OPTForCausalLM", {"positions": "sinusoidal", "norm_place": "post"}),
    "smollm3": ("SmolLM3ForCausalLM", {**LLAMA, "positions": "none", "n_kv_heads": 2}),
    "smollm3 of layer norms": (
        "SmolLM3ForCausalLM",
        {"positions": "none", "activation": "swiglu", "tied_head": True},
    ),
}


@pytest.mark.parametrize("name", EXPORTABLE)
def test_logits_are_those_of_transformers_and_all_comes_back(name: str, tmp_path: Path) -> None:
    architecture, changes = EXPORTABLE[name]
    model = lively(config_of(**changes))
    assert written(model, tmp_path / "a").architecture == architecture
    other = theirs(tmp_path / "a")
    assert type(other).__name__ == architecture
    assert difference(model, other) < ATOL
    back, found = read(tmp_path / "a")
    assert found.architecture == architecture
    assert difference(back, other) < ATOL
    written(back, tmp_path / "b")
    same_files(tmp_path / "a", tmp_path / "b")


@torch.no_grad()
def greedy_theirs(model: Any, ids: torch.Tensor, n: int) -> list[int]:
    out = model.generate(ids, max_new_tokens=n, do_sample=False, pad_token_id=0)
    return out[0, ids.size(1) :].tolist()


@torch.no_grad()
def greedy_along(model: Any, ids: torch.Tensor, said: list[int]) -> list[int]:
    """What the model would choose after each part of what somebody said."""
    whole = torch.cat([ids, torch.tensor([said])], dim=1)
    return model(whole).logits[0, ids.size(1) - 1 : -1].argmax(1).tolist()


@torch.no_grad()
def greedy_ours(model: Transformer, ids: torch.Tensor, n: int) -> list[int]:
    decoder = Decoder(TorchEngine(model, CPU))
    logits = decoder.feed(ids[0].tolist())
    said: list[int] = []
    while len(said) < n:
        said.append(int(logits.argmax()))
        logits = decoder.feed([said[-1]])
    return said


@pytest.mark.parametrize("name", ["llama", "apertus", "gpt2", "neox"])
def test_so_are_the_tokens_that_follow(name: str, tmp_path: Path) -> None:
    model = lively(config_of(**EXPORTABLE[name][1]))
    written(model, tmp_path / "a")
    prompt, n = some_ids(9), 64
    assert greedy_ours(model, prompt, n) == greedy_theirs(theirs(tmp_path / "a"), prompt, n)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPORTABLE)
def test_so_are_256_tokens_of_each_architecture(name: str, tmp_path: Path) -> None:
    """Written with their cache; with other weights read along ours in one pass."""
    prompt, n = some_ids(9), 256
    model = lively(config_of(**EXPORTABLE[name][1]))
    written(model, tmp_path / "a")
    assert greedy_ours(model, prompt, n) == greedy_theirs(theirs(tmp_path / "a"), prompt, n)
    model = lively(config_of(**EXPORTABLE[name][1]), 1)
    written(model, tmp_path / "b")
    chosen = greedy_ours(model, prompt, n)
    assert greedy_along(theirs(tmp_path / "b"), prompt, chosen) == chosen


def test_every_switch_is_written_or_refused_by_its_name(tmp_path: Path) -> None:
    refused = {}
    for name, changes in MODEL_SWITCHES.items():
        model = lively(config_of(**changes))
        try:
            written(model, tmp_path / name)
        except ExportError as error:
            refused[name] = str(error)
            continue
        assert difference(model, theirs(tmp_path / name), 64) < ATOL, name
    assert refused == {
        "post-norm": "No architecture of transformers computes norm_place=post with the other"
        " switches of this model.",
        "softcap": "No architecture of transformers computes logit_softcap=5 with the other"
        " switches of this model.",
        "n-grams": "No architecture of transformers computes ngram_buckets=37 with the other"
        " switches of this model.",
        "all at once": "No architecture of transformers computes logit_softcap=8, ngram_buckets=5,"
        " qk_norm=true, norm_place=post with the other switches of this model.",
    }


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "capped": ({"logit_softcap": 5.0}, "logit_softcap=5", "logit_softcap=0"),
    "post": ({"norm_place": "post"}, "norm_place=post", "norm_place=pre"),
    "bias": ({**LLAMA, "qk_norm": True, "bias": True}, "qk_norm=true", "qk_norm=false"),
    "bias of a gate": (
        {"activation": "swiglu", "bias": True, "rope_dims": 4},
        "bias=true",
        "bias=false",
    ),
    "learned": ({"positions": "learned", "norm": "rmsnorm"}, "positions=learned", "positions=rope"),
    "parallel": ({**LLAMA, "parallel": True}, "parallel=true", "parallel=false"),
    "part": ({**LLAMA, "rope_dims": 4}, "rope_dims=4", "rope_dims=0"),
    "wide": ({"positions": "learned", "d_head": 12}, "d_head=12", "d_head=0"),
    "epsilon": (
        {"positions": "learned", "norm_place": "post", "norm_eps": 1e-6},
        "norm_place=post",
        "norm_place=pre",
    ),
    "odd heads": (
        {**LLAMA, "bias": True, "n_heads": 3, "d_head": 8},
        "n_heads=3",
        "n_heads that divides d_model",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_switch_that_no_architecture_has_is_named_with_what_would_do(name: str) -> None:
    changes, obstacle, way_out = REFUSED[name]
    config = config_of(**changes)
    with pytest.raises(ExportError) as caught:
        choose(portable(lively(config)))
    assert str(caught.value) == (
        f"No architecture of transformers computes {obstacle} with the other switches of this"
        " model."
    )
    assert f" would, with {way_out}." in caught.value.hint


def test_biases_that_are_all_zero_are_none() -> None:
    config = config_of(activation="swiglu", bias=True)
    architecture, model = choose(portable(Transformer(config, seed=0)))
    assert (architecture.name, model.config.bias) == ("StableLmForCausalLM", False)


def test_an_end_that_is_asked_for_comes_before_the_weights(tmp_path: Path) -> None:
    from core.interop.huggingface.writer import write_hf

    work = write_hf(portable(lively(config_of())), ByteTokenizer(), tmp_path / "a", lambda: True)
    with pytest.raises(Stopped):
        result_of(work)
    assert not (tmp_path / "a" / "model.safetensors").exists()
    assert never() is False


TOKENIZERS = {
    "byte": ByteTokenizer(),
    "char": CharTokenizer(STORIES + "é☃\0'!"),
    "bpe": train_bpe(STORIES, 290),
}


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_auto_tokenizer_reads_and_decodes_as_we_do(kind: str, tmp_path: Path) -> None:
    tokenizer: Tokenizer = TOKENIZERS[kind]
    folders = []
    for name in ("llama", "gpt2", "qwen3", "neox", "opt", "mistral"):
        folder = tmp_path / name
        model = Transformer(config_of(**EXPORTABLE[name][1]), seed=0)
        written(model, folder, tokenizer)
        folders.append(folder)
    texts = ["The river", "  fish   swim\n\n in it .", "it 's , n't !", STORIES[:200], " ", ""]
    if kind != "char":
        texts += ["<s> </s> <|endoftext|> <unk>", "\0\x01\x7f é☃ 𝄞 \u200b", "a" * 70 + "\t" * 9]
    for folder in folders:
        assert (folder / "tokenizer.json").read_text("utf-8") == tokenizer.to_json()
        other = transformers.AutoTokenizer.from_pretrained(folder)
        assert other.model_max_length == POSITIONS
        for text in texts:
            ids = tokenizer.encode(text).tolist()
            assert other(text)["input_ids"] == ids
            assert other.decode(ids) == text


def test_no_token_is_said_to_begin_or_end_a_text_where_there_is_none(tmp_path: Path) -> None:
    written(lively(config_of()), tmp_path / "a")
    for name in ("config.json", "generation_config.json"):
        content = json.loads((tmp_path / "a" / name).read_text())
        ids = [content[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")]
        assert ids == [None, None, None]
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "a")
    assert model.generation_config.eos_token_id is None


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_written(name: str) -> None:
    config = preset(name).model
    small = {"vocab_size": 40, "n_layers": 1, "max_seq_len": 8, "d_model": 8 * config.n_heads}
    model = Transformer(replace(config, **small, d_ff=16, d_head=0), seed=0)
    choose(portable(model))


def test_dropout_goes_along() -> None:
    for architecture in ARCHITECTURES:
        settings = to_json(architecture, config_of(dropout=0.125, qk_norm=False))
        assert settings[architecture.dropout_keys[0]] == 0.125


def test_the_share_of_a_head_that_rope_turns_is_exact() -> None:
    from core.interop.huggingface.architectures import GPT_NEOX

    for head in range(2, 200, 2):
        for turned in range(2, head + 1, 2):
            config = ModelConfig(d_model=head, n_heads=1, rope_dims=turned)
            assert int(head * to_json(GPT_NEOX, config)["rotary_pct"]) == turned
