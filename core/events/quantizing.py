"""What the quantisation of a model tells."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixQuantized:
    """One more matrix is packed, or left in 32 bits because it cannot be."""

    name: str
    """Of the parameter."""
    index: int
    """1 … of."""
    of: int
    bits: int
    group_size: int
    """Columns that share a scale; 0 is a whole row."""
    error: float
    """Root mean square of what its products lose, as a share of theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Two models on the same text, token by token: the one in full, and its approximation. As
    llama.cpp's `--kl-divergence` defines them; intervals are of 95 %, from blocks of the text."""

    tokens: int
    """Scored by both, each exactly once."""
    context: int
    loss_before: float
    """Nats per token."""
    loss_after: float
    perplexity_before: float
    perplexity_before_ci95: tuple[float, float]
    perplexity_after: float
    perplexity_after_ci95: tuple[float, float]
    ln_ratio: float
    """Of the perplexities: the mean difference of the losses."""
    ln_ratio_ci95: tuple[float, float]
    """Of the paired differences, hence with the covariance of the two."""
    kld: float
    """Mean divergence of the approximation's predictions from those in full, in nats."""
    kld_ci95: tuple[float, float]
    kld_percentiles: tuple[tuple[float, float], ...]
    """(percent, divergence): the median, 90, 95, 99, as far as there are tokens for it."""
    kld_max: float
    rms_dp: float
    """Root mean square of the change in the probability of the right token."""
    rms_dp_ci95: tuple[float, float]
    same_top1: float
    """Share of positions where both have the same first choice."""
    same_top1_ci95: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeSpeed:
    """Greedy decoding, the two models in turn."""

    before_tokens_per_s: float
    """Median."""
    after_tokens_per_s: float
    before_engine: str
    """"torch", "fast" or "graph"."""
    after_engine: str
    tokens: int
    """Of one repetition."""
    before_ms: tuple[float, ...]
    """Of each repetition."""
    after_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """A quantised run, and what it costs. Same fields as `minitf quantize --json`."""

    run: str
    path: str
    from_run: str
    from_step: int
    bits: int
    group_size: int
    symmetric: bool
    method: str
    """"gptq", "search" or "nearest"."""
    matrices: int
    """That are packed."""
    head_bits: int
    """Of the head, or of the embedding where that is the head."""
    bytes_before: int
    """Of the weights: float32."""
    bytes_after: int
    """Of the weights, packed ones packed."""
    calibration: str
    """What weighed the errors: "training text", "generated text", or "" where nothing did."""
    calibration_tokens: int
    text: str
    """What both were scored on: "validation split" or "generated text"."""
    quality: Quality
    speed: DecodeSpeed
    remarks: tuple[str, ...] = ()
    """What is not as one would think: sentences for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizationCompleted:
    """The last event of a quantisation."""

    result: Quantization
