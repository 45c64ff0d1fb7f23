"""What a benchmark tells: its plan, each repetition, each cell, and the result.

Times are of one whole phase: prefill reads the prompt and chooses the first token, decode
writes the tokens after it, one by one. A cell is one phase of one variant.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way to decode the same weights: a point of the grid."""

    engine: str
    """"torch", the reference, "fast" or "graph"; of a rival its name."""
    cache: str
    """"none", "static", or one of the others that keep keys and values."""
    dtype: str
    """"float32" or "bfloat16": of matrix products."""
    bits: int
    """Of each weight: 0 as stored; 8 or 4 rounded to the nearest for the benchmark alone."""
    threads: int
    prompt_tokens: int
    """Read in prefill."""
    depth: int
    """Positions held when decode begins, those of the prompt among them."""
    rival: str = ""
    """Another program that runs the same weights; "" is minitf itself."""

    @property
    def label(self) -> str:
        """What tells it from others of the same workload, short: "fast, KV cache, 8 bits"."""
        if self.rival:
            return self.rival + (f", {self.bits} bits" if self.bits else "")
        cache = {"none": "no cache", "static": "KV cache"}.get(self.cache, f"{self.cache} cache")
        bits = f", {self.bits} bits" if self.bits else ""
        return f"{self.engine}, {cache}{bits}"

    @property
    def is_exact(self) -> bool:
        """Promises the plain engine's own numbers up to rounding; others trade some for speed."""
        return not self.rival and not self.bits and self.cache in ("none", "static")


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchPlanned:
    """What will be timed. Variants may be equal: that is an A/A comparison."""

    variants: tuple[Variant, ...]
    skipped: tuple[str, ...] = ()
    """A sentence for each part of the grid that is not possible here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepetitionCompleted:
    """One whole prefill and decode was timed."""

    variant: Variant
    index: int
    """The first counted one is 1; warm-ups are 0, -1, … in the order in which they were made."""
    prefill_ms: float
    """Until the first new token was chosen."""
    decode_ms: float
    tokens: int
    """Decoded in `decode_ms`."""
    is_stable: bool
    """Of a warm-up: the last ones do not get faster any more. Counted ones are."""
    steps_ms: tuple[float, ...] = ()
    """Of each decoded token; empty where an engine writes all of them in one go."""
    interval_ms: tuple[float, float] | None = None
    """95 % interval of the mean decode time so far; None below two counted repetitions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What bounds a cell, and how near to that bound it comes."""

    bound: str
    """"dispatch", "bytes" or "FLOPs"."""
    limit_tokens_per_s: float
    """At that bound."""
    fraction: float
    """Of the limit that was reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the machine can do at most, measured."""

    dispatch_us: float
    """Of one small operation."""
    bytes_per_s: float
    """Read from memory by a matrix times a vector."""
    flops_per_s: float
    """Of matrix products."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """How near a path comes to the plain one, on the benchmark's own prompt."""

    identical_tokens: int
    """Greedy choices that are those of the plain model, run over whole windows without a cache."""
    of: int
    near_ties: int
    """Differing choices between which the plain engine was undecided: its two best logits lie
    within what rounding can turn over."""
    max_logit_diff: float
    """Over the generated text and over teacher-forced held-out text."""
    held_out_tokens: int
    """Positions compared on held-out text."""
    mean_kld: float
    """Of the next token's distribution from the plain one, in nats, over all these positions."""
    passes: bool
    """All choices are the same but for near ties, and so are the distributions up to rounding."""
    is_exact: bool = True
    """False: the path is approximate by design, and the figures are its cost."""
    loss_difference: float = 0.0
    """On the held-out text, in nats per token: above 0 is worse than the plain model."""
    plain: str = "torch, no cache"
    """What it was held against."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchCell:
    """One phase of one variant."""

    variant: Variant
    phase: str
    """"prefill" or "decode"."""
    depth: int
    """Positions already held when the phase begins."""
    tokens: int
    """Processed in one repetition."""
    mean_ms: float
    sd_ms: float
    """Sample standard deviation (n - 1), two passes in float64; 0 with one sample."""
    median_ms: float
    min_ms: float
    samples_ms: tuple[float, ...]
    """One whole phase per repetition, in the order in which they were made."""
    tokens_per_s: float
    """At the median."""
    cache_bytes: int
    """Held for keys and values at the end of the phase."""
    outliers: tuple[int, ...] = ()
    """Places in `samples_ms` with a modified z-score above 3.5; marked, never removed."""
    interval_ms: tuple[float, float] | None = None
    """95 % interval of the mean (Student's t); None with one sample."""
    peak_bytes: int | None = None
    """Most memory held in a repetition: on a GPU of tensors, else of the process with all that it
    holds beside; None where the system does not tell."""
    warm_ups: int = 0
    verdict: Verdict | None = None
    proof: Proof | None = None
    """None for the plain engine itself, and for rivals."""
    is_ranked: bool = True
    """False where an exact path's proof failed: a wrong answer has no speed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellSettled:
    """Its interval is narrow enough, or its budget has ended."""

    cell: BenchCell


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """Decode time of one variant over that of another, timed in turns."""

    left: Variant
    right: Variant
    ratio: float
    """Above 1 the right one is faster."""
    ci95: tuple[float, float]
    """Bootstrap over interleaved repetitions, resampled in pairs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """Ways to decode one model, timed and proved. Same fields as `minitf bench --json`."""

    cells: tuple[BenchCell, ...]
    ratios: tuple[Ratio, ...]
    limits: Limits | None
    speedup: float
    """Decode of the first variant over the fastest ranked one of the same workload, at the
    medians."""
    skipped: tuple[str, ...] = ()
    """See `BenchPlanned`."""
    environment: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkCompleted:
    """The last event of a benchmark."""

    run: str
    step: int
    result: Benchmark
