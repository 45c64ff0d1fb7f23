"""The sessions around a training run: forecast it, train it, go on with it, take it again.

Importing this module imports neither torch nor numpy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Mapping
from typing import TYPE_CHECKING, Any

from core import paths
from core.config import RunConfig
from core.errors import FormatError
from core.events import ForecastEvent, SetupProgressed, TrainEvent
from core.jobs import Job, TrainingJob
from core.openmp import tame_openmp
from core.plans import guessed_vocab
from core.training.wishes import Wishes

if TYPE_CHECKING:
    from core.store.stages import Telling


def forecasting(
    config: RunConfig, *, seconds: float = 3.0, start_s: float = 0.0
) -> Job[ForecastEvent]:
    """What a run will cost on this machine, from about `seconds` of its real steps; nothing
    is written to the runs folder.

    Args:
        start_s: what it took to come here, as it will take the run, too.
    """

    def work(is_stopping: Callable[[], bool]) -> Generator[ForecastEvent, None, None]:
        yield SetupProgressed(stage="loading PyTorch")
        began = time.perf_counter()
        tame_openmp()
        from core.measure.forecast import forecast
        from core.parts import wanted_device

        took_s = start_s + time.perf_counter() - began
        device, vocab = wanted_device(config), guessed_vocab(config)
        yield from forecast(config, device, vocab, seconds, is_stopping, took_s)

    return Job(work)


def forecasting_rest(
    run: str = "last",
    changes: Mapping[str, Any] | None = None,
    *,
    is_fork: bool = False,
    seconds: float = 3.0,
    start_s: float = 0.0,
) -> Job[ForecastEvent]:
    """What is still to come of a run that goes on, as `resuming` or `forking` would, with these
    changes; neither is done, and the run stays as it is."""

    def work(is_stopping: Callable[[], bool]) -> Generator[ForecastEvent, None, None]:
        yield SetupProgressed(stage="loading PyTorch")
        began = time.perf_counter()
        tame_openmp()
        from core.measure.forecast import forecast
        from core.retaking import rest_of

        took_s = start_s + time.perf_counter() - began
        config, device, behind = rest_of(run, changes or {}, is_fork=is_fork)
        vocab = config.model.vocab_size or guessed_vocab(config)
        yield from forecast(config, device, vocab, seconds, is_stopping, took_s, behind)

    return Job(work)


def training(
    config: RunConfig,
    *,
    name: str | None = None,
    init_from: str = "",
    given: Collection[str] = (),
) -> TrainingJob:
    """A new run. Without a name it is called after its corpus.

    Args:
        init_from: a run whose weights, model and tokenizer it begins with, or a checkpoint of
            it; what `config` says of those does not count, but for dropout.
        given: settings of `config` that somebody asked for: they must not contradict.
    """

    def work(wishes: Wishes) -> Generator[TrainEvent, None, None]:
        from core.store.run_names import check_place

        check_place(name)
        yield SetupProgressed(stage="loading PyTorch")
        tame_openmp()
        from core.launch import launch_new

        yield from launch_new(config, name, wishes, init_from, given)

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
    metrics record: the same weights, bit for bit, on the same machine and versions. The result's
    `agreement` says whether the metrics are the same.

    Args:
        run: or the file of a capsule, which is restored first.
        name: of the new run.
    """

    def work(wishes: Wishes) -> Generator[TrainEvent, None, None]:
        from core.store.run_names import check_place

        check_place(name)
        yield SetupProgressed(stage="loading PyTorch")
        tame_openmp()
        from core.retaking import launch_replay

        spec = yield from _restored(run, wishes)
        if spec is not None:
            yield from launch_replay(spec, name, wishes)

    return TrainingJob(work)


def forking(run: str = "last", *, name: str | None = None, **changes: Any) -> TrainingJob:
    """Go on from a checkpoint of a run, as a new run with other settings: its weights, moments
    and steps until then are the same. The run itself stays as it is.

    Args:
        run: `NAME@STEP` for a checkpoint that is not the newest.
        name: of the new run; by default that of the run with -fork behind it.
        changes: settings of training, of what is measured, or dropout, named as on the command
            line: `lr`, `steps`, `schedule`, `seed`, …
    """

    def work(wishes: Wishes) -> Generator[TrainEvent, None, None]:
        from core.store.run_names import check_place

        check_place(name)
        yield SetupProgressed(stage="loading PyTorch")
        tame_openmp()
        from core.retaking import launch_forked

        yield from launch_forked(run, name, changes, wishes)

    return TrainingJob(work)


def _restored(spec: str, wishes: Wishes) -> Telling[str | None]:
    """The name of the run that a capsule becomes; any other `spec` as it is. None if it was
    stopped."""
    from core.interop.capsule.packing import is_capsule, open_capsule
    from core.store.stages import outcome

    path = paths.absolute(spec)
    if (paths.runs_dir() / spec).is_dir() or not path.is_file():
        return spec
    if not is_capsule(path):
        raise FormatError(
            f"{spec!r} is a file, and no capsule.",
            hint="minitf export RUN --format capsule makes one.",
        )
    run = yield from outcome(open_capsule(path, spec, None, wishes.is_stopping))
    if run is None:
        return None
    stage = "checking the run"
    yield SetupProgressed(stage=stage, share=1.0, remark=f"{spec} is restored as {run.name}")
    return run.name
