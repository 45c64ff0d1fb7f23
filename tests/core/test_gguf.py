"""What is written into a GGUF, and read from it again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, quants

from core.errors import ExportError
from core.interop.equivalents import Portable
from core.interop.gguf.writer import write_gguf
from core.model.positions import rope_frequencies
from core.model.transformer import Transformer
from core.presets import preset
from core.store.stages import Stopped
from core.testing import byte_tokenizer, result_of, tiny_model
from core.text.tokenizer import load_tokenizer, train_bpe
from tests.benchmarks.quantized import gguf_bytes, gguf_read
from tests.core.gguf_files import ABSENT, llama, loaded, read, retold, values, weights_of, write
from tests.interop.exportable import EXPORTABLE, lively_model


def similar(a: torch.nn.Module, b: torch.nn.Module) -> float:
    ids = torch.randint(256, (1, 24), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return float((a(ids) - b(ids)).abs().max())


@pytest.mark.parametrize("name", EXPORTABLE)
def test_out_and_in_and_out_again_gives_the_same_file(name: str, tmp_path: Path) -> None:
    architecture, switches = EXPORTABLE[name]
    model = lively_model(vocab_size=256, max_seq_len=40, **switches)
    first, second = tmp_path / "first.gguf", tmp_path / "second.gguf"
    assert write(first, model).architecture == architecture
    found = read(first)
    assert found.architecture == architecture
    assert similar(model, loaded(found)) < 1e-4
    write(second, Portable(found.config, weights_of(found)))
    assert first.read_bytes() == second.read_bytes()


def test_the_tokenizer_goes_along_and_comes_back(tmp_path: Path, text_file: str) -> None:
    spoken = train_bpe(Path(text_file).read_text(encoding="utf-8"), 280)
    model = llama(vocab_size=spoken.vocab_size)
    write(tmp_path / "a.gguf", model, tokenizer=spoken)
    found = read(tmp_path / "a.gguf")
    assert found.end_ids == ()
    back = load_tokenizer(found.tokenizer_json, vocab_size=spoken.vocab_size)
    text = "The river’s\n\n  sea"
    assert back.encode(text).tolist() == spoken.encode(text).tolist()
    write(tmp_path / "b.gguf", model, tokenizer=back)
    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()


@pytest.mark.parametrize("number_type", ["f16", "q8_0", "q4_0"])
def test_rounded_weights_come_back_as_the_numbers_that_they_were_rounded_to(
    number_type: str, tmp_path: Path
) -> None:
    model = llama()
    write(tmp_path / "a.gguf", model, number_type)
    weights = weights_of(read(tmp_path / "a.gguf"))
    ours = model.blocks[1].feed_forward.up_proj.weight.detach().numpy()
    kind = GGMLQuantizationType[number_type.upper()]
    expected = quants.dequantize(quants.quantize(ours, kind), kind)
    assert np.array_equal(weights["blocks.1.feed_forward.up_proj.weight"].numpy(), expected)
    assert torch.equal(weights["blocks.0.attention_norm.weight"], torch.ones(32))
    write(tmp_path / "b.gguf", Portable(model.config, weights), number_type)
    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()


def test_bfloat16_is_read(tmp_path: Path) -> None:
    model = llama()
    write(tmp_path / "a.gguf", model)
    there = GGUFReader(tmp_path / "a.gguf")
    writer = GGUFWriter(tmp_path / "bf16.gguf", "llama")
    for key, value in values(tmp_path / "a.gguf").items():
        kinds = there.fields[key].types
        if key != "general.architecture":
            writer.add_key_value(key, value, kinds[0], kinds[-1] if len(kinds) > 1 else None)
    for tensor in there.tensors:
        kind = GGMLQuantizationType.BF16 if tensor.data.ndim == 2 else GGMLQuantizationType.F32
        writer.add_tensor(tensor.name, quants.quantize(tensor.data, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    weights = weights_of(read(tmp_path / "bf16.gguf"))
    assert torch.equal(
        weights["embedding.weight"], model.embedding.weight.detach().bfloat16().float()
    )


def test_what_a_block_cannot_hold_is_kept_in_f16_and_told(tmp_path: Path) -> None:
    about = write(tmp_path / "a.gguf", llama(d_ff=48), "q4_0")
    kinds = {t.name: t.tensor_type.name for t in GGUFReader(tmp_path / "a.gguf").tensors}
    assert kinds["blk.0.ffn_down.weight"] == "F16"
    assert kinds["blk.0.ffn_up.weight"] == "Q4_0"
    assert kinds["output.weight"] == kinds["token_embd.weight"] == "Q8_0"
    assert kinds["blk.0.ffn_norm.weight"] == "F32"
    assert about.remarks == ("Kept as f16, because q4_0 cannot hold them: blk.*.ffn_down.weight.",)


def test_what_half_precision_cannot_hold_is_kept_in_f32_and_told(tmp_path: Path) -> None:
    model = llama()
    with torch.no_grad():
        model.blocks[0].feed_forward.up_proj.weight[0, 0] = 70_000.0
    about = write(tmp_path / "a.gguf", model, "f16")
    assert about.remarks == ("Kept as f32, because f16 cannot hold them: blk.*.ffn_up.weight.",)
    weight = weights_of(read(tmp_path / "a.gguf"))["blocks.0.feed_forward.up_proj.weight"]
    assert weight[0, 0] == 70_000


def test_what_the_file_says(tmp_path: Path) -> None:
    write(tmp_path / "a.gguf", llama(n_kv_heads=2, norm_eps=1e-6), "q8_0")
    said = values(tmp_path / "a.gguf")
    expected = {
        "general.architecture": "llama",
        "general.name": "tiny",
        "general.file_type": 7,
        "general.quantization_version": 2,
        "llama.context_length": 24,
        "llama.embedding_length": 32,
        "llama.block_count": 2,
        "llama.feed_forward_length": 88,
        "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 2,
        "llama.attention.key_length": 8,
        "llama.rope.dimension_count": 8,
        "llama.rope.freq_base": 10000.0,
    }
    assert {key: said[key] for key in expected} == expected
    assert said["llama.attention.layer_norm_rms_epsilon"] == np.float32(1e-6)
    assert len(said["tokenizer.ggml.tokens"]) == 256


def test_a_tied_head_is_left_out_where_it_may_be(tmp_path: Path) -> None:
    write(tmp_path / "a.gguf", llama(tied_head=True))
    assert "output.weight" not in {t.name for t in GGUFReader(tmp_path / "a.gguf").tensors}
    assert read(tmp_path / "a.gguf").config.tied_head


def test_rows_that_rope_turns_together_stand_side_by_side_in_llama(tmp_path: Path) -> None:
    model = llama(n_heads=2)
    write(tmp_path / "a.gguf", model)
    there = {t.name: t.data for t in GGUFReader(tmp_path / "a.gguf").tensors}
    ours = model.blocks[0].attention.q_proj.weight.detach().numpy()
    assert np.array_equal(there["blk.0.attn_q.weight"][:4], ours[[0, 8, 1, 9]])
    assert np.array_equal(there["blk.0.attn_q.weight"][16:18], ours[[16, 24]])


def test_llama3_frequencies_are_written_as_what_they_are_divided_by(tmp_path: Path) -> None:
    stretch = {"rope_scaling": "llama3", "rope_factor": 4.0, "rope_original_len": 12}
    config = llama(**stretch).config
    write(tmp_path / "a.gguf", llama(**stretch))
    factors = next(t for t in GGUFReader(tmp_path / "a.gguf").tensors if "rope" in t.name).data
    plain = rope_frequencies(replace(config, rope_scaling="none"))
    assert np.allclose(factors, (plain / rope_frequencies(config)).numpy())
    assert read(tmp_path / "a.gguf").config == replace(config, d_ff=88)


@pytest.mark.parametrize(
    ("head_dim", "theta", "factor", "original"),
    [(128, 500_000.0, 8.0, 8192), (64, 500_000.0, 32.0, 8192), (128, 10_000.0, 4.0, 4096)],
)
def test_llama3_is_found_out_of_its_factors_alone(
    head_dim: int, theta: float, factor: float, original: int, tmp_path: Path
) -> None:
    """Meta's own files do not say how far they stretch."""
    stretch = {"rope_scaling": "llama3", "rope_factor": factor, "rope_original_len": original}
    write(tmp_path / "a.gguf", llama(d_head=head_dim, rope_theta=theta, n_layers=1, **stretch))
    silent = retold(tmp_path / "a.gguf", {"llama.rope.scaling.original_context_length": 1 << 18})
    found = read(silent).config
    assert (found.rope_scaling, found.rope_original_len) == ("llama3", original)
    assert found.rope_factor == pytest.approx(factor, rel=1e-4)


def test_idle_biases_are_left_out(tmp_path: Path) -> None:
    model = llama(bias=True)
    write(tmp_path / "a.gguf", model)
    assert not any("bias" in t.name for t in GGUFReader(tmp_path / "a.gguf").tensors)
    with torch.no_grad():
        model.blocks[0].attention.q_proj.bias[3] = 1
    write(tmp_path / "b.gguf", model)
    assert read(tmp_path / "b.gguf").config.bias
    assert similar(model, loaded(read(tmp_path / "b.gguf"))) == 0


def test_biases_that_a_file_lacks_are_zero(tmp_path: Path) -> None:
    """As in Qwen 2, whose queries, keys and values alone have them."""
    model = llama(bias=True)
    with torch.no_grad():
        model.blocks[0].attention.k_proj.bias.fill_(0.5)
    write(tmp_path / "a.gguf", model)
    gone = {f"blk.{i}.{name}.bias": ABSENT for i in (0, 1) for name in ("ffn_up", "attn_output")}
    assert similar(model, loaded(read(retold(tmp_path / "a.gguf", tensors=gone)))) == 0


def test_long_contexts_are_cut_and_told(tmp_path: Path) -> None:
    switches = {"activation": "gelu_tanh", "positions": "learned", "vocab_size": 256}
    model = tiny_model(max_seq_len=9000, n_layers=1, **switches)
    write(tmp_path / "a.gguf", model)
    found = read(tmp_path / "a.gguf")
    assert found.config.max_seq_len == 8192
    assert found.remarks == ("8192 of its 9000 positions are kept.",)
    assert torch.equal(weights_of(found)["position_table"], model.position_table.detach()[:8192])
    assert read(tmp_path / "a.gguf", 100).config.max_seq_len == 100
    assert read(tmp_path / "a.gguf", 20_000).config.max_seq_len == 9000


def test_rounding_is_told_when_it_comes_back(tmp_path: Path) -> None:
    write(tmp_path / "a.gguf", llama(), "q4_0")
    assert read(tmp_path / "a.gguf").remarks == (
        "Its weights were rounded to q4_0 and q8_0, and are float32 again.",
    )


@pytest.mark.parametrize(
    ("switches", "named", "hint"),
    [
        ({"activation": "relu"}, "activation=relu.", "activation=swiglu, relu2 or gelu_tanh"),
        ({"activation": "gelu"}, "activation=gelu.", "activation=swiglu, relu2 or gelu_tanh"),
        ({"activation": "swiglu", "norm_place": "post"}, "norm_place=post.", "norm_place=pre"),
        ({"activation": "relu2", "logit_softcap": 5.0}, "logit_softcap=5.0.", "logit_softcap=0"),
        ({"activation": "swiglu", "positions": "none"}, "positions=none.", "positions=rope"),
        ({"activation": "gelu_tanh", "norm": "rmsnorm"}, "norm=rmsnorm.", "norm=layernorm"),
        ({"activation": "relu2", "qk_norm": True, "bias": True}, "bias=true.", "bias=false"),
        ({"activation": "gelu_tanh", "qk_norm": True}, "qk_norm=true.", "qk_norm=false"),
        ({"activation": "swiglu", "parallel": True}, "parallel=true.", "parallel=false"),
        (
            {"activation": "swiglu", "norm": "rmsnorm", "rope_dims": 4},
            "rope_dims=4.",
            "rope_dims=0",
        ),
        ({"activation": "gelu_tanh", "d_head": 12}, "d_head=12.", "d_head=0"),
        (
            {
                "activation": "gelu_tanh",
                "rope_scaling": "llama3",
                "rope_factor": 4.0,
                "rope_original_len": 12,
            },
            "rope_scaling=llama3.",
            "rope_scaling=linear",
        ),
    ],
)
def test_the_switch_in_the_way_is_named(
    switches: dict[str, object], named: str, hint: str, tmp_path: Path
) -> None:
    model = lively_model(vocab_size=256, max_seq_len=24, **switches)
    with pytest.raises(ExportError) as caught:
        write(tmp_path / "a.gguf", model)
    assert str(caught.value).startswith("No architecture of llama.cpp computes this model: ")
    assert " comes nearest, and knows no " in str(caught.value)
    assert str(caught.value).endswith(f" {named}")
    assert caught.value.hint == f"Train with {hint}, or take another --format."
    assert not (tmp_path / "a.gguf").exists()


def test_progress_is_told_and_an_end_is_heard(tmp_path: Path) -> None:
    model = llama()
    portable = Portable(model.config, {n: p.detach() for n, p in model.named_parameters()})
    path = tmp_path / "a.gguf"
    told = list(write_gguf(portable, byte_tokenizer(), path, "tiny", "f32", lambda: False))
    assert told[0].stage == "writing the gguf"
    assert told[-1].share == 1
    work = write_gguf(portable, byte_tokenizer(), path, "tiny", "f32", lambda: True)
    with pytest.raises(Stopped):
        result_of(work)


def test_the_default_preset_can_go(tmp_path: Path) -> None:
    shape = {"vocab_size": 256, "n_layers": 1, "max_seq_len": 24}
    config = replace(preset("quick").model, **shape)
    about = write(tmp_path / "a.gguf", Transformer(config))
    assert about.architecture == "qwen3"
    assert about.remarks == (
        "Layer norms are written as RMS norms over centred weights: the same function.",
    )


@pytest.mark.parametrize("number_type", ["f32", "q8_0", "q4_0"])
def test_the_benchmarks_count_the_bytes_that_the_file_has(number_type: str, tmp_path: Path) -> None:
    model = llama(d_ff=96)
    write(tmp_path / "a.gguf", model, number_type=number_type)
    tensors = GGUFReader(tmp_path / "a.gguf").tensors
    sizes = {str(tensor.name): int(tensor.n_bytes) for tensor in tensors}
    norms = sum(n for name, n in sizes.items() if "norm" in name)
    assert gguf_bytes(model, number_type) == sum(sizes.values()) - norms
    table = sizes["token_embd.weight"] - sizes["token_embd.weight"] // model.config.vocab_size
    assert gguf_read(model, number_type) == sum(sizes.values()) - table
