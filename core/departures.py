"""Taking a run out: its weights, its tokenizer and a place to write to, put together."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

from core import paths
from core.errors import ExportError
from core.events import Export, ExportCompleted, ExportEvent
from core.interop.capsule.packing import write_capsule
from core.interop.equivalents import Portable
from core.interop.foreign import Written
from core.interop.gguf.writer import write_gguf
from core.interop.huggingface.writer import write_hf
from core.open_run import open_for_use
from core.store.files import check_writable, new_place
from core.store.find import RunRef, find_run
from core.store.packed_weights import checked_not_quantized
from core.store.stages import IsStopping, Telling, outcome

OF_A_FOLDER = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
)
"""What a folder may hold that gives way to another export."""

OF_PACKED = (
    "The run is quantised: what was written are the numbers that its codes stand for, not the"
    " codes."
)


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
    _check_free(place, format, overwrite=overwrite)
    check_writable(place.parent)
    result = yield from outcome(_depart(run, format, place, number_type, is_stopping))
    if result is not None:
        yield ExportCompleted(result=result)


def _depart(
    run: str, format: str, place: Path, number_type: str, is_stopping: IsStopping
) -> Telling[Export]:
    with new_place(place) as partial:  # Stopped goes through it, so that nothing is put there
        ref, written = yield from _write(run, format, number_type, partial, is_stopping)
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
) -> Telling[tuple[RunRef, Written]]:
    if format == "capsule":
        ref = find_run(run, needs_checkpoint=False)
        work = write_capsule(checked_not_quantized(ref.run), partial, is_stopping)
        return ref, (yield from work)
    found = open_for_use(run, device="cpu", dtype="float32", threads=0)
    weights = {name: p.detach() for name, p in found.model.named_parameters()}
    model = Portable(found.run.config.model, weights)
    if format == "hf":
        work = write_hf(model, found.tokenizer, partial, is_stopping)
    else:
        title = found.run.name
        work = write_gguf(model, found.tokenizer, partial, title, number_type, is_stopping)
    result = yield from work
    if found.model.packed:
        result = Written(result.architecture, (*result.remarks, OF_PACKED))
    return RunRef(found.run, found.step), result


def _check_free(place: Path, format: str, *, overwrite: bool) -> None:
    """What is there goes only if it is asked to, and if it is of the kind that will be there: a
    folder of somebody's own is not what anybody means."""
    if paths.runs_dir().resolve() in (place.resolve(), *place.resolve().parents):
        raise ExportError(
            f"{str(place)!r} is in the folder of the runs.",
            hint="Name another place: what is there belongs to minitf.",
        )
    if not os.path.lexists(place):
        return
    if not (place.is_file() or place.is_dir()) or place.is_symlink():
        raise ExportError(
            f"{str(place)!r} is neither a file nor a folder.",
            hint="Name another place: a link or a device is never replaced.",
        )
    held = {path.name for path in place.iterdir()} if place.is_dir() else set()
    is_folder = format == "hf"
    if place.is_dir() != is_folder:
        there, wanted = ("a file", "a folder") if is_folder else ("a folder", "one file")
        raise ExportError(
            f"{str(place)!r} is {there}, and format={format} is {wanted}.",
            hint="Name another place.",
        )
    if (held or not is_folder) and not overwrite:
        raise ExportError(
            f"There is something at {str(place)!r} already.",
            hint="Name another place, or ask to overwrite it.",
        )
    if others := held.difference(OF_A_FOLDER):
        raise ExportError(
            f"The folder {str(place)!r} holds more than a model: {min(others)!r}.",
            hint="Name another place; a folder is overwritten only if all in it is an export's.",
        )


def _size(place: Path) -> int:
    files = [place] if place.is_file() else [p for p in place.rglob("*") if p.is_file()]
    return sum(path.stat().st_size for path in files)
