"""What a corpus may be called, and which texts that means.

    python-docs      the language reference that comes with Python
    python-source    the standard library's own .py files, without its tests
    generated        small stories; with its length and seed generated:CHARS:SEED
    markov           characters of known odds: markov:ORDER:ALPHABET:CHARS:SEED
    task:NAME        problems with exact answers: task:NAME:SIZE:CHARS:SEED
    PATH             a file; or a folder: all text files below it, in the order of their paths
    PATTERN          the text files that match, as in 'src/**/*.md'
    -                stdin, which is kept in the cache and called stdin:SHA256 from then on

Invariant: a full name means the same from any folder, today and when the run is resumed.
Never imports numpy.
"""

from __future__ import annotations

import glob
import os
import re
import stat
import sysconfig
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from core import paths
from core.config import TextConfig
from core.config.written import TASKS, WRITTEN
from core.errors import DataError
from core.text.reading import gathered, read_file, read_python

STDIN = "-"
PYTHON_DOCS, PYTHON_SOURCE = "python-docs", "python-source"
_KEPT_STDIN = re.compile("stdin:([0-9a-f]{64})")
_WRITTEN = re.compile(
    f"(?:generated|(markov):([0-9]+):([0-9]+)|({'|'.join(TASKS)}):([1-9][0-9]*)):([0-9]+):[0-9]+"
)
_SPELT_OUT = re.compile(f"{_KEPT_STDIN.pattern}|{_WRITTEN.pattern}")
_TEST_FOLDERS = {"test", "tests", "idle_test", "site-packages", "dist-packages"}
_MAGIC = re.compile(r"[*?[]")


@dataclass(frozen=True, slots=True)
class Part:
    """One text of a corpus."""

    read: Callable[[], Iterator[str]]
    size: int = 0
    """In bytes, for a progress bar; 0 is not known."""


@dataclass(frozen=True, slots=True)
class Source:
    """The texts that a name means, before anybody has looked into them."""

    name: str
    parts: tuple[Part, ...]
    is_choosy: bool = False
    """Files that are no text are left out, as they were not asked for one by one."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Files that were left out already, by reason."""


def full_name(name: str) -> str:
    """`name` as it is kept: what is not built in becomes an absolute path or pattern.

    Raises:
        DataError: the path goes through a folder whose name is not UTF-8.
    """
    if name in (STDIN, *WRITTEN, *_BUILT_IN) or _SPELT_OUT.fullmatch(name):
        return name
    path = paths.absolute(name)
    if _MAGIC.search(name) and not os.path.lexists(path) and not _is_absolute(name):
        path = Path(glob.escape(str(Path.cwd())), name)
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"The path {str(path)!r} is not UTF-8, so no run could keep it.",
            hint="Rename the folder, or move the text to another one.",
        ) from error
    return str(path)


def is_kept_stdin(name: str) -> bool:
    """It came from stdin, or another stream, and is in the cache."""
    return _KEPT_STDIN.fullmatch(name) is not None


def is_stream(name: str) -> bool:
    """It can be read only once: stdin, a pipe, a device."""
    if name == STDIN:
        return True
    try:
        mode = os.stat(name).st_mode  # noqa: PTH116
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def run_stem(name: str) -> str:
    """What a run on that corpus may be called after: "river" for /texts/river.txt."""
    if is_kept_stdin(name):
        return "stdin"
    if name.startswith("task:"):
        return name.split(":")[1]
    plain = [part for part in Path(name).parts if not _MAGIC.search(part)]
    return Path(plain[-1]).stem if plain else ""


def kept_stdin(sha256: str) -> tuple[str, Path]:
    """The name of a text that came from stdin, and where its copy is."""
    return f"stdin:{sha256}", paths.cache_dir() / "texts" / f"{sha256}.txt"


def find_source(name: str) -> Source:
    """The texts that a full name means.

    Raises:
        DataError: there are none.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]()
    kept, written = _KEPT_STDIN.fullmatch(name), _WRITTEN.fullmatch(name)
    if kept:
        return _kept(name, kept[1])
    if written:
        _check_written(written)
        return Source(name, (Part(partial(_written, name), int(written[6])),))
    path = Path(name)
    if os.path.isdir(path):  # noqa: PTH112  (Path.is_dir raises for a name that is too long)
        return _folder(path)
    if _MAGIC.search(name) and not os.path.lexists(path):
        return _pattern(name)
    return Source(name, (Part(partial(read_file, path), _size(path)),))


def size_of(name: str) -> int | None:
    """About how many bytes the corpus of that full name has; None where only reading tells.

    Raises:
        DataError: there is no such text.
    """
    if is_stream(name):
        return None
    return sum(max(0, part.size) for part in find_source(name).parts)


def _check_written(name: re.Match[str]) -> None:
    """Refuse what no config would ask for.

    Raises:
        ConfigError: there is no such text.
    """
    if name[1]:
        TextConfig(corpus=name[1], markov_order=int(name[2]), markov_alphabet=int(name[3]))
    elif name[4]:
        TextConfig(corpus=name[4], task_size=int(name[5]), tokenizer="char")


def _written(name: str) -> Iterator[str]:
    from core.text.generated import generated_pieces, is_generated
    from core.text.markov import is_markov, markov_pieces
    from core.text.tasks import task_pieces

    if is_generated(name):
        return gathered(generated_pieces(name))
    return gathered(markov_pieces(name) if is_markov(name) else task_pieces(name))


def _python_docs() -> Source:
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise DataError(
            "This Python lacks pydoc_data, the text python-docs.",
            hint="Install the full standard library, or use --corpus FILE.",
        ) from error
    text = "\n\n".join(topics.values())
    return Source(PYTHON_DOCS, (Part(partial(iter, [text]), len(text)),))


def _python_source() -> Source:
    root = Path(sysconfig.get_path("stdlib"))
    found = [path for path in _below(root, Counter()) if path.suffix == ".py"]
    wanted = [p for p in found if not _TEST_FOLDERS & set(p.relative_to(root).parts)]
    if not wanted:
        raise DataError(
            "This Python lacks the source of its standard library, the text python-source.",
            hint="Install the full standard library, or use --corpus FILE.",
        )
    parts = tuple(Part(partial(read_python, path), _size(path)) for path in wanted)
    return Source(PYTHON_SOURCE, parts, is_choosy=True)


_BUILT_IN: dict[str, Callable[[], Source]] = {
    PYTHON_DOCS: _python_docs,
    PYTHON_SOURCE: _python_source,
}


def _kept(name: str, sha256: str) -> Source:
    path = kept_stdin(sha256)[1]
    if not path.is_file():
        raise DataError(
            f"The text {name[:12]}… that came from stdin is no longer in {str(path.parent)!r}.",
            hint="Pipe it in again with --corpus -: the same text gets the same name.",
        )
    return Source(name, (Part(partial(read_file, path), _size(path)),))


def _folder(root: Path) -> Source:
    left_out: Counter[str] = Counter()
    found = _below(root, left_out)
    return _files(str(root), found, left_out)


def _pattern(name: str) -> Source:
    matches = sorted(glob.glob(name, recursive=True))  # noqa: PTH207  (Path.glob takes no absolute)
    found = {os.path.realpath(path): Path(path) for path in matches}
    files = [path for path in found.values() if not path.is_dir()]
    if not files:
        raise DataError(
            f"No file matches {name!r}.",
            hint="** looks into folders, as in 'src/**/*.md'; quote it for the shell.",
        )
    return _files(name, files, Counter())


def _files(name: str, found: list[Path], left_out: Counter[str]) -> Source:
    """Regular files only: a pipe or a device can have no end."""
    parts = []
    for path in found:
        size = _size(path)
        if size < 0:
            left_out["unreadable"] += 1
        else:
            parts.append(Part(partial(read_file, path), size))
    return Source(name, tuple(parts), is_choosy=True, left_out=left_out)


def _below(root: Path, left_out: Counter[str]) -> list[Path]:
    """Files below a folder, in the order of their paths; hidden ones are left out, and a
    hidden folder counts as one."""

    def refuse(_: OSError) -> None:
        left_out["unreadable"] += 1

    found = []
    for folder, folders, names in os.walk(root, onerror=refuse):
        hidden = [name for name in (*folders, *names) if name.startswith(".")]
        left_out["hidden"] += len(hidden)
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(folder, name) for name in names if not name.startswith(".")]
    return sorted(found, key=lambda path: path.relative_to(root).parts)


def _size(path: Path) -> int:
    """In bytes; -1 if it is not a regular file that can be asked."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return -1
    return status.st_size if stat.S_ISREG(status.st_mode) else -1


def _is_absolute(name: str) -> bool:
    return Path(name).is_absolute() or name.startswith("~")
