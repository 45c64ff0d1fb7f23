"""What a benchmark has told so far, by variant: the words between its pane and its views. Pure.

Equal variants are kept apart, for that is an A/A comparison: what is told of one of them belongs
to the first that has heard less.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from core.events import (
    BenchCell,
    Benchmark,
    BenchPlanned,
    CellSettled,
    Event,
    Limits,
    Ratio,
    RepetitionCompleted,
    Variant,
)
from minitf_tui.sanitize import clean_line

CACHES = {"none": "no cache", "static": "KV cache", "int8": "int8 cache"}
"""Others are named as they are."""
APPROXIMATE = "≈"
"""Before a path that trades exactness for speed or room."""
BITS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
_FAR = 3.5
"""Modified z-score from which a value is marked (Iglewicz and Hoaglin, 1993)."""


@dataclass(slots=True)
class Track:
    """One variant: its repetitions, and its cells once they have settled."""

    variant: Variant
    label: str
    repetitions: list[RepetitionCompleted] = field(default_factory=list)
    cells: dict[str, BenchCell] = field(default_factory=dict)
    """By phase."""

    @property
    def warm_ups(self) -> list[RepetitionCompleted]:
        """In the order in which they were made."""
        return [event for event in self.repetitions if event.index < 1]

    @property
    def counted(self) -> list[RepetitionCompleted]:
        """In the order in which they were made."""
        return [event for event in self.repetitions if event.index >= 1]

    @property
    def decode(self) -> BenchCell | None:
        """Its decode cell, once it has settled."""
        return self.cells.get("decode")

    @property
    def tokens(self) -> int:
        """Decoded in a repetition; 0 before the first."""
        return self.repetitions[-1].tokens if self.repetitions else 0

    @property
    def step_ms(self) -> tuple[float, ...]:
        """Time of a token in each counted repetition, the mean over its tokens."""
        return tuple(event.decode_ms / max(1, event.tokens) for event in self.counted)

    @property
    def mean_ms(self) -> float:
        """Of a token; NaN before the first counted repetition."""
        return statistics.fmean(self.step_ms) if self.counted else math.nan

    @property
    def sd_ms(self) -> float:
        """Of the repetitions' time per token, with n - 1; 0 with one repetition."""
        return statistics.stdev(self.step_ms) if len(self.counted) > 1 else 0.0

    @property
    def first_token_ms(self) -> float:
        """Mean time of the prefill, until the first token; NaN before a counted repetition."""
        times = [event.prefill_ms for event in self.counted]
        return statistics.fmean(times) if times else math.nan

    @property
    def half_width(self) -> float | None:
        """Half of the 95 % interval of the mean, as a share of it; None where it is not known."""
        told = self.counted[-1].interval_ms if self.counted else None
        low, high = (self.decode.interval_ms if self.decode else told) or (math.nan, math.nan)
        middle = (low + high) / 2
        return (high - low) / 2 / middle if middle > 0 and math.isfinite(high - low) else None

    @property
    def tokens_per_s(self) -> float | None:
        """At the median; None before the first counted repetition."""
        if self.decode:
            return self.decode.tokens_per_s
        middle = statistics.median(self.step_ms) if self.counted else 0.0
        return 1000 / middle if middle > 0 else None

    @property
    def is_ranked(self) -> bool:
        """False once its proof has failed: a wrong answer has no speed."""
        return all(cell.is_ranked for cell in self.cells.values())


class Board:
    """All variants of a benchmark, in the order of its plan."""

    def __init__(self) -> None:
        self.tracks: list[Track] = []
        self.skipped: tuple[str, ...] = ()
        self.limits: Limits | None = None
        self.ratios: tuple[Ratio, ...] = ()
        self.result: Benchmark | None = None
        self.heard = 0
        """Repetitions, warm-ups included."""

    def hear(self, event: Event) -> bool:
        """Take an event in; False if it is none of a benchmark's measurements."""
        match event:
            case BenchPlanned():
                names = labels(event.variants)
                pairs = zip(event.variants, names, strict=True)
                self.tracks = [Track(variant, name) for variant, name in pairs]
                self.skipped = event.skipped
            case RepetitionCompleted():
                self.heard += 1
                self._of(event.variant, lambda track: len(track.repetitions)).repetitions.append(
                    event
                )
            case CellSettled():
                self._settle(event.cell)
            case _:
                return False
        return True

    def complete(self, result: Benchmark) -> None:
        """All has been measured; the cells of the result replace what was heard of them."""
        for track in self.tracks:
            track.cells.clear()
        for cell in result.cells:
            self._settle(cell)
        self.result, self.ratios, self.limits = result, result.ratios, result.limits
        self.skipped = result.skipped or self.skipped

    @property
    def settled(self) -> int:
        """Variants that are done."""
        return sum(track.decode is not None for track in self.tracks)

    def share(self, reps: int) -> float:
        """How much is done, if `reps` counted repetitions are enough for each."""
        done = [
            1.0 if track.decode else min(0.95, len(track.counted) / max(1, reps))
            for track in self.tracks
        ]
        return statistics.fmean(done) if done else 0.0

    def ranks(self) -> dict[int, int]:
        """Place in the list -> 1 for the fastest; those that are not ranked have none."""
        speeds = {
            place: track.tokens_per_s
            for place, track in enumerate(self.tracks)
            if track.is_ranked and track.tokens_per_s
        }
        order = sorted(speeds, key=lambda place: -(speeds[place] or 0))
        return {place: rank for rank, place in enumerate(order, 1)}

    def label(self, variant: Variant) -> str:
        """What the variant is called here."""
        found = (track.label for track in self.tracks if track.variant == variant)
        return next(found, clean_line(variant.label))

    def _settle(self, cell: BenchCell) -> None:
        self._of(cell.variant, lambda track: cell.phase in track.cells).cells[cell.phase] = cell

    def _of(self, variant: Variant, heard: object) -> Track:
        equal = [track for track in self.tracks if track.variant == variant]
        if not equal:  # one that was not planned: shown all the same
            equal = [Track(variant, clean_line(variant.label))]
            self.tracks += equal
        return min(equal, key=heard)  # type: ignore[call-overload]


def outliers(samples: Sequence[float]) -> list[int]:
    """Places of values far from the median, by the modified z-score; none among few values."""
    if len(samples) < 3:
        return []
    middle = statistics.median(samples)
    spread = statistics.median(abs(value - middle) for value in samples)
    limit = _FAR * spread / 0.6745
    return [i for i, value in enumerate(samples) if spread > 0 and abs(value - middle) > limit]


def labels(variants: Sequence[Variant]) -> list[str]:
    """A short name for each, of what differs among them; equal ones are numbered."""
    parts = [_parts(variant) for variant in variants]
    varying = [len({part[i] for part in parts}) > 1 for i in range(len(parts[0]))] if parts else []
    if not any(varying) and parts:
        varying = [True, True, *varying[2:]]
    names = []
    for variant, words in zip(variants, parts, strict=True):
        told = [word for word, varies in zip(words, varying, strict=True) if varies and word]
        name = " ".join(told) or words[0]
        is_close = not variant.is_exact and not variant.rival
        names.append(f"{APPROXIMATE} {name}" if is_close else name)
    return list(_numbered(names))


def _parts(variant: Variant) -> tuple[str, ...]:
    """Engine, cache, numbers, threads, prompt, depth, each as one word or two."""
    stored = clean_line(BITS.get(variant.dtype, variant.dtype))
    numbers = f"int{variant.bits}" if variant.bits else stored
    own = (clean_line(variant.engine), CACHES.get(variant.cache) or clean_line(variant.cache))
    return (
        *((clean_line(variant.rival), "") if variant.rival else own),
        numbers,
        f"{variant.threads} thr",
        f"prompt {variant.prompt_tokens:,}",
        f"at {variant.depth:,}",
    )


def _numbered(names: Sequence[str]) -> Iterator[str]:
    for place, name in enumerate(names):
        if names.count(name) > 1:
            yield f"{name} ({names[: place + 1].count(name)})"
        else:
            yield name
