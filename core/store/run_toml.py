"""run.toml: the config of a run and where it comes from, as text and back. Never imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.config import RunConfig
from core.config.toml_text import read_tables
from core.errors import RunError

FORMAT = 1
"""Of a run's folder; each of its files says it."""


def to_run_toml(config: RunConfig, provenance: Mapping[str, Any]) -> bytes:
    """What run.toml holds; see `read_run_toml`."""
    import tomli_w

    tables = {"format": FORMAT, **config.to_dict(), "provenance": dict(provenance)}
    return tomli_w.dumps(tables).encode("utf-8", "backslashreplace")


def check_readable(run_toml: bytes) -> None:
    """Nobody could open, list or delete a run whose run.toml is no TOML.

    Raises:
        RunError: it is none.
    """
    try:
        read_tables(run_toml.decode())
    except ValueError as error:
        raise RunError(
            f"The settings of the run cannot be kept: {error}.",
            hint="Give names and texts in Unicode without lone surrogates.",
        ) from error


def read_run_toml(text: str) -> tuple[RunConfig, dict[str, Any]]:
    """Config and provenance, as run.toml keeps them.

    Raises:
        ValueError, KeyError, ConfigError: it does not.
    """
    tables = read_tables(text)
    if tables.pop("format") != FORMAT:
        raise ValueError("made by another version of minitf")
    provenance = tables.pop("provenance")
    config = RunConfig.from_dict(tables)
    if not isinstance(provenance, dict):
        raise ValueError("no provenance")
    return config, provenance
