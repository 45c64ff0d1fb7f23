"""Packed weights: what comes out is within half a scale of what went in, in the bytes promised."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import ConfigError
from core.model.packed import PackedMatrix, pack_codes, pack_nearest

KINDS = [(8, 0, True), (8, 32, True), (4, 32, True), (4, 64, True), (4, 128, True)] + [
    (4, group, False) for group in (32, 64, 128)
]


def matrix(seed: int, rows: int, cols: int, size: float, shift: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(rows, cols, generator=generator) + shift) * size


@settings(deadline=None, max_examples=60)
@given(
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 10**6),
    rows=st.integers(1, 9),
    blocks=st.integers(1, 4),
    size=st.sampled_from([1e-6, 1e-4, 0.02, 1.0, 300.0]),
    shift=st.sampled_from([-3.0, 0.0, 0.5, 50.0]),
)
def test_errors_are_within_half_a_scale(
    kind: tuple[int, int, bool], seed: int, rows: int, blocks: int, size: float, shift: float
) -> None:
    bits, group, symmetric = kind
    weight = matrix(seed, rows, 128 * blocks, size, shift)
    packed = pack_nearest(weight, bits, group, symmetric=symmetric)
    error = (packed.dequantize() - weight).abs().view(rows, packed.scales.size(1), -1)
    half = packed.scales.float().abs().unsqueeze(2) / 2
    assert bool((error <= half * (1 + 1e-4) + weight.abs().max() * 1e-6).all())


@settings(deadline=None, max_examples=60)
@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 10**6), rows=st.integers(1, 5))
def test_codes_come_back_as_they_went_in(kind: tuple[int, int, bool], seed: int, rows: int) -> None:
    bits, group, symmetric = kind
    rng = np.random.default_rng(seed)
    low, high = (-127, 127) if bits == 8 else (0, 15)
    codes = torch.from_numpy(rng.integers(low, high + 1, (rows, 256)))
    scales = torch.from_numpy(rng.standard_normal((rows, 256 // group if group else 1)))
    zeros = None if symmetric else torch.from_numpy(rng.uniform(0, 15, scales.shape))
    packed = pack_codes(codes, scales, zeros, bits, group)
    assert torch.equal(packed.unpack().long(), codes)
    zero = packed.zeros.double() if packed.zeros is not None else 8.0 if bits == 4 else 0.0
    width = group or 256
    wide = torch.as_tensor(zero, dtype=torch.float64).expand(scales.shape)
    expected = packed.scales.double().repeat_interleave(width, 1) * (
        codes - wide.repeat_interleave(width, 1)
    )
    torch.testing.assert_close(packed.dequantize().double(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("bits", "group", "symmetric", "nbytes"),
    [
        (8, 0, True, 3 * 256 + 3 * 2),
        (8, 32, True, 3 * 256 + 3 * 8 * 2),
        (4, 32, True, 3 * 128 + 3 * 8 * 2),
        (4, 128, True, 3 * 128 + 3 * 2 * 2),
        (4, 64, False, 3 * 128 + 3 * 4 * 4),
    ],
)
def test_bytes_to_the_byte(bits: int, group: int, symmetric: bool, nbytes: int) -> None:
    assert pack_nearest(matrix(0, 3, 256, 1.0), bits, group, symmetric=symmetric).nbytes == nbytes


def test_byte_j_holds_columns_j_and_j_plus_half_a_group() -> None:
    codes = torch.arange(64).remainder(16).view(1, 64)
    packed = pack_codes(codes.flip(1), torch.ones(1, 2), None, 4, 32)
    turned = codes.flip(1)[0].tolist()
    assert packed.codes[0, 3].item() == turned[3] | turned[3 + 16] << 4
    assert packed.codes[0, 16 + 5].item() == turned[32 + 5] | turned[32 + 5 + 16] << 4


@pytest.mark.parametrize(("bits", "group", "symmetric"), KINDS)
def test_zeros_stay_zero(bits: int, group: int, symmetric: bool) -> None:
    weight = matrix(1, 2, 128, 1.0)
    weight[1] = 0
    packed = pack_nearest(weight, bits, group, symmetric=symmetric)
    assert torch.count_nonzero(packed.dequantize()[1]) == 0


@pytest.mark.parametrize("cols", [1, 7, 100])
def test_int8_rows_take_any_width(cols: int) -> None:
    packed = pack_nearest(matrix(2, 3, cols, 1.0), 8, 0)
    assert packed.dequantize().shape == (3, cols)


def test_the_extreme_of_either_sign_is_kept() -> None:
    weight = torch.full((2, 32), 0.01)
    weight[0, 5], weight[1, 6] = 8.5, -8.5
    scales = pack_nearest(weight, 4, 32).scales[:, 0].tolist()
    assert scales == [-1.0, 1.0]


@pytest.mark.parametrize(
    ("bits", "group", "cols", "message", "hint"),
    [
        (5, 32, 64, "bits=5 is not a packed width.", "Choose 8 or 4."),
        (
            4,
            0,
            64,
            "group_size=0 is not a group of 4-bit weights.",
            "Choose 32, 64 or 128; with 8 bits also 0, the whole row.",
        ),
        (
            4,
            64,
            96,
            "96 columns do not divide into groups of 64.",
            "Choose a smaller group, 8 bits with one scale a row, or leave the matrix as is.",
        ),
    ],
)
def test_impossible_layouts_are_refused(
    bits: int, group: int, cols: int, message: str, hint: str
) -> None:
    for refused in (
        lambda: pack_nearest(torch.ones(2, cols), bits, group),
        lambda: pack_codes(torch.ones(2, cols), torch.ones(2, 1), None, bits, group),
    ):
        with pytest.raises(ConfigError) as caught:
            refused()
        assert (str(caught.value), caught.value.hint) == (message, hint)


def test_asymmetric_int8_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        pack_nearest(torch.ones(2, 32), 8, 0, symmetric=False)
    assert str(caught.value) == "8-bit weights are symmetric here, but symmetric=False."
    assert caught.value.hint == "Leave symmetric on, or choose 4 bits."


@pytest.mark.parametrize(
    ("value", "largest"), [(float("nan"), "nan"), (float("inf"), "inf"), (1e9, "7.87402e+06")]
)
def test_weights_without_a_scale_are_refused(value: float, largest: str) -> None:
    weight = torch.ones(2, 32)
    weight[0, 3] = value
    scale = torch.full((2, 1), value / 127)
    for refused in (
        lambda: pack_nearest(weight, 8, 0),
        lambda: pack_codes(torch.ones(2, 32), scale, None, 8, 0),
    ):
        with pytest.raises(ConfigError) as caught:
            refused()
        message = f"The weights have no float16 scale: the largest would be {largest}."
        assert str(caught.value) == message
        hint = "Look for infinite or NaN weights; quantise an earlier checkpoint."
        assert caught.value.hint == hint


def test_codes_that_do_not_fit_are_refused() -> None:
    codes = torch.zeros(2, 32)
    codes[0, 0] = 16
    with pytest.raises(ConfigError) as caught:
        pack_codes(codes, torch.ones(2, 1), None, 4, 32)
    assert str(caught.value) == "Codes from 0 to 16 do not fit 4 bits."
    assert caught.value.hint == "Clamp them to 0 … 15."


def test_parts_of_another_shape_are_refused() -> None:
    whole = pack_nearest(torch.ones(2, 32), 8, 0)
    with pytest.raises(ConfigError) as caught:
        PackedMatrix(8, 0, (2, 32), whole.codes, whole.scales[:1])
    assert str(caught.value) == (
        "The scales of a packed matrix (2, 32) are (1, 1) torch.float16, "
        "not contiguous (2, 1) torch.float16."
    )
    assert caught.value.hint == "Quantise the run again; the stored matrix is damaged."
