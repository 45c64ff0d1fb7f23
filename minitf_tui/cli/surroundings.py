"""What minitf finds around itself: versions, the terminal, its folders. Loads none of them."""

from __future__ import annotations

import importlib.metadata
import locale
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

from core import paths
from core.errors import StoreError
from core.store.files import check_writable
from core.version import VERSION
from minitf_tui.cli import screen
from minitf_tui.cli.output import is_terminal

PACKAGES = (
    *("torch", "textual", "numpy", "plotext", "platformdirs", "safetensors"),
    *("tokenizers", "tomli-w"),
)
OPTIONAL = ("matplotlib",)
LITTLE_SPACE = 1 << 30
"""Less free space than this is worth a word: a run of the largest presets needs that much."""
_OPENMP = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "MKL_NUM_THREADS")


def versions() -> dict[str, str | None]:
    """Of minitf, Python, the system and each package; None for one that is missing."""
    found: dict[str, str | None] = {
        "minitf": VERSION,
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "system": platform.platform(),
    }
    for name in (*PACKAGES, *OPTIONAL):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def terminal() -> dict[str, Any]:
    """What stdout is, what it can show, and what stands between it and a person."""
    seen = screen.look()
    streams = (("stdin", sys.stdin), ("stdout", sys.stdout), ("stderr", sys.stderr))
    between = {"tmux": "TMUX", "screen": "STY", "ssh": "SSH_CONNECTION"}
    return {
        "term": os.environ.get("TERM"),
        "colorterm": os.environ.get("COLORTERM"),
        "no_color": bool(os.environ.get("NO_COLOR")),
        "terminals": [name for name, stream in streams if is_terminal(stream)],
        "columns": seen.columns,
        "rows": seen.rows,
        "colours": screen.colours(os.environ),
        "encoding": getattr(sys.stdout, "encoding", None),
        "locale": locale.setlocale(locale.LC_CTYPE),
        "unicode": seen.has_unicode,
        "braille": seen.has_braille,
        "inside": [name for name, variable in between.items() if os.environ.get(variable)],
    }


def folders() -> dict[str, dict[str, Any]]:
    """Where runs and caches go, or would, and whether they can."""
    places = {"data": paths.data_dir(), "cache": paths.cache_dir()}
    return {name: _folder(path) for name, path in places.items()}


def openmp() -> dict[str, str]:
    """The variables that threads of PyTorch listen to, as far as they are set."""
    return {name: os.environ[name] for name in _OPENMP if name in os.environ}


def _folder(path: Path) -> dict[str, Any]:
    """A folder that does not exist yet is judged by the nearest one above it that does."""
    nearest = next(p for p in (path, *path.parents) if os.path.lexists(p))
    try:
        check_writable(path)
        is_writable = True
    except StoreError:
        is_writable = False
    try:
        free: int | None = shutil.disk_usage(nearest).free
    except OSError:
        free = None
    return {
        "path": str(path),
        "exists": path.is_dir(),
        "writable": is_writable,
        "free_bytes": free,
    }


def problems(report: dict[str, Any]) -> list[tuple[str, str]]:
    """`(what is wrong, what to do)`, from a report as `minitf doctor --json` prints it."""
    return [*_of_packages(report), *_of_terminal(report), *_of_folders(report), *_of_speed(report)]


def _of_packages(report: dict[str, Any]) -> list[tuple[str, str]]:
    versions = report["versions"]
    found = [
        (f"The package {name} is not installed.", f"python -m pip install {name}")
        for name in PACKAGES
        if versions[name] is None
    ]
    if versions["matplotlib"] is None:
        hint = "For those: python -m pip install matplotlib"
        found.append(("matplotlib is missing: minitf plot --out draws no pictures.", hint))
    return found


def _of_terminal(report: dict[str, Any]) -> list[tuple[str, str]]:
    seen, found = report["terminal"], []
    if seen["term"] in (None, "dumb"):
        shown = "not set" if seen["term"] is None else "dumb"
        found.append((f"TERM is {shown}: the app cannot be shown.", "Try TERM=xterm-256color."))
    if not seen["unicode"]:
        hint = "Set a UTF-8 locale, such as LC_ALL=C.UTF-8."
        found.append((f"The encoding {seen['encoding']} lacks lines and blocks.", hint))
    if "stdout" in seen["terminals"] and (seen["columns"] < 80 or seen["rows"] < 24):
        size = f"{seen['columns']} × {seen['rows']}"
        found.append((f"The terminal is small: {size}.", "The app is made for 80 × 24 and more."))
    return found


def _of_folders(report: dict[str, Any]) -> list[tuple[str, str]]:
    found = []
    hint = "MINITF_HOME=FOLDER keeps all data in another place."
    for name, about in report["folders"].items():
        if not about["writable"]:
            found.append((f"The {name} folder {about['path']} cannot be written.", hint))
        elif about["free_bytes"] is not None and about["free_bytes"] < LITTLE_SPACE:
            found.append((f"The disk of the {name} folder is nearly full.", hint))
    return found


def _of_speed(report: dict[str, Any]) -> list[tuple[str, str]]:
    machine, variables = report["machine"], report["openmp"]
    if "error" in machine:
        return [("PyTorch could not be used.", machine["error"])]
    found = []
    threads, cores = machine["environment"]["threads"], machine["environment"]["cores"]
    limit = variables.get("OMP_NUM_THREADS")
    if limit is not None and threads < min(cores, 8):
        hint = "Unset it, or give --threads."
        found.append((f"OMP_NUM_THREADS={limit} keeps {threads} of {cores} cores busy.", hint))
    rates = {(s["what"], s["dtype"]): s["mean"] for s in machine["speeds"]}
    for (what, dtype), rate in rates.items():
        other = rates.get((what, "float32"))
        if dtype == "bfloat16" and other and rate < 0.8 * other:
            slower = f"{other / rate:.1f} times"
            found.append((f"bfloat16 is {slower} slower than float32 here.", "Use float32."))
            break
    return found
