"""The composition root: from a config, or the name of a run, to something that runs.

A `Session` is made at once and costs nothing; all work, and every error, happens while its
events are pulled. Importing this module imports neither torch nor numpy.

    session = recipes.training(preset("quick"))
    for event in session.run():
        ...
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import BenchConfig, RunConfig, SamplingConfig, TextConfig
from core.conversing import Conversation
from core.errors import ConfigError, DataError
from core.events import (
    BenchmarkCompleted,
    BenchmarkEvent,
    EvaluationCompleted,
    EvaluationEvent,
    ForecastEvent,
    GenerationEvent,
    MachineEvent,
    MachineExamined,
    SetupProgressed,
    TokenizationEvent,
    TrainEvent,
)
from core.jobs import Job, Session, TrainingJob, until
from core.openmp import tame_openmp
from core.training.wishes import Wishes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from core.open_run import OpenRun

__all__ = [
    "Estimate",
    "Job",
    "Session",
    "TrainingJob",
    "benchmarking",
    "estimate",
    "evaluation",
    "forecasting",
    "generation",
    "planned_lr",
    "replaying",
    "resuming",
    "training",
]

PROMPT_TOKENS = 16
VALIDATION_SPLIT = "validation split"
_LOADING = SetupProgressed(stage="loading the run")


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a config will cost, from arithmetic alone."""

    n_params: int
    flops_per_token: int
    """Forward and backward."""
    kv_bytes_per_token: int
    training_bytes: int


def estimate(config: RunConfig) -> Estimate:
    """Figures for a form; never imports torch. The vocabulary is the requested one."""
    from core.model import arithmetic

    vocab_size = config.model.vocab_size or _guessed_vocab(config)
    model = replace(config.model, vocab_size=vocab_size)
    context, batch_size = config.train.context, config.train.batch_size
    return Estimate(
        n_params=arithmetic.count_parameters(model),
        flops_per_token=arithmetic.training_flops_per_token(model, context),
        kv_bytes_per_token=arithmetic.kv_bytes_per_token(model),
        training_bytes=arithmetic.training_bytes(model, batch_size, context),
    )


def forecasting(config: RunConfig, *, seconds: float = 3.0) -> Job[ForecastEvent]:
    """What a run will cost on this machine, from about `seconds` of its real steps; nothing
    is written to the runs folder."""

    def work(is_stopping: Callable[[], bool]) -> Generator[ForecastEvent, None, None]:
        yield SetupProgressed(stage="loading PyTorch")
        tame_openmp()
        from core.measure.forecast import forecast

        yield from forecast(config, _guessed_vocab(config), seconds, is_stopping)

    return Job(work)


def _guessed_vocab(config: RunConfig) -> int:
    """Number of token ids before the text was read."""
    return {"byte": 256, "char": 100}.get(config.text.tokenizer, config.text.vocab_size)


def planned_lr(
    config: RunConfig, points: int = 100, *, steps: int | None = None
) -> tuple[tuple[float, float], ...]:
    """The learning rate that a run will have, as (share of the budget, rate); no torch.

    Warm-up is counted in steps. A budget in seconds or epochs does not say how many there
    will be: then `steps` says it (a forecast knows), and without it 1,000 are assumed.
    """
    from core.training.schedule import planned_course

    return planned_course(config.train, points, steps)


def training(config: RunConfig, *, name: str | None = None) -> TrainingJob:
    """A new run. Without a name it is called after its corpus."""

    def work(wishes: Wishes) -> Generator[TrainEvent, None, None]:
        if name is not None:
            from core.store.run import check_new_name

            check_new_name(name)
        yield SetupProgressed(stage="loading PyTorch")
        tame_openmp()
        from core.launch import launch_new

        yield from launch_new(config, name, wishes)

    return TrainingJob(work)


def resuming(
    run: str = "last",
    *,
    steps: int | None = None,
    seconds: float | None = None,
    tokens: int | None = None,
) -> TrainingJob:
    """Go on with a run, bit for bit; only its budget may change."""
    given = {"steps": steps, "seconds": seconds, "tokens": tokens}
    budget = {name: limit for name, limit in given.items() if limit is not None}

    def work(wishes: Wishes) -> Generator[TrainEvent, None, None]:
        yield SetupProgressed(stage="loading PyTorch")
        tame_openmp()
        from core.launch import launch_resumed

        yield from launch_resumed(run, budget, wishes)

    return TrainingJob(work)


def replaying(run: str = "last", *, name: str | None = None) -> TrainingJob:
    """Train a run again from its seed, with the learning rates and for the steps that its
    metrics record: the same weights, bit for bit, on the same machine and versions."""

    def work(wishes: Wishes) -> Generator[TrainEvent, None, None]:
        if name is not None:
            from core.store.run import check_new_name

            check_new_name(name)
        yield SetupProgressed(stage="loading PyTorch")
        tame_openmp()
        from core.launch import launch_replay

        yield from launch_replay(run, name, wishes)

    return TrainingJob(work)


def evaluation(
    run: str = "last",
    *,
    text: str | Path | None = None,
    stride: int = 0,
    device: str = "auto",
    dtype: str = "auto",
    threads: int = 0,
) -> Job[EvaluationEvent]:
    """Score the run's validation split, or the file `text`."""

    def work(is_stopping: Callable[[], bool]) -> Generator[EvaluationEvent, None, None]:
        yield _LOADING
        tame_openmp()
        from core.measure.evaluate import evaluate

        found = _open(run, device, dtype, threads)
        context = found.run.config.train.context
        ids = yield from found.ids_to_score(text, is_stopping)
        if ids is None:
            return
        scoring = evaluate(
            found.model,
            found.tokenizer,
            ids,
            context=context,
            stride=_checked_stride(stride or found.run.config.eval.stride or context, context),
            device=found.device,
        )
        result = yield from until(is_stopping, scoring)
        if result is not None:
            source = VALIDATION_SPLIT if text is None else str(text)
            if text is None:
                floor = found.run.provenance.get("floor_loss")
                result = replace(result, floor_loss=floor)
            done = EvaluationCompleted(
                run=found.run.name, step=found.step, text=source, result=result
            )
            found.run.save_report("evaluations", asdict(done))
            yield done

    return Job(work)


def generation(
    run: str = "last",
    sampling: SamplingConfig | None = None,
    *,
    device: str = "auto",
    dtype: str = "auto",
    threads: int = 0,
) -> Job[GenerationEvent]:
    """Continue the prompt, or a piece of held-out text."""
    sampling = sampling or SamplingConfig()

    def work(is_stopping: Callable[[], bool]) -> Generator[GenerationEvent, None, None]:
        yield _LOADING
        tame_openmp()
        from core.infer.generate import generate

        found = _open(run, device, dtype, threads)
        if sampling.prompt:
            prompt = found.tokenizer.encode(sampling.prompt).tolist()
        else:
            held_out = yield from found.text(is_stopping)
            if held_out is None:
                return
            prompt = held_out.held_out_prompt(PROMPT_TOKENS)
        yield from generate(
            found.model,
            found.tokenizer,
            prompt,
            sampling,
            found.device,
            is_stopping=is_stopping,
        )

    return Job(work)


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


def benchmarking(
    run: str = "last",
    bench: BenchConfig | None = None,
    *,
    device: str = "auto",
    dtype: str = "auto",
    threads: int = 0,
) -> Job[BenchmarkEvent]:
    """Time generation with and without the KV cache, and prove that they agree."""
    bench = bench or BenchConfig()

    def work(is_stopping: Callable[[], bool]) -> Generator[BenchmarkEvent, None, None]:
        yield _LOADING
        tame_openmp()
        from core.measure.benchmark import benchmark

        found = _open(run, device, dtype, threads)
        text = yield from found.text(is_stopping)
        if text is None:
            return
        held_out = _enough(text.validation_ids, bench.prompt_tokens)
        timing = benchmark(found.model, held_out, bench, found.device, is_stopping=is_stopping)
        result = yield from until(is_stopping, timing)
        if result is not None:
            done = BenchmarkCompleted(run=found.run.name, step=found.step, result=result)
            found.run.save_report("benchmarks", asdict(done))
            yield done

    return Job(work)


def examination(
    *, is_measuring: bool = True, device: str = "auto", dtype: str = "auto", threads: int = 0
) -> Job[MachineEvent]:
    """What this machine is, and how fast."""

    def work(is_stopping: Callable[[], bool]) -> Generator[MachineEvent, None, None]:
        yield SetupProgressed(stage="loading PyTorch")
        tame_openmp()
        from core.device import choose_device
        from core.measure.machine import examine

        chosen = choose_device(device, dtype, threads)
        looking = examine(chosen, is_measuring=is_measuring, is_stopping=is_stopping)
        result = yield from until(is_stopping, looking)
        if result is not None:
            yield MachineExamined(result=result)

    return Job(work)


def _open(run: str, device: str, dtype: str, threads: int) -> OpenRun:
    from core.open_run import open_for_use

    return open_for_use(run, device=device, dtype=dtype, threads=threads)


def _checked_stride(stride: int, context: int) -> int:
    if not 1 <= stride <= context:
        raise ConfigError(
            f"stride={stride} is not between 1 and context={context}.",
            hint=f"Try stride={context}, or a smaller one for more to look back at.",
        )
    return stride


def _enough(held_out: NDArray[Any], prompt_tokens: int) -> list[int]:
    if len(held_out) < prompt_tokens:
        raise DataError(
            f"The held-out text has {len(held_out)} tokens, and prompt_tokens={prompt_tokens}.",
            hint=f"Try prompt_tokens={len(held_out)}.",
        )
    return held_out.tolist()
