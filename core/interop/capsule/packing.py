"""One file with all that it takes to train a run again, and the way back.

Invariant: export, import, export gives the same file: a run's name is not inside, and all else
is restored byte for byte. What came in is checked as a whole before anybody sees it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

from core import paths
from core.config.text import GENERATED
from core.errors import DataError, RunError
from core.interop.capsule import archive
from core.interop.capsule.archive import Packed
from core.interop.capsule.check import check_run, check_sizes, read_settings
from core.interop.foreign import Written
from core.store.files import PARTIAL_PREFIX, link, make_folder
from core.store.forks import FILES as FORK_FILES
from core.store.forks import FOLDER as FORK
from core.store.rates import FILE_NAME as RATES_NAME
from core.store.run import TEXT_NAME, Run, create_run
from core.store.stages import IsStopping, Telling, telling
from core.store.start import FILE_NAME as START_NAME
from core.store.tokens import corpus_of
from core.text.sources import size_of

ENDING = ".tar.gz"
REPORTS = 1000
"""Of each kind, the newest."""
_FIRST_WEIGHTS = "checkpoints/step-00000000/model.safetensors"
"""Of a run that began with weights from elsewhere they are in the file of those, too."""


def write_capsule(run: Run, path: Path, is_stopping: IsStopping) -> Telling[Written]:
    """Write `path`, which does not exist yet. The run is held meanwhile: nobody trains it.

    Raises:
        RunError: it is being trained.
        OSError: it cannot be read, or the file not written.
        Stopped: somebody asked for an end.
    """
    with ExitStack() as held:
        with suppress(OSError):  # a folder that we may not write cannot be trained by us either
            held.enter_context(run.lock())
        text, remarks = yield from _text(run, is_stopping)
        files = [*_files(run), *text]
        yield from telling("writing the capsule", archive.write_archive(path, files), is_stopping)
    return Written("", remarks)


def is_capsule(path: Path) -> bool:
    """Whether it looks like one, by its first bytes."""
    return path.is_file() and archive.starts_like_one(path)


def open_capsule(
    path: Path, source: str, name: str | None, is_stopping: IsStopping
) -> Telling[Run]:
    """The run that was put in, restored; without a name it is called after the file.

    Raises:
        FormatError: it is no capsule, or a damaged or dangerous one; nothing was written.
        RunError: the name is taken or not a name.
        Stopped: somebody asked for an end.
    """
    make_folder(paths.runs_dir())
    with tempfile.TemporaryDirectory(prefix=PARTIAL_PREFIX, dir=paths.runs_dir()) as place:
        folder = Path(place)
        yield from telling("reading the capsule", _unpack(path, source, folder), is_stopping)
        run = yield from telling("checking the run", check_run(folder, source), is_stopping)
        stem = path.name.removesuffix(ENDING)
        return create_run(
            name,
            run.config,
            run.provenance,
            "",
            lambda made: _move(folder, made),
            stem=stem,
        )


def missing_text(run: Run) -> tuple[str, ...]:
    """What to know about a restored run whose text was not put in: a sentence, or none."""
    if run.text_path.is_file() or run.config.text.corpus == GENERATED:
        return ()
    return (f"Its text was not put in; to train it on, copy the text to {str(run.text_path)!r}.",)


def _files(run: Run) -> Iterator[Packed]:
    """What of the run's folder is put in, in its order."""
    folder = run.path
    steps = sorted({*run.checkpoint_steps()[-1:], *filter(None, [run.best_step()])})
    names = ["run.toml", "tokenizer.json", "metrics.jsonl", RATES_NAME, START_NAME]
    for step in steps:
        place = run.checkpoint_path(step).relative_to(folder).as_posix()
        names += [f"{place}/{name}" for name in ("state.json", "model.safetensors")]
        names.append(f"{place}/state.safetensors")
    names += [f"{FORK}/{name}" for name in FORK_FILES]
    for kind in ("evaluations", "benchmarks"):
        found = sorted(path.name for path in (folder / kind).glob("*.json"))
        names += [f"{kind}/{name}" for name in found[-REPORTS:]]
    if (folder / START_NAME).is_file():  # the same weights
        names = [name for name in names if name != _FIRST_WEIGHTS]
    for name in names:
        if archive.largest(name) is not None and (folder / name).is_file():
            yield Packed(name, folder / name)


def _text(run: Run, is_stopping: IsStopping) -> Telling[tuple[list[Packed], tuple[str, ...]]]:
    """The text as one file, if it can be had and is short enough; else what there is to say."""
    if run.config.text.corpus == GENERATED:
        return [], ()
    try:
        if not run.text_path.is_file() and _is_long(run):
            return [], (_left_out("it is longer than 64 MiB"),)
        corpus = yield from corpus_of(run, is_stopping)
        data = b"".join(piece.encode() for piece in corpus.pieces())
    except (DataError, RunError) as error:
        return [], (_left_out(str(error).removesuffix(".")),)
    if len(data) > archive.MAX_TEXT_BYTES:
        return [], (_left_out("it is longer than 64 MiB"),)
    return [Packed(TEXT_NAME, data)], ()


def _is_long(run: Run) -> bool:
    size = size_of(run.config.text.source)
    return size is not None and size > archive.MAX_TEXT_BYTES


def _left_out(why: str) -> str:
    return f"The text is not in it, only its fingerprint: {why}."


def _unpack(path: Path, source: str, folder: Path) -> Generator[float, None, None]:
    with archive.opened(path, source) as stream:
        members = archive.read_members(stream, source)
        total, done = sum(member.bytes for member in members) or 1, 0
        if total > (free := shutil.disk_usage(folder).free):
            raise archive.damaged(source, f"it needs {total} bytes, and the disk has {free}")
        for member in members:
            for n_bytes in archive.unpack(stream, member, folder / member.name, source):
                done += n_bytes
                yield done / total
            if member.name == "run.toml":
                check_sizes(members, *read_settings(folder, source), source)
        archive.check_end(stream, source)
    first = folder / _FIRST_WEIGHTS
    if first.parent.is_dir() and not first.exists() and (folder / START_NAME).is_file():
        link(folder / START_NAME, first)


def _move(folder: Path, made: Path) -> None:
    for path in folder.iterdir():
        path.replace(made / path.name)
