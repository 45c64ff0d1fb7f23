"""Positions against independent computations."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.model.positions import rope_frequencies, rope_tables, rotate, sinusoidal_table
from core.testing import tiny_model_config


def tables(max_seq_len: int, head_dim: int, theta: float) -> tuple[torch.Tensor, torch.Tensor]:
    config = tiny_model_config(max_seq_len=max_seq_len, d_head=head_dim, rope_theta=theta)
    return rope_tables(config)


@pytest.mark.parametrize("theta", [10_000.0, 100.0])
def test_rope_turns_complex_numbers(theta: float) -> None:
    """Pair (h, h + H/2) as a complex number, times exp(i p theta^(-2h/H))."""
    x = torch.randn(50, 16, dtype=torch.float64)
    frequency = theta ** (-2 * torch.arange(8, dtype=torch.float64) / 16)
    turn = torch.exp(1j * torch.arange(50, dtype=torch.float64)[:, None] * frequency)
    turned = torch.complex(x[:, :8], x[:, 8:]) * turn
    expected = torch.cat([turned.real, turned.imag], dim=1)
    found = rotate(x, *tables(50, 16, theta))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@given(shift=st.integers(0, 40), distance=st.integers(0, 20))
def test_rope_knows_distances_alone(shift: int, distance: int) -> None:
    cos, sin = (t.double() for t in tables(64, 8, 100.0))
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 1, 8, dtype=torch.float64, generator=generator)

    def score(at: int) -> float:
        far, near = slice(at + distance, at + distance + 1), slice(at, at + 1)
        return float((rotate(q, cos[far], sin[far]) * rotate(k, cos[near], sin[near])).sum())

    assert score(shift) == pytest.approx(score(0), abs=1e-5)


def test_rope_keeps_lengths_and_the_first_position() -> None:
    x = torch.randn(10, 8)
    turned = rotate(x, *tables(10, 8, 10_000.0))
    torch.testing.assert_close(turned.norm(dim=1), x.norm(dim=1))
    assert torch.equal(turned[0], x[0])
    assert not torch.allclose(turned[1], x[1], atol=0.1)


def test_rope_tables_are_exact_far_out() -> None:
    """In float32 an angle of 100,000 would be off by 0.004."""
    cos, _ = tables(100_001, 4, 10_000.0)
    assert cos[100_000, 0].item() == pytest.approx(math.cos(100_000), abs=1e-6)
    assert cos[100_000, 1].item() == pytest.approx(math.cos(100_000 / 100), abs=1e-6)


@pytest.mark.parametrize("d_model", [8, 7])
def test_the_sinusoidal_table_is_its_formula(d_model: int) -> None:
    table = sinusoidal_table(30, d_model)
    assert table.shape == (30, d_model)
    for position in (0, 1, 13, 29):
        for column in range(d_model):
            angle = position / 10_000 ** (2 * (column // 2) / d_model)
            expected = math.cos(angle) if column % 2 else math.sin(angle)
            assert table[position, column].item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "theta", "factor", "original"),
    [
        ("linear", 10_000.0, 2.5, 64),
        ("llama3", 500_000.0, 8.0, 8192),
        ("llama3", 500_000.0, 32.0, 8192),
        ("llama3", 10_000.0, 4.0, 64),
    ],
)
def test_stretched_frequencies_are_those_of_transformers(
    kind: str, theta: float, factor: float, original: int
) -> None:
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    about = LlamaConfig(
        hidden_size=128,
        num_attention_heads=2,
        max_position_embeddings=original * 4,
        rope_parameters={
            "rope_type": kind,
            "rope_theta": theta,
            "factor": factor,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": original,
        },
    )
    expected, scale = ROPE_INIT_FUNCTIONS[kind](about, torch.device("cpu"))
    config = tiny_model_config(
        d_head=64,
        rope_theta=theta,
        rope_scaling=kind,
        rope_factor=factor,
        rope_original_len=original,
    )
    found = rope_frequencies(config)
    assert scale == 1.0
    torch.testing.assert_close(found.float(), expected, rtol=2e-6, atol=0)
    plain = rope_frequencies(tiny_model_config(d_head=64, rope_theta=theta))
    assert not torch.allclose(found, plain)


def test_a_factor_of_one_does_not_stretch() -> None:
    plain = rope_frequencies(tiny_model_config(d_head=16))
    for kind in ("linear", "llama3"):
        config = tiny_model_config(d_head=16, rope_scaling=kind, rope_original_len=8)
        torch.testing.assert_close(rope_frequencies(config), plain)


def test_rope_leaves_the_rest_of_a_head_alone() -> None:
    x = torch.randn(10, 8)
    cos, sin = rope_tables(tiny_model_config(max_seq_len=10, d_head=8, rope_dims=4))
    assert cos.shape == (10, 4)
    turned = rotate(x, cos, sin)
    assert torch.equal(turned[:, 4:], x[:, 4:])
    torch.testing.assert_close(turned[:, :4], rotate(x[:, :4], *tables(10, 4, 10_000.0)))
