"""Products in integers, against the dequantised matrix and the vector in float64."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from core.infer.engines import packed_kernels, rounding
from core.infer.engines.packed_layout import BLOCK, activation_bytes, lay_out
from core.model.packed import PackedMatrix, pack_nearest

KINDS = [(8, 0, True), (8, 32, True), (8, 128, True)] + [
    (4, group, symmetric) for group in (32, 64, 128) for symmetric in (True, False)
]
UNTOUCHED = np.float32(-77)


def entry(function: Any) -> Any:
    """A compiled function that Python can call."""
    return numba.njit(error_model="numpy")(function.py_func)


gemv_q4, gemv_q8 = entry(packed_kernels.gemv_q4), entry(packed_kernels.gemv_q8)
round_to_int8, round_to_int16 = entry(rounding.round_to_int8), entry(rounding.round_to_int16)


def aligned(nbytes: int) -> NDArray[np.uint8]:
    raw = np.full(nbytes + 80, 0xAB, np.uint8)
    return raw[-raw.ctypes.data % 64 :][: nbytes + 16]


def product(
    matrix: PackedMatrix, x: torch.Tensor, shares: list[tuple[int, int]] | None = None
) -> torch.Tensor:
    """W x, by the kernels; each share of rows in a call of its own."""
    laid, (rows, cols) = lay_out(matrix), matrix.shape
    xq, xs = (aligned(size) for size in activation_bytes(cols))
    y = np.full(rows + 16, UNTOUCHED)
    vector = np.ascontiguousarray(x.numpy())
    where = (vector.ctypes.data, xq.ctypes.data, xs.ctypes.data)
    if matrix.bits == 8:
        round_to_int16(*where, cols)
    else:
        round_to_int8(*where, cols, matrix.group_size)
    kernel = gemv_q8 if matrix.bits == 8 else gemv_q4
    for first, end in shares or [(0, rows)]:
        kernel(y.ctypes.data, *laid.addresses, *where, first, end, laid.cols, matrix.group_size)
    for buffer, size in zip((xq, xs), activation_bytes(cols), strict=True):
        assert (buffer[size:] == 0xAB).all(), "wrote past its buffer"
    assert (y[rows:] == UNTOUCHED).all(), "wrote past the rows"
    return torch.from_numpy(y[:rows].copy())


def rounded(x: torch.Tensor, matrix: PackedMatrix) -> torch.Tensor:
    """The activations as the kernels round them, in float64."""
    most, width = (32767, len(x)) if matrix.bits == 8 else (127, matrix.group_size)
    groups = x.double().view(-1, width)
    scale = groups.abs().amax(1, keepdim=True) / most
    return (torch.round(groups / scale.where(scale > 0, 1)) * scale).view(-1)


def matrix_and_vector(
    seed: int, rows: int, cols: int, kind: tuple[int, int, bool]
) -> tuple[PackedMatrix, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, cols, generator=generator) * 0.05
    bits, group, symmetric = kind
    matrix = pack_nearest(weight, bits, group, symmetric=symmetric)
    return matrix, torch.randn(cols, generator=generator)


def assert_is_product(y: torch.Tensor, matrix: PackedMatrix, x: torch.Tensor) -> None:
    weights = matrix.dequantize().double()
    size = weights.abs() @ x.double().abs()
    exact, with_rounding = weights @ x.double(), weights @ rounded(x, matrix)
    assert bool(((y.double() - with_rounding).abs() <= 2e-5 * size + 1e-12).all())
    step = 1 / 32767 if matrix.bits == 8 else 1 / 127
    largest = weights.abs().sum(1) * x.double().abs().max()
    assert bool(((y.double() - exact).abs() <= step * largest + 1e-12).all())


@settings(deadline=None, max_examples=80)
@given(
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 10**6),
    rows=st.integers(1, 40),
    blocks=st.integers(1, 9),
)
def test_products_are_those_of_the_dequantised_matrix(
    kind: tuple[int, int, bool], seed: int, rows: int, blocks: int
) -> None:
    cols = blocks * (kind[1] or 128)
    matrix, x = matrix_and_vector(seed, rows, cols, kind)
    assert_is_product(product(matrix, x), matrix, x)


@pytest.mark.parametrize("cols", [1, 7, 8, 15, 100, 513, 1030])
def test_int8_rows_of_any_width(cols: int) -> None:
    matrix, x = matrix_and_vector(cols, 13, cols, (8, 0, True))
    assert_is_product(product(matrix, x), matrix, x)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_shared_by_threads_are_those_of_one(kind: tuple[int, int, bool]) -> None:
    matrix, x = matrix_and_vector(3, 75, 256, kind)
    bounds = [0, BLOCK, BLOCK, 4 * BLOCK, 75]
    shares = list(pairwise(bounds))
    assert torch.equal(product(matrix, x, shares), product(matrix, x))


@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_codes_and_activations_do_not_overflow(kind: tuple[int, int, bool]) -> None:
    bits, group, symmetric = kind
    weight = torch.ones(8, 1024)
    weight[:, ::128] = -1.0
    matrix = pack_nearest(weight, bits, group, symmetric=symmetric)
    x = torch.full((1024,), 3.0)
    assert_is_product(product(matrix, x), matrix, x)
    assert_is_product(product(matrix, -x), matrix, -x)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [0.0, 1e-38, 1e-20, 1e20])
def test_activations_of_any_size(kind: tuple[int, int, bool], scale: float) -> None:
    matrix, x = matrix_and_vector(4, 9, 128, kind)
    y = product(matrix, x * scale)
    if scale > 1e-30:
        assert_is_product(y / scale, matrix, x)
    else:
        assert torch.count_nonzero(y) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_an_outlier_coarsens_only_its_own_scale(kind: tuple[int, int, bool]) -> None:
    matrix, x = matrix_and_vector(5, 9, 256, kind)
    x[17] = 1e4
    assert_is_product(product(matrix, x), matrix, x)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("place", [0, 77, 127])
def test_what_is_not_finite_comes_out_as_nan(
    kind: tuple[int, int, bool], value: float, place: int
) -> None:
    matrix, x = matrix_and_vector(6, 9, 128, kind)
    x[place] = value
    assert bool(torch.isnan(product(matrix, x)).all())


def products_of_all_kinds() -> list[list[float]]:
    found = []
    for kind in KINDS:
        matrix, x = matrix_and_vector(7, 21, 256, kind)
        found.append(product(matrix, x).tolist())
    return found


PLAIN = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
"""A processor of which numba knows nothing but its family."""
SCRIPT = """
import json, runpy
from core.infer.engines.packed_vectors import processor_has
names = runpy.run_path("tests/core/test_packed_kernels.py")
has = [processor_has(feature) for feature in ("avx2", "f16c")]
print(json.dumps([has, names["products_of_all_kinds"]()]))
"""


@pytest.mark.slow
def test_a_plain_processor_computes_the_same() -> None:
    ours = products_of_all_kinds()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=Path(__file__).parents[2],
        env={**os.environ, **PLAIN, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=True,
    )
    has, theirs = json.loads(done.stdout)
    assert has == [False, False]
    np.testing.assert_allclose(theirs, ours, rtol=2e-5, atol=1e-6)
