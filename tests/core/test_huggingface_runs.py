"""Runs that were trained, to transformers and back: what a person does, as a whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from core import recipes
from core.events import ExportCompleted, ImportCompleted
from core.open_run import open_for_use
from core.testing import tiny_run_config
from tests.core.huggingface_models import (
    ATOL,
    difference,
    same_files,
    some_ids,
    theirs,
    transformers,
)

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "apertus": ("ApertusForCausalLM", {"activation": "relu2", "qk_norm": True}),
    "llama": ("LlamaForCausalLM", {"norm": "rmsnorm", "activation": "swiglu"}),
    "gpt2": (
        "GPT2LMHeadModel",
        {"positions": "learned", "activation": "gelu", "bias": True, "tied_head": True},
    ),
}


def result_of(session: Any, kind: type) -> Any:
    *_, last = session.run()
    assert isinstance(last, kind)
    return last.result


@pytest.mark.parametrize("kind", KINDS)
def test_a_trained_run_goes_out_and_comes_back(kind: str, text_file: str, tmp_path: Path) -> None:
    architecture, changes = KINDS[kind]
    config = tiny_run_config(text_file, max_seq_len=520, steps=30, lr=0.01, **changes)
    list(recipes.training(config, name="trained").run())
    one, other = tmp_path / "one", tmp_path / "other"
    export = result_of(recipes.exporting("trained", format="hf", out=one), ExportCompleted)
    assert (export.architecture, export.step) == (architecture, 30)
    model = theirs(one)
    assert (
        difference(open_for_use("trained", device="cpu", dtype="float32", threads=1).model, model)
        < ATOL
    )

    back = recipes.importing(one, name="back", corpus=text_file)
    assert result_of(back, ImportCompleted).architecture == architecture
    found = open_for_use("back", device="cpu", dtype="float32", threads=1)
    assert difference(found.model, model) < ATOL
    result_of(recipes.exporting("back", format="hf", out=other), ExportCompleted)
    same_files(one, other)


def test_the_loss_is_that_of_transformers_on_the_same_tokens(
    text_file: str, tmp_path: Path
) -> None:
    config = tiny_run_config(text_file, steps=30, lr=0.01, **KINDS["apertus"][1])
    list(recipes.training(config, name="trained").run())
    list(recipes.exporting("trained", format="hf", out=tmp_path / "a").run())
    list(recipes.importing(tmp_path / "a", name="back", corpus=text_file).run())
    found = open_for_use("back", device="cpu", dtype="float32", threads=1)
    ids = some_ids(32, 256)
    with torch.no_grad():
        loss = F.cross_entropy(found.model(ids)[0, :-1], ids[0, 1:]).item()
        said = theirs(tmp_path / "a")(ids, labels=ids).loss.item()
    assert said == pytest.approx(loss, abs=1e-5)


LLAMA_TOKENS = {"<unk>": 0, "<s>": 1, "</s>": 2} | {f"<0x{b:02X}>": b + 3 for b in range(256)}


def llama_like_tokenizer() -> str:
    """As SentencePiece's become: byte fallback, a begin before each text."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

    vocab = LLAMA_TOKENS | {"▁": 259, "t": 260, "h": 261, "th": 262, "▁th": 263, "e": 264}
    merges = [("t", "h"), ("▁", "th")]
    engine = Tokenizer(
        models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    engine.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    engine.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    engine.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    for token in ("<unk>", "<s>", "</s>"):
        engine.add_special_tokens([AddedToken(token, normalized=False, special=True)])
    return engine.to_str()


def test_an_imported_tokenizer_goes_out_with_its_begin_and_ends(
    text_file: str, tmp_path: Path
) -> None:
    folder, out = tmp_path / "a", tmp_path / "b"
    config = transformers.LlamaConfig(
        vocab_size=300,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=64,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    (folder / "tokenizer.json").write_text(llama_like_tokenizer(), "utf-8")
    list(recipes.importing(folder, name="taken", corpus=text_file).run())
    list(recipes.exporting("taken", format="hf", out=out).run())
    assert (out / "tokenizer.json").read_bytes() == (folder / "tokenizer.json").read_bytes()
    settings = json.loads((out / "config.json").read_text())
    assert (settings["bos_token_id"], settings["eos_token_id"]) == (1, 2)
    tokenizer = transformers.AutoTokenizer.from_pretrained(out)
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<s>", "</s>")
    ours = open_for_use("taken", device="cpu", dtype="float32", threads=1).tokenizer
    for text in ("the thé", "  two  spaces\n", "é☃𝄞", "the </s> the"):
        assert tokenizer(text)["input_ids"] == ours.encode_prompt(text).tolist(), text
    list(recipes.importing(out, name="again", corpus=text_file).run())
    list(recipes.exporting("again", format="hf", out=tmp_path / "c").run())
    same_files(out, tmp_path / "c")
