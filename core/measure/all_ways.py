"""All ways to take a preset's training steps, PyTorch's compiler among them, timed at length.

Compiling a step takes a minute or so, which a run alone would seldom get back: so it is tried
here, when somebody asks for it, and what is found is kept for the runs to come.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace

from core.config import RunConfig
from core.device import Device, why_not_compiled
from core.events import Pace, SetupProgressed, WayTimed
from core.measure.forecast import find_ground
from core.measure.pace import Trial, Way, keep, time_ways, undisturbed, ways_of
from core.model.transformer import Transformer
from core.text.batches import make_batches

PLAIN_S, COMPILED_S = 15.0, 10.0
"""Seconds after which no more rounds begin."""


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
    config = replace(config, model=replace(config.model, vocab_size=ground.vocab_size))
    model = Transformer(config.model, seed=config.train.seed).to(device.type)
    trial = Trial(config, device, model, make_batches(ground.train_ids, config.train))
    ways = ways_of(config, device)
    yield SetupProgressed(stage=f"timing {len(ways)} ways to train")
    with undisturbed():
        trial.turn_s(ways[0])
        timed = time_ways(trial, ways, time.perf_counter() + PLAIN_S)
    if is_stopping() or not timed:
        return None
    best = _fastest(timed)
    yield SetupProgressed(stage="compiling a training step, a minute or two")
    with undisturbed():
        compiled, note = _compiled(trial, ways[0], best)
    return None if is_stopping() else keep(config, device, [*timed, *compiled], note)


def _fastest(timed: Sequence[WayTimed]) -> list[Way]:
    """Threads of the fastest way, in each number type: what is worth compiling."""
    best = min(timed, key=lambda way: way.ratio)
    dtypes = dict.fromkeys(way.dtype for way in timed)
    return [Way(best.threads, dtype, is_compiled=True) for dtype in dtypes]


def _compiled(trial: Trial, default: Way, ways: Sequence[Way]) -> tuple[list[WayTimed], str]:
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
    return time_ways(trial, [default, *ways], until, compile_s=[0.0, *took])[1:], ""
