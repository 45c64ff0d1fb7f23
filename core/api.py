"""The library in a few calls: train, resume, evaluate, generate, benchmark, quantise, export, …

Each drives a session of `core.recipes` to its end and returns the result. To watch a job
while it runs, give `on_event`, or pull the session yourself.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from core import recipes
from core.config import BenchConfig, CacheConfig, QuantizeConfig, RunConfig, SamplingConfig
from core.errors import ConfigError, MinitfError
from core.events import (
    Benchmark,
    BenchmarkCompleted,
    Diverged,
    Evaluation,
    EvaluationCompleted,
    Event,
    Export,
    ExportCompleted,
    Forecast,
    ForecastCompleted,
    Generation,
    GenerationBatch,
    GenerationFinished,
    Import,
    ImportCompleted,
    Quantization,
    QuantizationCompleted,
    RunFinished,
    TrainResult,
)
from core.interrupts import stopped_by_interrupt
from core.presets import preset

OnEvent = Callable[[Event], None]


def _ignore(_: Event) -> None:
    """Listen to nothing."""


def train(
    config: RunConfig | str = "quick",
    *,
    name: str | None = None,
    init_from: str = "",
    on_event: OnEvent = _ignore,
    **changes: Any,
) -> TrainResult:
    """Train a new run to the end of its budget.

    Args:
        config: a config, or the name of a preset.
        name: of the run; by default it is called after its corpus.
        init_from: a run, trained or imported, to begin with instead of fresh weights: its
            model and its tokenizer are kept.
        changes: fields to replace, named as on the command line: `corpus`, `steps`, `lr`, …

    Raises:
        MinitfError: something cannot be used; or the run diverged.
    """
    base = preset(config) if isinstance(config, str) else config
    session = recipes.training(
        base.with_changes(**changes), name=name, init_from=init_from, given=tuple(changes)
    )
    return drive(session, on_event)


def forecast(
    config: RunConfig | str = "quick",
    *,
    seconds: float = 3.0,
    on_event: OnEvent = _ignore,
    **changes: Any,
) -> Forecast:
    """What `train` with the same arguments would cost on this machine. Keeps no run.

    Args:
        config: a config, or the name of a preset.
        seconds: about how long real steps are timed. (For a budget in seconds change the
            config: `preset("quick").with_changes(seconds=60)`.)
        changes: fields to replace, named as on the command line.

    Raises:
        MinitfError: something cannot be used.
    """
    base = preset(config) if isinstance(config, str) else config
    session = recipes.forecasting(base.with_changes(**changes), seconds=seconds)
    return _last(session, on_event, ForecastCompleted).result


def resume(
    run: str = "last",
    *,
    steps: int | None = None,
    seconds: float | None = None,
    tokens: int | None = None,
    on_event: OnEvent = _ignore,
) -> TrainResult:
    """Go on with a run as if it had never been interrupted; only the budget may change.

    Raises:
        MinitfError: there is no such run, it is in use, or it diverged.
    """
    return drive(recipes.resuming(run, steps=steps, seconds=seconds, tokens=tokens), on_event)


def replay(
    run: str = "last", *, name: str | None = None, on_event: OnEvent = _ignore
) -> TrainResult:
    """Train a run again from its seed, as a new run: the same steps at the rates that were
    recorded, hence the same weights, also where its budget was in seconds. The result's
    `agreement` tells whether the metrics are equal bit for bit.

    Args:
        run: or the file of a capsule.

    Raises:
        MinitfError: there is no such run, it has no steps, or its text has changed.
    """
    return drive(recipes.replaying(run, name=name), on_event)


def evaluate(
    run: str = "last",
    *,
    text: str | Path | None = None,
    stride: int = 0,
    device: str = "auto",
    dtype: str = "auto",
    threads: int = 0,
    on_event: OnEvent = _ignore,
    **cache: Any,
) -> Evaluation:
    """Score the run's validation split, or the file `text`; each token exactly once.

    Args:
        stride: tokens between two windows; 0 is the context.
        cache: fields of `CacheConfig`: `cache`, `window`, `sinks`. What an approximate KV cache
            costs is `cache_cost` of the result.
    """
    through = CacheConfig(**cache)
    session = recipes.evaluation(
        run, text=text, stride=stride, cache=through, device=device, dtype=dtype, threads=threads
    )
    return _last(session, on_event, EvaluationCompleted).result


def generate(
    run: str = "last",
    prompt: str = "",
    *,
    device: str = "auto",
    dtype: str = "auto",
    threads: int = 0,
    on_event: OnEvent = _ignore,
    **sampling: Any,
) -> Generation:
    """Continue `prompt`; without one, a piece of held-out text.

    Args:
        sampling: fields of `SamplingConfig`: `max_new_tokens`, `temperature`, `seed`, `stop`, …

    Raises:
        ConfigError: `count` asks for more than one; see `generate_batch`.
    """
    config = SamplingConfig(prompt=prompt, **sampling)
    if config.count > 1:
        raise ConfigError(
            f"generate writes one continuation, and count={config.count}.",
            hint="generate_batch writes several.",
        )
    session = recipes.generation(run, config, device=device, dtype=dtype, threads=threads)
    return _last(session, on_event, GenerationFinished).continuations[0]


def generate_batch(
    run: str = "last",
    prompt: str = "",
    *,
    count: int = 4,
    device: str = "auto",
    dtype: str = "auto",
    threads: int = 0,
    on_event: OnEvent = _ignore,
    **sampling: Any,
) -> GenerationBatch:
    """Continue `prompt` in `count` ways at once; the i-th is what `seed + i` gives alone.

    Args:
        count: 2 or more.
        sampling: fields of `SamplingConfig`: `max_new_tokens`, `temperature`, `seed`, `stop`, …

    Raises:
        ConfigError: `count` is below 2; see `generate`.
    """
    config = SamplingConfig(prompt=prompt, count=count, **sampling)
    if config.count == 1:
        raise ConfigError(
            "generate_batch writes several continuations, and count=1.",
            hint="generate writes one.",
        )
    session = recipes.generation(run, config, device=device, dtype=dtype, threads=threads)
    return _last(session, on_event, GenerationFinished).result


def benchmark(
    run: str = "last",
    *,
    device: str = "auto",
    on_event: OnEvent = _ignore,
    **bench: Any,
) -> Benchmark:
    """Time ways to decode the run, in turns, and prove that they agree with the plain one.

    Args:
        bench: fields of `BenchConfig`: `engines`, `caches`, `bits`, `depths`, `n`, `reps`, …
    """
    session = recipes.benchmarking(run, BenchConfig(**bench), device=device)
    return _last(session, on_event, BenchmarkCompleted).result


def quantize(
    run: str = "last", name: str | None = None, *, on_event: OnEvent = _ignore, **how: Any
) -> Quantization:
    """Make a run of its own with the weights in 8 or 4 bits, and tell what that costs.

    Args:
        name: of the new run; by default that of the run with int8 or int4 behind it.
        how: fields of `QuantizeConfig`: `bits=4, group_size=32, method="gptq"`, `keep`, …

    Raises:
        MinitfError: there is no such run, it is quantised already, or a setting is wrong.
    """
    session = recipes.quantizing(run, QuantizeConfig(**how), name=name)
    return _last(session, on_event, QuantizationCompleted).result


def export_model(
    run: str = "last",
    out: str | Path | None = None,
    *,
    format: str | None = None,
    number_type: str = "f32",
    overwrite: bool = False,
    on_event: OnEvent = _ignore,
) -> Export:
    """Write a run for other programs; see `core.recipes.exporting`.

    Args:
        out: by default in the working folder, called after the run.

    Raises:
        MinitfError: the other program cannot compute this model, or something is at `out`.
    """
    how: dict[str, Any] = {"format": format, "number_type": number_type, "overwrite": overwrite}
    return _last(recipes.exporting(run, out=out, **how), on_event, ExportCompleted).result


def import_model(
    source: str | Path, name: str | None = None, *, on_event: OnEvent = _ignore, **how: Any
) -> Import:
    """Make a run of a model from elsewhere: a folder of transformers, a .gguf, a .bin of llama2.c,
    a capsule, or `hub:OWNER/NAME`.

    Args:
        name: of the run; by default it is called after its source.
        how: `tokenizer`, `corpus` and `max_seq_len`; see `core.recipes.importing`.

    Raises:
        MinitfError: it is damaged, or a model that minitf cannot compute.
    """
    return _last(recipes.importing(source, name=name, **how), on_event, ImportCompleted).result


def drive(session: recipes.Session, on_event: OnEvent | None = None) -> TrainResult:
    """Train to the end of a session; a MinitfError if the run diverges."""
    last = _last(session, on_event or _ignore, RunFinished, Diverged)
    if isinstance(last, Diverged):
        raise MinitfError(
            f"Training ended at step {last.step}: {last.what}.",
            hint="Try a smaller lr, a longer warm-up, or grad_clip=1.",
        )
    return last.result


def _last(session: recipes.Session, on_event: OnEvent, *kinds: type[Any]) -> Any:
    """Drive a session to its end; its last event is of one of `kinds`."""
    event: Event | None = None
    with stopped_by_interrupt(session.stop):
        for event in session.run():
            on_event(event)
    assert isinstance(event, kinds), event
    return event
