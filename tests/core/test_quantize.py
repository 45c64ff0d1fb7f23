"""Rounding: which matrices, how well, and that a model holds what its packed matrices say."""

from __future__ import annotations

import pytest
import torch

from core.config import QuantizeConfig
from core.errors import ConfigError
from core.infer.calibration import walk, written_by
from core.infer.gptq import pack_gptq
from core.infer.quantize import n_bytes, plan, quantize
from core.infer.scales import round_to, search, values_of
from core.model.packed import pack_nearest
from core.model.transformer import Transformer
from core.testing import CPU, MODEL_SWITCHES, result_of, tiny_model

IDS = torch.randint(31, (6, 20), generator=torch.Generator().manual_seed(1))
BY_BITS = [(8, 0, True), (8, 32, True), (4, 32, True), (4, 64, True), (4, 32, False)]


def refused(config: QuantizeConfig, model: Transformer | None = None) -> str:
    with pytest.raises(ConfigError) as found:
        plan(model or tiny_model(), config)
    return f"{found.value} {found.value.hint}"


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("switches", MODEL_SWITCHES.values(), ids=MODEL_SWITCHES)
def test_every_kind_of_model_computes_with_what_its_packed_matrices_stand_for(switches):
    model = tiny_model(**switches)
    config = QuantizeConfig(bits=4)
    layouts = plan(model, config)
    done = list(quantize(model, layouts, "gptq", IDS))
    assert {found.layout for found in done} == set(layouts)
    assert set(model.packed) == {layout.name for layout in layouts}
    for name, matrix in model.packed.items():
        assert torch.equal(model.get_parameter(name), matrix.dequantize())
    wide = {name for name, p in model.named_parameters() if p.dim() == 2 and "table" not in name}
    assert set(model.packed) == wide
    assert all(0 <= found.error < 0.5 for found in done)


@pytest.mark.parametrize(("bits", "group_size", "symmetric"), BY_BITS)
def test_a_search_errs_less_than_the_nearest_codes(bits, group_size, symmetric):
    weight = drawn(16, 128) * torch.linspace(0.1, 2, 128)
    importance = torch.linspace(5, 0.1, 128)
    plain = pack_nearest(weight, bits, group_size, symmetric=symmetric).dequantize()
    n_groups = 128 // (group_size or 128)
    groups = weight.view(16, n_groups, -1)
    scales, zeros = search(groups, importance.view(n_groups, -1), bits, symmetric=symmetric)
    found = values_of(round_to(groups, scales, zeros, bits), scales, zeros).view(16, 128)
    lost, lost_plainly = ((importance * (x - weight).square()).sum() for x in (found, plain))
    assert lost < lost_plainly


@pytest.mark.parametrize(("bits", "group_size", "symmetric"), BY_BITS)
def test_the_products_of_gptq_err_less_than_those_of_a_search(bits, group_size, symmetric):
    inputs = drawn(512, 128, seed=1) @ drawn(128, 128, seed=2)
    moments = (inputs.T @ inputs / 512).double()
    weight = drawn(16, 128)
    matrix = pack_gptq(weight, moments, bits, group_size, symmetric=symmetric)
    plain = pack_nearest(weight, bits, group_size, symmetric=symmetric)
    lost = [(inputs @ (m.dequantize() - weight).T).square().mean() for m in (matrix, plain)]
    assert lost[0] < 0.7 * lost[1]
    assert (matrix.bits, matrix.group_size, matrix.zeros is None) == (bits, group_size, symmetric)


def test_gptq_is_the_algorithm_of_the_paper():
    """Equation 2 and 3 of arXiv:2210.17323 as they stand, one column at a time, no blocks."""
    weight, inputs = drawn(5, 160), drawn(400, 160, seed=3)
    moments = (inputs.T @ inputs / 400).double()
    matrix = pack_gptq(weight, moments, 8, 0)
    damped = moments + 0.01 * moments.diagonal().mean() * torch.eye(160, dtype=torch.float64)
    left, codes = weight.double(), []
    scales = matrix.scales.double()[:, 0]
    for i in range(160):
        inverse = torch.linalg.inv(damped[i:, i:])
        code = torch.round(left[:, i] / scales).clamp(-127, 127)
        error = (left[:, i] - scales * code) / inverse[0, 0]
        left[:, i:] -= error[:, None] * inverse[0][None, :]
        codes.append(code)
    same = (torch.stack(codes, 1) == matrix.codes).double().mean()
    assert same > 0.995  # float32 and float64 part at halves


def test_an_input_that_is_never_there_and_weights_of_zero_do_no_harm():
    moments = torch.eye(64, dtype=torch.float64)
    moments[3, 3] = 0
    weight = drawn(4, 64)
    weight[1] = 0
    found = pack_gptq(weight, moments, 4, 32).dequantize()
    assert torch.isfinite(found).all()
    assert (found[1] == 0).all()
    assert torch.isfinite(pack_gptq(weight, torch.zeros_like(moments), 4, 32).dequantize()).all()


def test_the_moments_are_those_of_the_inputs():
    model = tiny_model()
    seen = dict(walk(model, IDS))
    inputs: list[torch.Tensor] = []
    module = model.blocks[1].feed_forward.down_proj
    handle = module.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    model(IDS)
    handle.remove()
    rows = inputs[0].flatten(0, 1).double()
    found = seen[("blocks.1.feed_forward.down_proj.weight",)]
    torch.testing.assert_close(found, rows.T @ rows / len(rows), rtol=1e-4, atol=1e-6)
    assert next(iter(seen)) == tuple(f"blocks.0.attention.{x}_proj.weight" for x in "qkv")
    assert list(seen)[-1] == ("head.weight",)


def test_later_matrices_see_what_earlier_ones_have_become():
    model = tiny_model()
    moments = []
    for i, (names, found) in enumerate(walk(model, IDS)):
        moments.append(found)
        if i == 0:
            with torch.no_grad():
                for name in names:
                    model.get_parameter(name).zero_()
    assert not moments[1].any()


def test_a_model_writes_a_text_of_its_own():
    model = tiny_model()
    ids = result_of(written_by(model, 7, 3, 12, 5, CPU))
    again = result_of(written_by(model, 7, 3, 12, 5, CPU))
    assert ids.shape == (3, 12)
    assert (ids == again).all()
    assert (ids[:, 0] == 7).all()
    assert len({tuple(row) for row in ids.tolist()}) == 3


def test_embedding_and_head_have_eight_bits_unless_somebody_says_otherwise():
    model = tiny_model()
    bits = {x.name: x.bits for x in plan(model, QuantizeConfig(bits=4))}
    assert bits["embedding.weight"] == bits["head.weight"] == 8
    assert bits["blocks.0.attention.q_proj.weight"] == 4
    narrow = {x.name: x.bits for x in plan(model, QuantizeConfig(bits=4, head_bits=4))}
    assert set(narrow.values()) == {4}
    without = {x.name for x in plan(model, QuantizeConfig(bits=4, head_bits=32))}
    assert without == set(bits) - {"embedding.weight", "head.weight"}


def test_some_matrices_are_kept_and_some_have_eight_bits():
    config = QuantizeConfig(bits=4, keep=("blocks.0.*",), eight=("*down_proj*",))
    found = {x.name: (x.bits, x.group_size) for x in plan(tiny_model(), config)}
    assert not any(name.startswith("blocks.0.") for name in found)
    assert found["blocks.1.feed_forward.down_proj.weight"] == (8, 0)
    assert found["blocks.1.feed_forward.up_proj.weight"] == (4, 32)


def test_a_width_that_does_not_divide_falls_back_and_says_so():
    found = {x.name: x for x in plan(tiny_model(), QuantizeConfig(bits=4, group_size=64))}
    narrower = found["blocks.0.attention.q_proj.weight"]
    assert (narrower.bits, narrower.group_size) == (4, 32)
    assert narrower.note == (
        "blocks.0.attention.q_proj.weight: 32 columns do not divide into groups of 64;"
        " they are of 32."
    )
    odd = {x.name: x for x in plan(tiny_model(d_ff=36), QuantizeConfig(bits=4))}
    row = odd["blocks.0.feed_forward.down_proj.weight"]
    assert (row.bits, row.group_size) == (8, 0)
    assert row.note.endswith("36 columns do not divide into groups of 32; it has 8 bits.")
    wide = {x.name: x for x in plan(tiny_model(d_ff=36), QuantizeConfig(bits=8, group_size=32))}
    row = wide["blocks.0.feed_forward.down_proj.weight"]
    assert (row.bits, row.group_size) == (8, 0)
    assert row.note.endswith("36 columns do not divide into groups of 32; a row is one.")


def test_bytes_are_counted_as_a_checkpoint_holds_them():
    model = tiny_model()
    whole = n_bytes(model)
    assert whole == 4 * sum(p.numel() for p in model.parameters())
    list(quantize(model, plan(model, QuantizeConfig()), "nearest", IDS))
    small = sum(m.shape[0] * (m.shape[1] + 2) for m in model.packed.values())
    rest = 4 * sum(p.numel() for n, p in model.named_parameters() if n not in model.packed)
    assert n_bytes(model) == small + rest < whole / 3


def test_a_matrix_out_of_the_range_of_float16_stays_in_32_bits_and_says_so() -> None:
    model = tiny_model()
    large, small = "blocks.0.attention.q_proj.weight", "blocks.1.feed_forward.up_proj.weight"
    with torch.no_grad():
        model.get_parameter(large)[3, 3] = 1e6
        model.get_parameter(small).mul_(1e-6 / model.get_parameter(small).abs().max())
        model.blocks[1].attention.k_proj.weight.zero_()
    before = {name: model.get_parameter(name).clone() for name in (large, small)}
    layouts = plan(model, QuantizeConfig(bits=4))
    done = list(quantize(model, layouts, "gptq", IDS))
    assert len(done) == len(layouts) == len(model.packed) + 2
    kept = {layout.name: layout.note for layout in layouts if layout.bits == 32}
    assert kept == {
        name: f"{name}: its largest weight, {value}, has no good scale in float16; it stays in"
        " 32 bits."
        for name, value in ((large, "1e+06"), (small, "1e-06"))
    }
    assert all(torch.equal(model.get_parameter(name), weight) for name, weight in before.items())
    assert "blocks.1.attention.k_proj.weight" in model.packed
    with torch.no_grad():
        for weight in model.parameters():
            weight.fill_(1e9)
    assert refused(QuantizeConfig(), model) == (
        "Every matrix is kept in 32 bits. embedding.weight: its largest weight, 1e+09, has no good"
        " scale in float16; it stays in 32 bits."
    )


def test_a_search_refuses_what_float16_cannot_scale() -> None:
    with pytest.raises(ConfigError) as found:
        search(torch.full((1, 1, 32), 1e9), torch.ones(1, 32), 4, symmetric=True)
    assert str(found.value) == "Weights up to 1e+09 have no scale in float16."
    assert found.value.hint == "Leave the matrix in 32 bits."


def test_how_large_the_inputs_are_does_not_matter_to_a_search() -> None:
    groups, importance = drawn(4, 2, 32), torch.linspace(1, 9, 64).view(2, 32)
    plain, large = (search(groups, k * importance, 4, symmetric=False) for k in (1.0, 2.0**120))
    assert all(torch.equal(left, right) for left, right in zip(plain, large, strict=True))


def test_weights_that_are_not_finite_are_refused():
    model = tiny_model()
    with torch.no_grad():
        model.head.weight[0, 0] = torch.nan
    with pytest.raises(ConfigError, match=r"head\.weight holds a number that is not finite\.") as e:
        list(quantize(model, plan(model, QuantizeConfig()), "search", IDS))
    assert e.value.hint == "Its training diverged: quantise an earlier checkpoint."


@pytest.mark.parametrize("method", ["search", "gptq"])
def test_inputs_that_are_not_finite_are_refused(method: str):
    model = tiny_model()
    with torch.no_grad():
        model.blocks[0].attention_norm.weight.fill_(1e30)
    with pytest.raises(ConfigError) as found:
        list(quantize(model, plan(model, QuantizeConfig()), method, IDS))
    name = "blocks.0.attention.q_proj.weight"
    assert str(found.value) == (
        f"{name} is fed numbers that are not finite, or too large to square."
    )
    assert found.value.hint == "Its training diverged: quantise an earlier checkpoint."


def test_patterns_that_mean_nothing_and_everything_are_refused():
    assert refused(QuantizeConfig(keep=("blok*",))) == (
        "'blok*' is no matrix of this model."
        " There is blocks.0.attention.k_proj.weight, for example; * stands for anything."
    )
    everything = refused(QuantizeConfig(keep=("*",)))
    assert everything == "Every matrix is kept in 32 bits. Keep fewer."


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"bits": 3}, "bits=3 is not a choice. Try 8 or 4."),
        ({"group_size": 16}, "group_size=16 is not a choice. Try 0, 32, 64 or 128."),
        ({"head_bits": 2}, "head_bits=2 is not a choice. Try 0, 8, 4 or 32."),
        (
            {"asymmetric": True},
            "asymmetric is for 4 bits, and bits=8. Leave it out, or give bits=4.",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused(given, said):
    with pytest.raises(ConfigError) as found:
        QuantizeConfig(**given)
    assert f"{found.value} {found.value.hint}" == said
