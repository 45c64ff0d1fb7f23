"""The sessions that carry models out of minitf and into it, and make smaller ones of them.

Importing this module imports neither torch nor numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path

from core import paths
from core.config import QuantizeConfig, TextConfig
from core.errors import ConfigError, did_you_mean
from core.events import ExportEvent, ImportEvent, QuantizationEvent, SetupProgressed
from core.jobs import Job
from core.openmp import tame_openmp

FORMATS = ("hf", "gguf", "capsule")
NUMBER_TYPES = ("f32", "f16", "q8_0", "q4_0")
"""Of a gguf; the others are f32."""
DEFAULT_CORPUS = TextConfig().corpus


def exporting(
    run: str = "last",
    *,
    format: str | None = None,
    out: str | Path | None = None,
    number_type: str = "f32",
    overwrite: bool = False,
) -> Job[ExportEvent]:
    """Write a run for other programs: a folder for transformers ("hf"), a file for llama.cpp
    and Ollama ("gguf"), or one file with all that it takes to train it again ("capsule").

    Args:
        format: "hf", "gguf" or "capsule"; None is what `out` is called after.
        out: the folder or the file; None is `place_for` the run.
        number_type: of the weights in a gguf: "f32", "f16", "q8_0" or "q4_0".
        overwrite: whether what is there may go.
    """

    form = format_of(out or "") if format is None else format

    def work(is_stopping: Callable[[], bool]) -> Generator[ExportEvent, None, None]:
        _check_choice("format", form, FORMATS)
        _check_choice("type", number_type, NUMBER_TYPES)
        if form != "gguf" and number_type != "f32":
            raise ConfigError(
                f"type={number_type} is for gguf, and format={form}.", hint="Leave it out."
            )
        place = place_for(run, form, number_type) if out is None else paths.absolute(str(out))
        yield SetupProgressed(stage="loading the run")
        tame_openmp()
        from core.departures import depart

        yield from depart(run, form, place, number_type, is_stopping, overwrite=overwrite)

    return Job(work)


def place_for(run: str, format: str, number_type: str = "f32") -> Path:
    """Where a run is written when nobody names a place: into the working folder, called after it.

    Raises:
        RunError: there is no such run.
        CheckpointError: it has no such checkpoint.
    """
    from core.store.find import find_run, split_spec

    found = find_run(run, needs_checkpoint=False)
    at = f"-{found.step}" if split_spec(run)[1] and format != "capsule" else ""
    return paths.absolute(file_name(f"{found.run.name}{at}", format, number_type))


def format_of(place: str | Path) -> str:
    """The format that the name of a place asks for; "hf" where it asks for none."""
    name = str(place).lower()
    return "gguf" if name.endswith(".gguf") else "capsule" if name.endswith(".tar.gz") else "hf"


def file_name(stem: str, format: str, number_type: str = "f32") -> str:
    """What a run is called in a format: tiny-hf, tiny.gguf, tiny-q8_0.gguf, tiny.tar.gz."""
    numbers = f"-{number_type}" if number_type != NUMBER_TYPES[0] else ""
    return stem + {"hf": "-hf", "gguf": f"{numbers}.gguf", "capsule": ".tar.gz"}[format]


def importing(
    source: str | Path,
    *,
    name: str | None = None,
    tokenizer: str | Path | None = None,
    corpus: str = DEFAULT_CORPUS,
    max_seq_len: int = 0,
) -> Job[ImportEvent]:
    """Make a run of a model from elsewhere: a folder of transformers, a .gguf file, a .bin of
    llama2.c, a capsule, or `hub:OWNER/NAME`.

    Args:
        name: of the run; by default it is called after its source.
        tokenizer: the tokenizer.bin of a .bin; by default it is looked for beside it.
        corpus: what the run is scored on, and goes on learning from, when nobody names a text.
        max_seq_len: positions to keep; 0 keeps all up to `core.interop.foreign.LONGEST`.
    """

    def work(is_stopping: Callable[[], bool]) -> Generator[ImportEvent, None, None]:
        from core.store.run_names import check_place

        check_place(name)
        yield SetupProgressed(stage="loading PyTorch")
        tame_openmp()
        from core.arrivals import import_model

        yield from import_model(str(source), name, tokenizer, corpus, max_seq_len, is_stopping)

    return Job(work)


def quantizing(
    run: str = "last", config: QuantizeConfig | None = None, *, name: str | None = None
) -> Job[QuantizationEvent]:
    """Make a run of a run, its weights in 8 or 4 bits, and tell what that costs.

    Args:
        name: of the new run; by default that of the run with int8 or int4 behind it.
    """
    config = config or QuantizeConfig()

    def work(is_stopping: Callable[[], bool]) -> Generator[QuantizationEvent, None, None]:
        from core.store.run_names import check_place

        check_place(name)
        yield SetupProgressed(stage="loading the run")
        tame_openmp()
        from core.quantizing import quantize_run

        yield from quantize_run(run, name, config, is_stopping)

    return Job(work)


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(
            f"{name}={value!r} is not one of {', '.join(choices)}.",
            hint=did_you_mean(value, choices),
        )
