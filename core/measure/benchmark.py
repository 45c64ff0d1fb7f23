"""Ways to decode one model, timed on real generation and proved against the plain model.

Each repetition reads a held-out prompt (prefill) and then writes n tokens greedily (decode).
Variants take turns in an order that changes, so that a machine that slows down slows all of them.
Warm-ups come first, until they get no faster; then repetitions, until the intervals are narrow or
the time is spent.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from core.config import BenchConfig
from core.device import Device, environment
from core.events import (
    Benchmark,
    BenchPlanned,
    CellSettled,
    Ratio,
    RepetitionCompleted,
    SetupProgressed,
)
from core.measure.contestants import Gathering
from core.measure.course import Course
from core.measure.grid import comparable, is_same_work
from core.measure.repetition import IsStopping
from core.measure.statistics import interval, paired_ratio, summarize
from core.model.transformer import Transformer
from core.text.tokenizer import Tokenizer

MOST_WARM_UPS = 8
WARMING_SHARE = 0.25
"""Of the time, after which warming up ends."""
LOOKS = 50
"""Rounds after which the intervals are no longer looked at after each one, which takes longer the
more there are."""
ORDER_SEED = 0
MEASURING = "measuring what this machine can do"

Told = SetupProgressed | BenchPlanned | RepetitionCompleted | CellSettled
Telling = Generator[Told, None, None]
IsLate = Callable[[], bool]


def benchmark(
    model: Transformer,
    tokenizer: Tokenizer,
    held_out: Sequence[int],
    config: BenchConfig,
    device: Device,
    *,
    is_stopping: IsStopping = lambda: False,
    clock: Callable[[], float] = time.monotonic,
) -> Generator[Told, None, Benchmark]:
    """Time and prove; returns the benchmark, and tells of every repetition.

    Args:
        tokenizer: goes with the weights to other programs.
        held_out: token ids the model was not trained on; the first are the prompt.
        device: what "auto" and 0 threads mean.
        is_stopping: asked between tokens; once true, what is returned is to be thrown away.
        clock: of the seconds that all may take.

    Raises:
        ConfigError: nothing of the grid is possible.
        RivalError: another program ended while it was timed.
    """
    gathering = Gathering(model, held_out, config, device)
    try:
        courses = yield from _prepare(gathering, tokenizer, device, is_stopping)
        began = clock()
        warm_by, ends = (began + share * config.seconds for share in (WARMING_SHARE, 1.0))
        yield from _warm_up(courses, config, lambda: clock() >= warm_by, is_stopping)
        yield from _repeat(courses, config, lambda: clock() >= ends, is_stopping)
    finally:
        gathering.close()
    if not is_stopping():
        yield SetupProgressed(stage=MEASURING)
        gathering.measure_again()
    done = [course for course in courses if course.counted]
    return Benchmark(
        cells=tuple(cell for course in done for cell in course.cells()),
        ratios=tuple(_ratios(done)),
        limits=gathering.limits,
        speedup=_speedup(done),
        skipped=gathering.skipped,
        environment=environment(device) | _about(model) | gathering.versions,
    )


def _prepare(
    gathering: Gathering, tokenizer: Tokenizer, device: Device, is_stopping: IsStopping
) -> Generator[Told, None, list[Course]]:
    """All that can be timed, proved and with what would bound it."""
    yield from gathering.gather(tokenizer, is_stopping)
    courses = [Course(contestant, device.type) for contestant in gathering.contestants]
    variants = tuple(course.contestant.variant for course in courses)
    yield BenchPlanned(variants=variants, skipped=gathering.skipped)
    for course in courses:
        if gathering.can_prove(course.contestant):
            yield SetupProgressed(stage=f"proving {course.contestant.variant.label}")
            course.proof = gathering.prove(course.contestant, is_stopping)
    yield SetupProgressed(stage=MEASURING)
    for course in courses:
        if not is_stopping():
            course.judge = gathering.judge(course.contestant)
    return courses


def _about(model: Transformer) -> dict[str, Any]:
    """What a reader has to know of the model and of the compiler, where there is one."""
    found: dict[str, Any] = {
        "max_seq_len": model.config.max_seq_len,
        "parameters": sum(weight.numel() for weight in model.parameters()),
    }
    with suppress(PackageNotFoundError):
        found["numba"] = version("numba")
    return found


def _warm_up(
    courses: Sequence[Course], config: BenchConfig, is_late: IsLate, is_stopping: IsStopping
) -> Telling:
    """In turns until each is stable, within reason; with `warmup=0` not at all."""
    for made in range(MOST_WARM_UPS if config.warmup else 0):
        is_enough = made >= config.warmup
        if is_enough and is_late():
            return
        for course in courses:
            if is_stopping():
                return
            if not (is_enough and course.is_stable):
                yield course.warm_up(is_stopping)


def _repeat(
    courses: Sequence[Course], config: BenchConfig, is_late: IsLate, is_stopping: IsStopping
) -> Telling:
    """Rounds in which each variant that is not settled yet has its turn."""
    pairs = comparable([course.contestant.variant for course in courses])
    dice = random.Random(ORDER_SEED)
    going = list(range(len(courses)))
    while going:
        for i in dice.sample(going, len(going)):
            if is_stopping():
                return
            yield courses[i].repeat(is_stopping)
        n, late = len(courses[going[0]].counted), is_late()
        if n >= config.reps and (late or n % (n // LOOKS + 1) == 0):
            wide = set() if late else _wide(courses, pairs, config.precision)
            for i in going:
                if i not in wide:
                    yield from (CellSettled(cell=cell) for cell in courses[i].cells())
            going = [i for i in going if i in wide]


def _wide(
    courses: Sequence[Course], pairs: Iterable[tuple[int, int]], precision: float
) -> set[int]:
    """Places of those whose own interval, or that of a ratio with them, is not narrow yet."""
    times = [course.token_ms for course in courses]
    wide = {i for i, own in enumerate(times) if not _is_narrow(interval(own), precision)}
    for i, j in pairs:
        n = min(len(times[i]), len(times[j]))
        if not _is_narrow(paired_ratio(times[i][:n], times[j][:n])[1], precision):
            wide |= {i, j}
    return wide


def _is_narrow(found: tuple[float, float] | None, precision: float) -> bool:
    return found is not None and found[1] - found[0] <= precision * (found[0] + found[1])


def _ratios(courses: Sequence[Course]) -> Iterator[Ratio]:
    """Of the rounds in which both had their turn."""
    for i, j in comparable([course.contestant.variant for course in courses]):
        left, right = courses[i], courses[j]
        n = min(len(left.counted), len(right.counted))
        ratio, ci95 = paired_ratio(left.token_ms[:n], right.token_ms[:n])
        variants = left.contestant.variant, right.contestant.variant
        yield Ratio(left=variants[0], right=variants[1], ratio=ratio, ci95=ci95)


def _speedup(courses: Sequence[Course]) -> float:
    """See `Benchmark.speedup`; 1 where there is nothing to compare with."""
    if not courses:
        return 1.0
    first = courses[0].contestant.variant
    own = [
        course
        for course in courses
        if is_same_work(course.contestant.variant, first)
        and not course.contestant.variant.rival
        and course.cells()[1].is_ranked
    ]
    medians = [summarize(course.token_ms).median for course in (courses[0], *own)]
    return medians[0] / min(medians)
