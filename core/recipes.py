"""The composition root: from a config, or the name of a run, to something that runs.

A `Session` is made at once and costs nothing; all work, and every error, happens while its
events are pulled. Importing this module imports neither torch nor numpy.

    session = recipes.training(preset("quick"))
    for event in session.run():
        ...
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from core.config import BenchConfig, SamplingConfig, TextConfig
from core.contests import dueling
from core.conversing import Conversation
from core.evaluating import evaluation, keep_with_run
from core.events import (
    BenchmarkCompleted,
    BenchmarkEvent,
    GenerationEvent,
    MachineEvent,
    MachineExamined,
    ProvingEvent,
    SetupProgressed,
    TokenizationEvent,
)
from core.jobs import Job, Session, TrainingJob, until
from core.kept_run import KeptRun, written_with
from core.openmp import tame_openmp
from core.plans import Estimate, estimate, guessed_vocab, planned_lr
from core.proving import proof_of
from core.store.named import config_named
from core.sweeping import sweeping
from core.training_sessions import (
    forecasting,
    forecasting_rest,
    forking,
    replaying,
    resuming,
    training,
)
from core.transfers import exporting, importing, quantizing

if TYPE_CHECKING:
    from core.open_run import OpenRun

__all__ = [
    "Conversation",
    "Estimate",
    "Job",
    "KeptRun",
    "Session",
    "TrainingJob",
    "benchmarking",
    "conversing",
    "dueling",
    "estimate",
    "evaluation",
    "examination",
    "exporting",
    "forecasting",
    "forecasting_rest",
    "forking",
    "generation",
    "importing",
    "planned_lr",
    "proving",
    "quantizing",
    "replaying",
    "resuming",
    "sweeping",
    "tokenizing",
    "training",
]

PROMPT_TOKENS = 16
_LOADING = SetupProgressed(stage="loading the run")


def generation(
    run: str = "last",
    sampling: SamplingConfig | None = None,
    *,
    kept: KeptRun | None = None,
    device: str = "auto",
    dtype: str = "auto",
    threads: int = 0,
) -> Job[GenerationEvent]:
    """Continue the prompt, or a piece of held-out text.

    Args:
        kept: what the generation before left, and this one leaves to the next.
    """
    sampling, kept = sampling or SamplingConfig(), kept or KeptRun()
    load = partial(
        kept.open, run, sampling.weight_bits, device=device, dtype=dtype, threads=threads
    )
    return Job(partial(written_with, kept, load, sampling, PROMPT_TOKENS))


def tokenizing(
    source: str | TextConfig = "last",
    *,
    prompt: str = "",
    text: str | Path = "",
    n_shown: int = 400,
) -> Job[TokenizationEvent]:
    """Cut `prompt` or the corpus `text` into tokens, by the tokenizer of the run `source`, or by
    a new one made from that corpus; without a text, the corpus of the tokenizer itself.

    Args:
        n_shown: how many tokens the result holds; all are counted. 0 is all.
    """

    def work(is_stopping: Callable[[], bool]) -> Generator[TokenizationEvent, None, None]:
        from core.measure.tokenize import tokenize

        yield from tokenize(source, prompt, str(text), n_shown, is_stopping)

    return Job(work)


def conversing(
    run: str = "last",
    sampling: SamplingConfig | None = None,
    *,
    device: str = "auto",
    dtype: str = "auto",
    threads: int = 0,
) -> Conversation:
    """Write a text in turns with the run; not one job but one a turn."""
    return Conversation(lambda: _open(run, device, dtype, threads), sampling or SamplingConfig())


def proving(
    run: str = "last",
    sampling: SamplingConfig | None = None,
    *,
    device: str = "auto",
    dtype: str = "auto",
    threads: int = 0,
) -> Job[ProvingEvent]:
    """Hold the engine, cache and bits of a generation against the plain model, on its prompt."""
    sampling = sampling or SamplingConfig()
    return proof_of(lambda: _open(run, device, dtype, threads), sampling, PROMPT_TOKENS)


def benchmarking(
    run: str = "last",
    bench: BenchConfig | None = None,
    *,
    device: str = "auto",
) -> Job[BenchmarkEvent]:
    """Time ways to decode the run, in turns, and prove that they agree with the plain one."""
    bench = bench or BenchConfig()

    def work(is_stopping: Callable[[], bool]) -> Generator[BenchmarkEvent, None, None]:
        yield _LOADING
        tame_openmp()
        from core.measure.benchmark import benchmark

        found = _open(run, device, bench.dtype[0], bench.threads[0])
        held_out = yield from found.held_out_ids(max(bench.prompt_tokens), is_stopping)
        if held_out is None:
            return
        timing = benchmark(
            found.model, found.tokenizer, held_out, bench, found.device, is_stopping=is_stopping
        )
        result = yield from until(is_stopping, timing)
        if result is not None:
            done = BenchmarkCompleted(run=found.run.name, step=found.step, result=result)
            yield from keep_with_run(found.run, "benchmark", done)
            yield done

    return Job(work)


def examination(
    *,
    is_measuring: bool = True,
    train: str = "",
    device: str = "auto",
    dtype: str = "auto",
    threads: int = 0,
) -> Job[MachineEvent]:
    """What this machine is, and how fast.

    Args:
        train: a preset, a config file or a run: all ways to take its training steps are timed
            too, and kept for the runs to come.
    """

    def work(is_stopping: Callable[[], bool]) -> Generator[MachineEvent, None, None]:
        yield SetupProgressed(stage="loading PyTorch")
        tame_openmp()
        from core.device import choose_device
        from core.measure.machine import examine

        chosen = choose_device(device, dtype, threads)
        if train:
            from core.measure.all_ways import time_all_ways

            asked = {"device": device, "dtype": dtype, "threads": threads}
            config = config_named(train).with_changes(**asked)
            vocab = guessed_vocab(config)
            timing = time_all_ways(config, chosen, vocab, is_stopping)
            yield from until(is_stopping, timing)
        looking = examine(chosen, is_measuring=is_measuring, is_stopping=is_stopping)
        result = yield from until(is_stopping, looking)
        if result is not None:
            yield MachineExamined(result=result)

    return Job(work)


def _open(run: str, device: str, dtype: str, threads: int) -> OpenRun:
    from core.open_run import open_for_use

    return open_for_use(run, device=device, dtype=dtype, threads=threads)
