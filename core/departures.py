"""Taking a run out: its weights, its tokenizer and a place to write to, put together."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from core.errors import ExportError
from core.events import Export, ExportCompleted, ExportEvent
from core.interop.capsule import write_capsule
from core.interop.equivalents import Portable
from core.interop.foreign import Written
from core.interop.gguf_writer import write_gguf
from core.interop.huggingface_writer import write_hf
from core.open_run import open_for_use
from core.store.files import new_place
from core.store.find import find_run
from core.store.stages import IsStopping, Telling, outcome


def depart(
    run: str,
    format: str,
    place: Path,
    number_type: str,
    is_stopping: IsStopping,
    *,
    overwrite: bool,
) -> Generator[ExportEvent, None, None]:
    """Write a run to `place`, whole or not at all.

    Raises:
        ExportError: the other program cannot compute this model, or there is something at
            `place` already.
        MinitfError: the run cannot be read.
        OSError: it cannot be written.
    """
    _check_free(place, overwrite=overwrite)
    result = yield from outcome(_depart(run, format, place, number_type, is_stopping))
    if result is not None:
        yield ExportCompleted(result=result)


def _depart(
    run: str, format: str, place: Path, number_type: str, is_stopping: IsStopping
) -> Telling[Export]:
    ref = find_run(run, needs_checkpoint=False)
    with new_place(place) as partial:  # Stopped goes through it, so that nothing is put there
        written = yield from _write(run, format, number_type, partial, is_stopping)
        n_bytes = _size(partial)
    return Export(
        run=ref.run.name,
        step=ref.step,
        format=format,
        path=str(place),
        architecture=written.architecture,
        number_type=number_type,
        bytes=n_bytes,
        remarks=written.remarks,
    )


def _write(
    run: str, format: str, number_type: str, partial: Path, is_stopping: IsStopping
) -> Telling[Written]:
    if format == "capsule":
        ref = find_run(run, needs_checkpoint=False)
        return (yield from write_capsule(ref.run, partial, is_stopping))
    found = open_for_use(run, device="cpu", dtype="float32", threads=0)
    weights = {name: p.detach() for name, p in found.model.named_parameters()}
    model = Portable(found.run.config.model, weights)
    if format == "hf":
        return (yield from write_hf(model, found.tokenizer, partial, is_stopping))
    title = found.run.name
    return (yield from write_gguf(model, found.tokenizer, partial, title, number_type, is_stopping))


def _check_free(place: Path, *, overwrite: bool) -> None:
    is_empty = place.is_dir() and not any(place.iterdir())
    if place.exists() and not is_empty and not overwrite:
        raise ExportError(
            f"There is something at {str(place)!r} already.",
            hint="Name another place, or give --overwrite.",
        )


def _size(place: Path) -> int:
    files = [place] if place.is_file() else [p for p in place.rglob("*") if p.is_file()]
    return sum(path.stat().st_size for path in files)
