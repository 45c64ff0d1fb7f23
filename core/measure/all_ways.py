"""All ways to take a preset's training steps, PyTorch's compiler among them, timed at length.

Compiling a step takes a minute or so, which a run alone would seldom get back: so it is tried
here, when somebody asks for it, and what is found is kept for the runs to come.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence

from core.config import RunConfig
from core.device import Device, why_not_compiled
from core.events import Pace, SetupProgressed, WayTimed
from core.measure.ground import find_ground
from core.measure.pace import keep, ways_of
from core.measure.trial import Trial, Way, undisturbed
from core.measure.ways import HOPELESS, time_ways
from core.model.transformer import Transformer

PLAIN_S, COMPILED_S = 15.0, 10.0
"""Seconds after which no more rounds begin."""
UNSETTLED = "Other programs were at work: this is believed for ten minutes only."


def time_all_ways(
    config: RunConfig, device: Device, guessed_vocab: int, is_stopping: Callable[[], bool]
) -> Generator[SetupProgressed, None, Pace | None]:
    """Time them and keep the result; None if it was stopped.

    Args:
        device: the choice of default.
        guessed_vocab: number of token ids where the text is too large to find out.

    Raises:
        MinitfError: the text cannot be used.
    """
    ground = yield from find_ground(config, guessed_vocab, is_stopping)
    if ground is None:
        return None
    config = ground.settled(config)
    model = Transformer(config.model, seed=config.train.seed).to(device.type)
    trial = Trial(config, device, model, ground.batches(config))
    ways = ways_of(config, device)
    yield SetupProgressed(stage="timing all ways to train, a minute or two to compile them")
    with undisturbed():
        timed, note = timed_ways(trial, ways, is_stopping)
    if is_stopping() or not timed:
        return None
    return keep(config, device, timed, note, is_settled=UNSETTLED not in note)


def timed_ways(
    trial: Trial, ways: Sequence[Way], is_stopping: Callable[[], bool]
) -> tuple[list[WayTimed], str]:
    """These, the first of them that of default, and what they are compiled; and a sentence
    where something came in between. None if each turn takes seconds, or it was stopped."""
    trial.turn_s(ways[0])
    timed, is_settled = time_ways(trial, ways, time.perf_counter() + PLAIN_S, is_stopping)
    if not timed:
        return [], ""
    compiled, note = _compiled(trial, ways[0], _fastest(timed), is_stopping)
    notes = [note, "" if is_settled else UNSETTLED]
    return [*timed, *compiled], " ".join(filter(None, notes))


def _fastest(timed: Sequence[WayTimed]) -> list[Way]:
    """Threads of the fastest way, in each number type: what is worth compiling."""
    best = min(timed, key=lambda way: way.ratio)
    dtypes = dict.fromkeys(way.dtype for way in timed if way.ratio <= HOPELESS)
    return [Way(best.threads, dtype, is_compiled=True) for dtype in dtypes]


def _compiled(
    trial: Trial, default: Way, ways: Sequence[Way], is_stopping: Callable[[], bool]
) -> tuple[list[WayTimed], str]:
    """Those that could be compiled, and a sentence on why others could not."""
    if reason := why_not_compiled(trial.device.type):
        return [], reason
    took: list[float] = []
    try:
        for way in ways:
            began = time.perf_counter()
            trial.turn_s(way)
            took.append(time.perf_counter() - began)
    except Exception as error:  # whatever a compiler and its parts may say
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        why = (lines[0] if lines else type(error).__name__).removesuffix(".")
        return [], f"PyTorch could not compile the step: {why[:200]}."
    until = time.perf_counter() + COMPILED_S
    both = [default, *ways]
    timed, _ = time_ways(trial, both, until, is_stopping, compile_s=[0.0, *took])
    return timed[1:], ""
