"""The container of a capsule: a tar of plain files in gzip, the first of which lists the others.

    capsule.json    {"format": 1, "minitf": version, "members": [{"name", "bytes", "sha256"}, ...]}
    run.toml        and what else belongs to a run's folder, by names of `_LARGEST`

Invariant: nothing is read but plain files, in the order, under the names and of the sizes that
the list says; and the list can say only what the limits here allow. So an archive costs no more
memory than a block and no more disk than it declares. Headers are read one by one, without
Python's `tarfile.open`, which would follow long names and links before anybody is asked.

The same members give the same bytes: no times, no owners, one order.

Sources: ustar, POSIX.1-2001 §pax "ustar Interchange Format"; gzip, RFC 1952.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import tarfile
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from gzip import GzipFile
from pathlib import Path
from typing import IO

from core.errors import FormatError
from core.version import VERSION

FORMAT = 1
MANIFEST = "capsule.json"
MAX_MEMBERS = 4096
MAX_TEXT_BYTES = 64 << 20
"""A longer text is not put in."""
MAX_WEIGHT_BYTES = 64 << 30
BLOCK = 512
_COPIED_AT_ONCE = 1 << 20
_MAX_PADDING = 1 << 16
_LONGEST_WORDS = 240
_GZIP_MAGIC = b"\x1f\x8b"
_LEVEL = 1
"""Weights hardly shrink, however long one tries."""
_LARGEST = {
    r"run\.toml": 1 << 20,
    r"tokenizer\.json": 100 << 20,
    r"metrics\.jsonl": 1 << 28,
    r"rates\.json": 1 << 25,
    r"init\.safetensors": MAX_WEIGHT_BYTES,
    r"corpus\.txt": MAX_TEXT_BYTES,
    r"(fork|checkpoints/step-\d{8,18})/state\.json": 1 << 20,
    r"(fork|checkpoints/step-\d{8,18})/(model|state)\.safetensors": MAX_WEIGHT_BYTES,
    r"(evaluations|benchmarks)/[A-Za-z0-9][A-Za-z0-9-]{0,99}\.json": 16 << 20,
}
"""What a member may be called, and how many bytes it may have."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file, as the list has it."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Packed:
    """A file that is to be put in."""

    name: str
    source: Path | bytes

    def blocks(self) -> Iterator[bytes]:
        """What is in it."""
        if isinstance(self.source, bytes):
            yield self.source
            return
        with self.source.open("rb") as file:
            yield from iter(lambda: file.read(_COPIED_AT_ONCE), b"")


def damaged(source: str, what: str) -> FormatError:
    """The words for a capsule that is not taken: one line, whatever it holds."""
    short = what if len(what) <= _LONGEST_WORDS else f"{what[:_LONGEST_WORDS]}…"
    return FormatError(
        f"{source}: this capsule cannot be restored: {' '.join(short.splitlines())}.",
        hint="Fetch it again, or have it exported again. Nothing was written.",
    )


def largest(name: str) -> int | None:
    """Bytes that a member of that name may have; None if there is none of that name."""
    found = (limit for pattern, limit in _LARGEST.items() if re.fullmatch(pattern, name, re.ASCII))
    return next(found, None)


def write_archive(path: Path, files: Sequence[Packed]) -> Generator[float, None, None]:
    """Write the list, then the files in their order. Tells the share of the way.

    Raises:
        OSError: it cannot be written, or a file changed meanwhile.
    """
    members: list[Member] = []
    for n, packed in enumerate(files, 1):
        members.append((yield from _measured(packed, (n - 1) / len(files) / 4)))
    manifest = {
        "format": FORMAT,
        "minitf": VERSION,
        "members": [asdict(member) for member in members],
    }
    data = json.dumps(manifest, indent=1).encode()
    total, done = sum(member.bytes for member in members) or 1, 0
    with path.open("wb") as file, _gzip(file) as archive:
        _put(archive, MANIFEST, len(data), iter([data]))
        for packed, member in zip(files, members, strict=True):
            archive.write(_header(member.name, member.bytes))
            for block in packed.blocks():
                archive.write(block)
                done += len(block)
                yield 0.25 + 0.75 * done / total
            archive.write(b"\0" * (-member.bytes % BLOCK))
        archive.write(b"\0" * (2 * BLOCK))


def starts_like_one(path: Path) -> bool:
    """Whether the file's first bytes are those of a capsule."""
    try:
        with path.open("rb") as file:
            if file.read(2) != _GZIP_MAGIC:
                return False
        with gzip.open(path, "rb") as archive:
            return tarfile.TarInfo.frombuf(archive.read(BLOCK), "utf-8", "strict").name == MANIFEST
    except (OSError, EOFError, ValueError, zlib.error, tarfile.TarError):
        return False


@contextmanager
def opened(path: Path, source: str) -> Iterator[GzipFile]:
    """The stream of headers and files.

    Raises:
        FormatError: it is cut off, or no gzip from some place on.
    """
    try:
        with gzip.open(path, "rb") as archive:
            yield archive
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise damaged(source, f"it is cut off or damaged ({error})") from error


def read_members(archive: GzipFile, source: str) -> list[Member]:
    """The list, with nothing in it that the limits forbid.

    Raises:
        FormatError: there is, or there is no list.
    """
    size = _next_header(archive, MANIFEST, source)
    if size > 1 << 20:
        raise damaged(source, f"its list has {size} bytes")
    data = archive.read(size)
    archive.read(-size % BLOCK)
    try:
        tables = json.loads(data)
        if tables["format"] != FORMAT:
            raise ValueError("it was made by another version of minitf")
        members = [Member(m["name"], m["bytes"], m["sha256"]) for m in tables["members"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise damaged(source, f"its list cannot be read ({error})") from error
    _check(members, source)
    return members


def unpack(archive: GzipFile, member: Member, path: Path, source: str) -> Iterator[int]:
    """Write one member to `path`; tells the bytes of each block.

    Raises:
        FormatError: another one comes next, or its content is not the one in the list.
    """
    size = _next_header(archive, member.name, source)
    if size != member.bytes:
        raise damaged(source, f"{member.name} has {size} bytes and not {member.bytes}")
    path.parent.mkdir(parents=True, exist_ok=True)
    print_, left = hashlib.sha256(), size
    with path.open("xb") as file:
        while left:
            block = archive.read(min(left, _COPIED_AT_ONCE))
            if not block:
                raise damaged(source, f"it ends inside of {member.name}")
            file.write(block)
            print_.update(block)
            left -= len(block)
            yield len(block)
        file.flush()
        os.fsync(file.fileno())
    archive.read(-size % BLOCK)
    if print_.hexdigest() != member.sha256:
        raise damaged(source, f"{member.name} is not what was put in")


def check_end(archive: GzipFile, source: str) -> None:
    """Nothing but zeros comes behind the last member, and the checksum of gzip is right.

    Raises:
        FormatError: it is not so.
    """
    rest = archive.read(_MAX_PADDING + 1)
    if len(rest) > _MAX_PADDING or any(rest):
        raise damaged(source, "there is more in it than its list says")


def _measured(packed: Packed, share: float) -> Generator[float, None, Member]:
    print_, size = hashlib.sha256(), 0
    for block in packed.blocks():
        print_.update(block)
        size += len(block)
        yield share
    return Member(packed.name, size, print_.hexdigest())


def _gzip(file: IO[bytes]) -> GzipFile:
    return GzipFile("", "wb", _LEVEL, file, mtime=0)


def _put(archive: GzipFile, name: str, size: int, blocks: Iterator[bytes]) -> None:
    archive.write(_header(name, size))
    for block in blocks:
        archive.write(block)
    archive.write(b"\0" * (-size % BLOCK))


def _header(name: str, size: int) -> bytes:
    about = tarfile.TarInfo(name)
    about.size = size
    return about.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict")


def _next_header(archive: GzipFile, name: str, source: str) -> int:
    """Size of the member `name`, which must come next and be a plain file."""
    try:
        about = tarfile.TarInfo.frombuf(archive.read(BLOCK), "utf-8", "strict")
    except (tarfile.TarError, ValueError) as error:
        raise damaged(source, f"{name} is missing ({error})") from error
    if about.name != name:
        raise damaged(source, f"{about.name!r} stands where {name} should")
    if about.type != tarfile.REGTYPE or about.size < 0:
        raise damaged(source, f"{name} is not a plain file")
    return about.size


def _check(members: Sequence[Member], source: str) -> None:
    if len(members) > MAX_MEMBERS:
        raise damaged(source, f"it holds {len(members)} files, and {MAX_MEMBERS} are the most")
    for member in members:
        limit = largest(member.name) if isinstance(member.name, str) else None
        if limit is None:
            raise damaged(source, f"it has a file that no run has, {member.name!r}")
        if type(member.bytes) is not int or not 0 <= member.bytes <= limit:
            raise damaged(source, f"{member.name} has {member.bytes!r} bytes, and {limit} at most")
    names = [member.name for member in members]
    if len(set(names)) < len(names):
        raise damaged(source, f"{max(names, key=names.count)} is in it twice")
    if names[:2] != ["run.toml", "tokenizer.json"]:
        raise damaged(source, "it does not begin with run.toml and tokenizer.json")
