"""Python compiled to machine code on the user's own machine, kept on disk.

`compiled` is numba's `njit` with what it need not do left out, which halves the time it takes:
parts have no entry from Python and no memory of numba's own, and are not optimised by themselves,
since the function that calls them all is optimised as a whole (figures: docs/lab-notes.md).

What is made is kept in a folder named by the sources it was made of, below `NUMBA_CACHE_DIR` or
our cache folder; numba itself looks at the processor and its own version. Folders of other
sources that nobody has used for a week go when a new one is made. Without a writable folder only
time is lost.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import config as _config

from core.paths import cache_dir
from core.store.files import sweep

config: Any = _config
WEEK_S = 7 * 86_400
_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "no_cfunc_wrapper": True,
    "no_rewrites": True,
    "_nrt": False,
}
F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """`function` for other compiled functions, and nobody else: compiled when they are."""
    options = {**_OPTIONS, "no_cpython_wrapper": True}
    dispatcher: Any = numba.njit(**options)(function)
    optimised = dispatcher.compile

    def compile_roughly(signature: Any) -> Any:
        before, config.OPT = config.OPT, type(config.OPT)(0)
        try:
            return optimised(signature)
        finally:
            config.OPT = before

    dispatcher.compile = compile_roughly
    return cast(F, dispatcher)


def compiled_and_kept(signature: str, function: F) -> F:
    """`function` compiled for `signature`, from disk where it was compiled before."""
    folder = kept_folder()
    if folder is not None:
        before, config.CACHE_DIR = config.CACHE_DIR, str(folder)
        try:
            return _made(signature, function, is_kept=True)
        except Exception:  # what is kept is damaged; a fault of the code itself comes again
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            config.CACHE_DIR = before
    return _made(signature, function, is_kept=False)


def _made(signature: str, function: F, *, is_kept: bool) -> F:
    dispatcher: Any = numba.njit(cache=is_kept, **_OPTIONS)(function)
    try:
        dispatcher.compile(signature)
    except OSError:  # the disk is full: it is compiled all the same
        if not dispatcher.signatures:
            raise
    dispatcher.disable_compile()
    return cast(F, dispatcher)


def is_kept(function: Callable[..., Any]) -> bool:
    """Whether machine code of `function` is on disk."""
    folder = kept_folder()
    return folder is not None and any(folder.glob(f"*/*.{function.__qualname__}-*.nbi"))


def kept_folder() -> Path | None:
    """Where machine code of these very sources is kept; None if nothing can be written there."""
    base = Path(config.CACHE_DIR) if config.CACHE_DIR else cache_dir() / "compiled"
    folder = base / f"minitf-{sources_digest()}"
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        os.utime(folder)  # in use
    except OSError:
        return None
    if is_new:
        sweep(base, "minitf-" + 16 * "?", untouched_s=WEEK_S)
    return folder


def sources_digest() -> str:
    """Of all compiled code: numba looks at the file of the function that is kept alone, and not at
    those of the functions it calls."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
