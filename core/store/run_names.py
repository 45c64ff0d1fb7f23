"""What a run may be called, and what it is called where nobody says.

Never imports torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from core import paths
from core.errors import RunError
from core.store.files import check_writable

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
RESERVED_NAMES = ("last", "best")


def check_new_name(name: str) -> None:
    """Refuse a name that is taken, reserved, or not a name.

    Raises:
        RunError: it is.
    """
    if not NAME_PATTERN.fullmatch(name) or name in RESERVED_NAMES:
        raise RunError(
            f"{name!r} cannot name a run.",
            hint="Use a-z, 0-9, '.', '_' and '-', at most 64; last and best are taken.",
        )
    if (paths.runs_dir() / name).exists():
        raise taken(name)


def check_place(name: str | None) -> None:
    """Before the work: a new run may have that name, and can be written at all.

    Raises:
        RunError: it may not.
        StoreError: it cannot.
    """
    if name is not None:
        check_new_name(name)
    check_writable(paths.runs_dir())


def free_names(stem: str, *, plain: str = "") -> Iterator[str]:
    """`plain` itself if a run may be called that, and then `stem` and a number."""
    plain = plain.lower()
    is_usable = NAME_PATTERN.fullmatch(plain) and plain not in RESERVED_NAMES
    if is_usable and not (paths.runs_dir() / plain).exists():
        yield plain
    stem = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:40] or "run"
    used = {p.name for p in paths.runs_dir().iterdir()} if paths.runs_dir().is_dir() else set()
    for n in range(1, 1_000_000):
        if f"{stem}-{n}" not in used:
            yield f"{stem}-{n}"


def taken(name: str) -> RunError:
    """The error of a name that a run has already."""
    return RunError(
        f"A run named {name!r} exists already.",
        hint=f"Choose another name, go on with --resume {name}, or: minitf runs rm {name} --yes",
    )
