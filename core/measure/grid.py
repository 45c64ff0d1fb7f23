"""The grid of a benchmark: which variants are possible here, and why the others are not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

from core.config import BenchConfig, ModelConfig
from core.device import Device
from core.events import Variant

AXES = ("engine", "cache", "dtype", "bits", "threads", "prompt_tokens", "depth")
"""What variants can differ in."""
MACHINE = ("engine", "cache", "dtype", "bits", "threads")
"""Those that do not change the work."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A variant that is not possible."""

    variant: Variant
    reason: str
    """One sentence."""
    is_by_nature: bool = True
    """The combination makes no sense; else it would, but is not possible with this model here."""


def variants_of(config: BenchConfig, device: Device) -> list[Variant]:
    """Every combination of the lists, in their order; the last lists turn fastest.

    Args:
        device: what "auto" and 0 mean.
    """
    ways = product(config.dtype, config.threads, config.bits, config.engines, config.caches)
    return [
        Variant(
            engine=engine,
            cache=cache,
            dtype=device.dtype if dtype == "auto" else dtype,
            bits=bits,
            threads=threads or device.threads,
            prompt_tokens=prompt,
            depth=depth,
        )
        for (prompt, depth), (dtype, threads, bits, engine, cache) in product(
            workloads(config), ways
        )
    ]


def workloads(config: BenchConfig) -> list[tuple[int, int]]:
    """Lengths of the prompt, each with the depth at which decoding begins after it."""
    return [(prompt, depth or prompt) for depth in config.depths for prompt in config.prompt_tokens]


def reason_against(variant: Variant, config: BenchConfig, model: ModelConfig) -> str:
    """Why a variant makes no sense, in a sentence; empty if it may."""
    prompt, depth, n = variant.prompt_tokens, variant.depth, config.n
    if depth < prompt:
        return f"depth={depth} is below prompt_tokens={prompt}: decoding begins after the prompt."
    if depth in config.depths and depth + n > model.max_seq_len:
        return (
            f"depth={depth} and n={n} need {depth + n} positions, and the model has"
            f" max_seq_len={model.max_seq_len}."
        )
    if variant.engine != "fast" and variant.bits:
        return (
            f"The {variant.engine} engine decodes {variant.bits}-bit weights as float32: no bytes"
            " are saved."
        )
    if variant.engine != "torch" and variant.cache != "static":
        return f"The {variant.engine} engine has the static cache only, not {variant.cache!r}."
    if variant.engine == "fast" and variant.dtype != "float32":
        return f"The fast engine computes in float32, not in {variant.dtype}."
    return ""


def way_out(variant: Variant, config: BenchConfig, model: ModelConfig) -> str:
    """What to try instead of a grid of which this variant is the first, and none is possible."""
    room = model.max_seq_len - variant.depth
    if 2 <= room < config.n and variant.depth in config.depths:
        return f"Try n={room}."
    if room < config.n and variant.depth in config.depths:
        return "Try smaller depths, and a smaller n."
    return "Choose others."


def worth_telling(possible: Iterable[Variant], refused: Iterable[Refused]) -> tuple[str, ...]:
    """The reasons that took something out of the grid altogether: for each value that none of the
    possible variants has, why; that two lists do not go together only where that is all."""
    possible, refused = list(possible), list(refused)
    told: list[str] = []
    for axis in AXES:
        seen = {getattr(variant, axis) for variant in possible}
        for value in dict.fromkeys(getattr(one.variant, axis) for one in refused):
            about = [one for one in refused if getattr(one.variant, axis) == value]
            hard = [one for one in about if not one.is_by_nature]
            told += [one.reason for one in hard or about if value not in seen]
    return tuple(dict.fromkeys(told))


def comparable(variants: Iterable[Variant]) -> list[tuple[int, int]]:
    """Places of the pairs that do the same work and differ in one thing at most, so that a ratio
    says what that is worth; a rival is comparable to all with as many bits."""
    numbered = list(enumerate(variants))
    return [
        (i, j)
        for i, left in numbered
        for j, right in numbered[i + 1 :]
        if is_same_work(left, right)
        and (
            left.bits == right.bits
            if left.rival or right.rival
            else sum(getattr(left, axis) != getattr(right, axis) for axis in MACHINE) <= 1
        )
    ]


def is_same_work(left: Variant, right: Variant) -> bool:
    """Both read as long a prompt and write at the same depth."""
    return (left.prompt_tokens, left.depth) == (right.prompt_tokens, right.depth)
