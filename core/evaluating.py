"""The session that scores a run, and keeping what came out of one with the run.

Importing this module imports neither torch nor numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import CacheConfig
from core.errors import ConfigError, StoreError
from core.events import (
    BenchmarkCompleted,
    Evaluation,
    EvaluationCompleted,
    EvaluationEvent,
    EvaluationProgressed,
    ReportFailed,
    SetupProgressed,
)
from core.jobs import Job, until
from core.openmp import tame_openmp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from core.open_run import OpenRun
    from core.store.run import Run

VALIDATION_SPLIT = "validation split"


def evaluation(
    run: str = "last",
    *,
    text: str | Path | None = None,
    stride: int = 0,
    cache: CacheConfig | None = None,
    device: str = "auto",
    dtype: str = "auto",
    threads: int = 0,
) -> Job[EvaluationEvent]:
    """Score the run's validation split, or the file `text`, or what becomes of it in a KV cache;
    only what is scored without one is kept with the run."""
    through = cache or CacheConfig()

    def work(is_stopping: Callable[[], bool]) -> Generator[EvaluationEvent, None, None]:
        yield SetupProgressed(stage="loading the run")
        tame_openmp()
        from core.open_run import open_for_use

        found = open_for_use(run, device=device, dtype=dtype, threads=threads)
        ids = yield from found.ids_to_score(text, is_stopping)
        if ids is None:
            return
        scoring = _scoring(found, ids, stride, through, is_own=text is None)
        result = yield from until(is_stopping, scoring)
        if result is not None:
            done = _evaluated(found, text, result)
            if through.cache == "none":
                yield from keep_with_run(found.run, "evaluation", done)
            yield done

    return Job(work)


def keep_with_run(
    run: Run, what: str, done: EvaluationCompleted | BenchmarkCompleted
) -> Generator[ReportFailed, None, None]:
    """Keep a result with its run; that this cannot be is no reason not to tell it."""
    try:
        run.save_report(f"{what}s", asdict(done))
    except (OSError, StoreError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        yield ReportFailed(what=what, reason=reason)


def _scoring(
    found: OpenRun, ids: NDArray[Any], stride: int, through: CacheConfig, *, is_own: bool
) -> Generator[EvaluationProgressed, None, Evaluation]:
    """Of the run's own held-out text as it was scored in training."""
    from core.measure.answers import evaluate_run
    from core.measure.evaluate import evaluate

    config = found.run.config
    context = config.train.context
    stride = _checked_stride(stride or config.eval.stride or context, context)
    model, tokenizer, device = found.model, found.tokenizer, found.device
    if is_own and through.cache == "none":
        return evaluate_run(model, tokenizer, ids, config, stride=stride, device=device)
    return evaluate(
        model, tokenizer, ids, context=context, stride=stride, device=device, cache=through
    )


def _evaluated(found: OpenRun, text: str | Path | None, result: Evaluation) -> EvaluationCompleted:
    """Only the held-out text has the floor and the baselines that are kept with the run."""
    from core.store.baselines import baselines_told

    source = VALIDATION_SPLIT if text is None else str(text)
    if text is None:
        result = replace(
            result,
            floor_loss=found.run.provenance.get("floor_loss"),
            baselines=baselines_told(found.run),
        )
    return EvaluationCompleted(run=found.run.name, step=found.step, text=source, result=result)


def _checked_stride(stride: int, context: int) -> int:
    if not 1 <= stride <= context:
        raise ConfigError(
            f"stride={stride} is not between 1 and context={context}.",
            hint=f"Try stride={context}, or a smaller one for more to look back at.",
        )
    return stride
