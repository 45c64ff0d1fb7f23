"""Where minitf keeps things. Nothing is created by asking.

    data_dir()/runs/<run>/      trained models
    data_dir()/logs/            what the app and its libraries would print, and our own faults
    cache_dir()/tokens/         token ids, by content hash
    cache_dir()/tokenizers/     trained tokenizers, by content hash
    cache_dir()/engines/        which engine decodes a model, and on how many threads
    cache_dir()/paces/          how training steps of a shape are fastest
    cache_dir()/compiled/       machine code of the fast engine, by its sources
    cache_dir()/baselines/      what n-grams and compressors make of a text, by its tokens

`MINITF_HOME` moves all of it under one folder.
"""

from __future__ import annotations

import os
from pathlib import Path

ELSEWHERE = "MINITF_HOME=FOLDER keeps all data in another place."
"""The hint for whatever the system refuses to write."""


def data_dir() -> Path:
    """Folder of runs and settings."""
    home = _home()
    if home is not None:
        return home
    import platformdirs

    return Path(platformdirs.user_data_dir("minitf", appauthor=False))


def cache_dir() -> Path:
    """Folder of what can be computed again."""
    home = _home()
    if home is not None:
        return home / "cache"
    import platformdirs

    return Path(platformdirs.user_cache_dir("minitf", appauthor=False))


def runs_dir() -> Path:
    """Folder that holds one folder a run."""
    return data_dir() / "runs"


def log_dir() -> Path:
    """Folder of the app's own log files."""
    return data_dir() / "logs"


def absolute(name: str) -> Path:
    """`name` as an absolute path; a `~user` who does not exist is a folder of that name."""
    try:
        return Path(name).expanduser().absolute()
    except RuntimeError:
        return Path(name).absolute()


def _home() -> Path | None:
    home = os.environ.get("MINITF_HOME")
    return absolute(home) if home else None
